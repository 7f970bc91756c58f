"""Run a server in the foreground until a signal; its end decides the exit code of the process."""

from __future__ import annotations

import logging
import signal
import time
from types import FrameType
from typing import Protocol


class Served(Protocol):
    """A server that `run` starts and stops: see `server.TritonServer`."""

    @property
    def exit_timeout(self) -> float: ...

    @property
    def url(self) -> str: ...

    @property
    def metrics_url(self) -> str: ...

    def start(self) -> None: ...

    def stop(self, force: bool = False) -> bool: ...

    def poll(self) -> int | None: ...

    def log_tail(self) -> str: ...


def run(server: Served, logger: logging.Logger) -> int:
    """Serve until Ctrl-C or SIGTERM, and return the exit code of the process.

    The first signal lets accepted requests finish, a second one does not. A Triton that ends by itself is
    not started again: 1 is returned, and whoever runs this process decides.
    """
    previous = {name: signal.signal(name, _interrupt) for name in (signal.SIGTERM, signal.SIGINT)}
    try:
        try:
            return _serve(server, logger)
        except KeyboardInterrupt:
            logger.info("Stopping: accepted requests are answered first (once more: stop at once).")
            if server.stop():
                logger.info("Stopped.")
                return 0
            logger.error("Some accepted requests were not answered within %g s.", server.exit_timeout)
            return 1
    except KeyboardInterrupt:
        logger.warning("Stopped at once.")
        return 1
    finally:
        server.stop(force=True)
        for name, handler in previous.items():
            signal.signal(name, handler)


def _serve(server: Served, logger: logging.Logger) -> int:
    server.start()
    logger.info("gRPC %s, metrics %s. Ctrl-C stops it.", server.url, server.metrics_url)
    while server.poll() is None:
        time.sleep(0.2)
    logger.error("Triton ended by itself (%s).\n%s", server.poll(), server.log_tail())
    return 1


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
