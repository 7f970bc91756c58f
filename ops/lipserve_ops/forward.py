"""Connections to a pod's ports through the API server, as `kubectl port-forward` makes them.

They end inside the pod, so no network policy and no balancer is in the way.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

from lipserve_ops.cluster import Cluster
from lipserve_ops.errors import ClusterError, explained

_SECONDS = 15.0
_CLOSE_SECONDS = 3.5
_CHUNK = 1 << 16  # bytes


class PodSocket:
    """A connection to `port` of a pod, with the methods of a socket that are needed.

    Raises:
        ClusterError: the pod is gone, this user may not, or no kubelet answers.
    """

    def __init__(self, cluster: Cluster, pod: str, port: int) -> None:
        from kubernetes import client
        from kubernetes.stream import portforward

        # The library changes the client that it is given for as long as it asks: each call has its own.
        core = client.CoreV1Api(client.ApiClient(cluster.configuration))
        with explained(f"the pod {pod}"):
            self._forward = portforward(
                core.connect_get_namespaced_pod_portforward, pod, cluster.namespace, ports=str(port)
            )
        self._socket = self._forward.socket(port)
        self._socket.settimeout(_SECONDS)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._socket, name)

    def close(self) -> None:
        """End it on both sides; the library leaves the websocket open where the pod was first."""
        self._socket.close()
        deadline = time.monotonic() + _CLOSE_SECONDS
        while self._forward.websocket.connected and time.monotonic() < deadline:
            time.sleep(0.005)
        self._forward.websocket.shutdown()


def fetch(cluster: Cluster, pod: str, port: int, path: str) -> str:
    """Return what the pod answers to `GET path` on `port`, plain HTTP.

    Raises:
        ClusterError: as `PodSocket`, or the pod does not answer 200.
    """
    connection = http.client.HTTPConnection("localhost", port, timeout=_SECONDS)
    with contextlib.closing(PodSocket(cluster, pod, port)) as opened:
        connection.sock = opened
        try:
            connection.request("GET", path, headers={"Connection": "close"})
            answer = connection.getresponse()
            text = answer.read().decode(errors="replace")
        except (OSError, http.client.HTTPException) as error:
            raise ClusterError(
                f"{pod} does not answer on port {port} ({error or type(error).__name__}).",
                "Look at its log; it may be starting.",
            ) from None
    if answer.status != 200:
        raise ClusterError(f"{pod} answers {answer.status} to {path}.", "Look at its log.")
    return text


@contextlib.contextmanager
def forwarded(cluster: Cluster, pod: str, port: int) -> Iterator[str]:
    """Give the address host:port on this machine of a port of the pod."""
    with socket.create_server(("127.0.0.1", 0)) as listener, contextlib.ExitStack() as ends:
        opened = PodSocket(cluster, pod, port)  # what is refused is told here, not in a thread
        thread = threading.Thread(
            target=_accept, args=(listener, opened, cluster, pod, port, ends), daemon=True
        )
        thread.start()
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(_SECONDS)


def _accept(
    listener: socket.socket, first: Any, cluster: Cluster, pod: str, port: int, ends: contextlib.ExitStack
) -> None:
    """Give every connection to the listener one of its own to the pod."""
    ready = [first]
    while True:
        try:
            near, _ = listener.accept()
        except OSError:  # it was shut down
            break
        try:
            far = ready.pop() if ready else PodSocket(cluster, pod, port)
        except ClusterError:  # the caller sees a connection that breaks
            near.close()
            continue
        ends.callback(_hang_up, near, far)
        far.settimeout(None)
        for source, target in ((near, far), (far, near)):
            threading.Thread(target=_pump, args=(source, target), daemon=True).start()
    for unused in ready:
        unused.close()


def _pump(source: Any, target: Any) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(_CHUNK):
            target.sendall(data)
    _hang_up(source, target)


def _hang_up(*sockets: Any) -> None:
    for end in sockets:
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)  # wakes who reads it; closing alone would not
        end.close()
