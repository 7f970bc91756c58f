"""Wait until a model store holds what this pod serves: `python3 -m lipserve_server.pod.wait`.

The store itself is asked, by the manifests and the records in it, and never a mark that somebody left:
engines that fit are found whoever built them, and a store that is rewritten at the moment is waited for.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from lipserve.contracts import PROFILES, TIER_NAMES, Profile, TierName
from lipserve.errors import SetupError
from lipserve_server.launcher.log import FORMAT
from lipserve_server.pod.api_server import FAULTS, Identity, call, identify
from lipserve_server.repository.engines import Machine, keys, this_machine
from lipserve_server.repository.models import missing_leaves
from lipserve_server.repository.store import check

INTERVAL = 5.0  # seconds between two looks
_TELL_SECONDS = 60.0  # between two lines of the log
_logger = logging.getLogger("lipserve.server.wait")


class Job:
    """The Job that fills the store, asked at the API server; without a token it is not asked."""

    def __init__(self, name: str, pod: Identity | None) -> None:
        self._name, self._pod = name, pod
        self._complained = False

    def failure(self) -> str | None:
        """Return why the Job has failed; None while it has not, or where nobody tells."""
        if self._pod is None:
            return None
        try:
            path = f"/apis/batch/v1/namespaces/{self._pod.namespace}/jobs/{self._name}"
            conditions = call(self._pod, "GET", path).get("status", {}).get("conditions") or []
        except FAULTS as error:
            if not self._complained:
                _logger.warning(
                    "The Job %s cannot be asked; the store alone is looked at: %s", self._name, error
                )
            self._complained = True
            return None
        failed = [made for made in conditions if made["type"] == "Failed" and made["status"] == "True"]
        return f"{failed[0].get('reason', '')}: {failed[0].get('message', '')}" if failed else None


def look(store: Path, profile: Profile, tiers: Sequence[TierName], machine: Machine | None = None) -> None:
    """Raise SetupError unless a store holds what a profile serves, `tiers` among it."""
    for tier in tiers:
        if missing := missing_leaves(store, tier):
            raise SetupError(
                f"{store} lacks {', '.join(missing)} of the tier {tier}.",
                "The chart's Job exports it (store.export.enabled): lipserve ops build-engines.",
            )
    check(store, profile, machine)


def wait(
    store: Path,
    profile: Profile,
    seconds: float,
    tiers: Sequence[TierName] = (),
    job: Job | None = None,
    fetch: Sequence[str] = (),
    machine: Machine | None = None,
    interval: float = INTERVAL,
) -> None:
    """Return when the store holds what the profile serves.

    Args:
        seconds: the longest wait; 0 looks once.
        tiers: that have to be there, beside what else is.
        job: that fills the store.
        fetch: a command that copies into `store`, run before each look; $LOOK is its number, from 1 on.
        machine: that the engines have to fit; None is this one.

    Raises:
        SetupError: the time is over, the Job has failed, or `fetch` has; it says what the store lacks.
        EngineError: at once, where this machine has no GPU, no TensorRT, or a driver that does not work.
    """
    if profile == "tensorrt":
        machine = machine or this_machine()
        keys(machine, {})  # a machine that can run no engine is not mended by waiting
    began = reported = time.monotonic()
    number = 0
    while True:
        number += 1
        if fetch:
            _run(fetch, number)
        try:
            look(store, profile, tiers, machine)
            return
        except SetupError as error:
            lack = error
        if job and (why := job.failure()):
            raise SetupError(
                f"{lack.message} The Job that fills the store has failed ({why}).",
                "Mend it and run `lipserve ops build-engines`, or take the release back: helm rollback.",
            ) from lack
        if time.monotonic() - began >= seconds:
            raise SetupError(
                f"{lack.message} This is so after {seconds:.0f} s of waiting.", lack.remedy
            ) from lack
        if number == 1 or time.monotonic() - reported >= _TELL_SECONDS:
            reported = time.monotonic()
            _logger.info("Waiting for the store: %s", lack.message)
        time.sleep(interval)


def _run(command: Sequence[str], number: int) -> None:
    code = subprocess.run(command, env={**os.environ, "LOOK": str(number)}, check=False).returncode
    if code:
        raise SetupError(
            f"The models cannot be copied: {command[0]} ended with {code}.",
            "Its lines above say why: keys, the bucket's name, the network, room in the cache.",
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Wait as the arguments say; return the exit code."""
    logging.basicConfig(level=logging.INFO, format=FORMAT, stream=sys.stderr)
    options = _parser().parse_args(arguments)
    job = Job(options.job, identify()) if options.job else None
    try:
        wait(options.repository, options.profile, options.timeout, options.tier, job, options.fetch)
    except SetupError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python3 -m lipserve_server.pod.wait", description=__doc__)
    add = parser.add_argument
    add("--repository", type=Path, required=True, metavar="DIR", help="model store")
    add("--profile", choices=PROFILES, required=True, help="that is served")
    add("--timeout", type=float, default=0.0, metavar="SECONDS", help="longest wait (default: one look)")
    add("--tier", action="append", default=[], choices=TIER_NAMES, help="that has to be there; repeatable")
    add("--job", metavar="NAME", help="Job that fills the store, asked at the API server")
    add("fetch", nargs="*", metavar="COMMAND", help="copies into the store before each look, after --")
    return parser


if __name__ == "__main__":
    # The first process of a container is deaf to what it does not handle, and the pod would keep its GPU.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    sys.exit(main())
