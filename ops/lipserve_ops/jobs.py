"""Jobs that fill the model store: which is the chart's latest, how it ended, and its log while it works."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from typing import Any

from rich.console import Console

from lipserve_ops import release
from lipserve_ops.errors import ClusterError
from lipserve_ops.release import Release

HELM = "app.kubernetes.io/managed-by"  # a copy of a Job is not Helm's, and lacks this label
_POLL_SECONDS = 1.0


def latest(found: Release, of_helm: bool = False) -> Any | None:
    """Return the newest Job of a release, None where there is none.

    Args:
        of_helm: leave out the copies that `lipserve ops build-engines` has made.
    """
    cluster = found.cluster
    jobs = [
        job
        for job in cluster.ask(
            "the Jobs",
            cluster.batch.list_namespaced_job,
            cluster.namespace,
            label_selector=found.selector("engines"),
        ).items
        if job.metadata.deletion_timestamp is None and (not of_helm or HELM in job.metadata.labels)
    ]
    return max(jobs, key=lambda job: job.metadata.creation_timestamp, default=None)


def outcome(job: Any) -> bool | None:
    """Return True if a Job succeeded, False if it failed, None while it runs."""
    for condition in job.status.conditions or []:
        if condition.status == "True" and condition.type in ("Complete", "Failed"):
            return bool(condition.type == "Complete")
    return None


_Run = tuple[str, str, int]  # pod, container, its restarts


class Following:
    """One Job: the log lines of its containers, and the reason if there are none.

    Attributes:
        notice: what it waits for, "" while it works.
    """

    def __init__(self, found: Release, name: str) -> None:
        self._found, self._name = found, name
        self._shown: dict[_Run, int] = {}  # lines
        self._ended: set[_Run] = set()
        self.job: Any = None
        self.notice = ""

    def lines(self) -> Iterator[str]:
        """Yield every line, "" if there is none at the moment, until the Job has ended."""
        cluster = self._found.cluster
        while True:
            self.job = cluster.ask(
                f"the Job {self._name}", cluster.batch.read_namespaced_job, self._name, cluster.namespace
            )
            pods = self.pods()
            self.notice = "waiting for its pod" if not pods else ""
            for pod in pods:
                yield from self._of_pod(pod)
            if outcome(self.job) is not None:
                return
            yield ""
            time.sleep(_POLL_SECONDS)

    def pods(self) -> list[Any]:
        """Return the Job's pods, the oldest first."""
        cluster = self._found.cluster
        pods = cluster.ask(
            "the pods",
            cluster.core.list_namespaced_pod,
            cluster.namespace,
            label_selector=f"job-name={self._name}",
        ).items
        return sorted(pods, key=lambda pod: pod.metadata.creation_timestamp)

    def _of_pod(self, pod: Any) -> Iterator[str]:
        for status in [*(pod.status.init_container_statuses or []), *(pod.status.container_statuses or [])]:
            run = (pod.metadata.name, status.name, status.restart_count)
            ended = status.state and status.state.terminated
            if run not in self._ended and (ended or (status.state and status.state.running)):
                yield from self._of_container(run)
                if ended:
                    self._ended.add(run)
        if pod.status.phase == "Pending":
            self.notice = release.trouble(pod, []) or release.state(pod)

    def _of_container(self, run: _Run) -> Iterator[str]:
        """Yield the new lines of a container, until it or the connection ends."""
        from urllib3.exceptions import HTTPError

        cluster, (pod, container, _) = self._found.cluster, run
        shown = self._shown.get(run, 0)
        answer = cluster.ask(
            f"the log of {pod}",
            cluster.core.read_namespaced_pod_log,
            pod,
            cluster.namespace,
            container=container,
            follow=True,
            _preload_content=False,
            _request_timeout=None,
        )
        try:
            for number, line in enumerate(answer):
                if number >= shown:
                    yield f"{container}: {line.decode(errors='replace').rstrip()}"
                    self._shown[run] = number + 1
        except HTTPError:
            pass  # the connection broke: it goes on from there
        finally:
            answer.release_conn()


def failure(job: Any, pods: list[Any]) -> tuple[str, int]:
    """Return the reason of a failed Job, and the exit code of the failed container; 1 if none has one."""
    reasons = [f"{c.reason}: {c.message}" for c in job.status.conditions or [] if c.type == "Failed"]
    for pod in reversed(pods):
        statuses = [*(pod.status.init_container_statuses or []), *(pod.status.container_statuses or [])]
        for status in statuses:
            for moment in (status.state, status.last_state):
                ended = moment.terminated if moment else None
                if ended and ended.exit_code:
                    return f"{release.trouble(pod, [])} ({'; '.join(reasons)})", ended.exit_code
    return "; ".join(reasons) or "no reason given", 1


def follow(found: Release, name: str) -> int:
    """Show a Job's log until the Job ends; return 0, or the exit code of its container that failed."""
    following = Following(found, name)
    _show(following)
    if outcome(following.job):
        print(f"Job {name} is done.", flush=True)
        return 0
    why, code = failure(following.job, following.pods())
    error = ClusterError(
        f"Job {name} failed: {why}.", f"`kubectl logs job/{name} --all-containers` shows the whole log."
    )
    print(f"error: {error}", file=sys.stderr)
    return code


def _show(following: Following) -> None:
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    began, noticed = time.monotonic(), ""
    with console.status("starting", spinner="dots") as shown:
        for line in following.lines():
            passed = time.strftime("%H:%M:%S", time.gmtime(time.monotonic() - began))
            shown.update(f"{passed}  {following.notice or 'at work'}")
            if line:
                print(line, flush=True)
            if following.notice not in ("", noticed) and not console.is_terminal:
                print(following.notice, file=sys.stderr, flush=True)
            noticed = following.notice
