"""`lipserve ops build-engines`: start the chart's Job that fills the model store, and follow it."""

from __future__ import annotations

import argparse
import secrets
import sys
import time
from collections.abc import Iterator
from typing import Any

from rich.console import Console

from lipserve_ops import release
from lipserve_ops.arguments import add_cluster, open_release
from lipserve_ops.errors import AbsentError, ClusterError
from lipserve_ops.release import Release

_EXAMPLES = """\
examples:
  lipserve ops build-engines
  lipserve ops build-engines --detach

If a Job is running already, the command follows that one and starts no other.
Engines that exist and fit are not built again. Ctrl-C ends the command, not the
Job.

exit code: 0 the Job is done, else the exit code of its container that failed
"""
_POLL_SECONDS = 1.0
_NAME_LENGTH = 63
_HELM = "app.kubernetes.io/managed-by"  # a copy is not Helm's: no upgrade and no uninstall touches it
# What a controller writes into a Job; a copy with these would take the first one's pods for its own.
_OWN_LABELS = (
    "controller-uid",
    "job-name",
    "batch.kubernetes.io/controller-uid",
    "batch.kubernetes.io/job-name",
)


def start(found: Release) -> Any:
    """Return the release's running Job, or a new one made from the chart's latest.

    Raises:
        AbsentError: the chart has made none.
    """
    cluster = found.cluster
    jobs = cluster.ask(
        "the Jobs",
        cluster.batch.list_namespaced_job,
        cluster.namespace,
        label_selector=found.selector("engines"),
    ).items
    if not jobs:
        raise AbsentError(
            f"The release {found.name} has no Job that builds engines.",
            "Set engines.build.enabled=true with profile=tensorrt, and upgrade the release; a Job that "
            "ttlSecondsAfterFinished has removed comes back so too.",
        )
    latest = max(jobs, key=lambda job: job.metadata.creation_timestamp)
    if outcome(latest) is None:
        return latest
    body = again(latest)
    return cluster.ask(
        f"the Job {body['metadata']['name']}", cluster.batch.create_namespaced_job, cluster.namespace, body
    )


def again(job: Any) -> dict[str, Any]:
    """Return a new Job with the work of `job`."""
    from kubernetes.client import ApiClient

    made: dict[str, Any] = ApiClient().sanitize_for_serialization(job)
    ending = f"-{secrets.token_hex(3)}"
    name = f"{made['metadata']['name'][: _NAME_LENGTH - len(ending)]}{ending}"
    labels = {key: value for key, value in _free(made["metadata"]).items() if key != _HELM}
    spec = made["spec"]
    for key in ("selector", "manualSelector", "suspend"):
        spec.pop(key, None)
    shape = spec["template"].setdefault("metadata", {})
    shape["labels"] = _free(shape)
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "labels": labels},
        "spec": spec,
    }


def _free(metadata: dict[str, Any]) -> dict[str, str]:
    labels = metadata.get("labels") or {}
    return {key: value for key, value in labels.items() if key not in _OWN_LABELS}


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


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "build-engines",
        help="run the Job that builds the engines, and follow it",
        description="Run the chart's Job that fills the model store again, and show its log until the Job is "
        "done.",
        epilog=_EXAMPLES,
    )
    parser.add_argument("--detach", action="store_true", help="start the Job and do not wait for it")
    add_cluster(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    with open_release(arguments) as found:
        return _build(found, arguments.detach)


def _build(found: Release, detach: bool) -> int:
    name = start(found).metadata.name
    print(f"Job {name}", flush=True)
    if detach:
        return 0
    following = Following(found, name)
    _show(following)
    if outcome(following.job):
        print(f"Job {name} is done.")
        return 0
    why, code = failure(following.job, following.pods())
    error = ClusterError(
        f"Job {name} failed: {why}.", f"`kubectl logs job/{name} --all-containers` has all of it."
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
