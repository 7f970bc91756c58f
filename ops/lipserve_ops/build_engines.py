"""`lipserve ops build-engines`: start the chart's Job that fills the model store, and follow it."""

from __future__ import annotations

import argparse
import secrets
from typing import Any

from lipserve_ops.arguments import add_cluster, open_release
from lipserve_ops.errors import AbsentError
from lipserve_ops.jobs import HELM, follow, latest, outcome
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
_NAME_LENGTH = 63
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
    newest = latest(found)
    if newest is None:
        raise AbsentError(
            f"The release {found.name} has no Job that builds engines.",
            "Set engines.build.enabled=true with profile=tensorrt, and upgrade the release; a Job that "
            "ttlSecondsAfterFinished has removed comes back so too.",
        )
    return running(found, newest)


def running(found: Release, job: Any) -> Any:
    """Return `job` while it runs, and a new one with its work where it has ended."""
    if outcome(job) is None:
        return job
    cluster, body = found.cluster, again(job)
    return cluster.ask(
        f"the Job {body['metadata']['name']}", cluster.batch.create_namespaced_job, cluster.namespace, body
    )


def again(job: Any) -> dict[str, Any]:
    """Return a new Job with the work of `job`."""
    from kubernetes.client import ApiClient

    made: dict[str, Any] = ApiClient().sanitize_for_serialization(job)
    ending = f"-{secrets.token_hex(3)}"
    name = f"{made['metadata']['name'][: _NAME_LENGTH - len(ending)]}{ending}"
    labels = {key: value for key, value in _free(made["metadata"]).items() if key != HELM}
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
    return follow(found, name)
