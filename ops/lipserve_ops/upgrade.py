"""`lipserve ops upgrade`: build what a new release needs, and only then replace its pods."""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from typing import Any

from lipserve_ops import build_engines, release
from lipserve_ops.arguments import add_cluster, open_release
from lipserve_ops.errors import ClusterError
from lipserve_ops.jobs import follow, latest, outcome
from lipserve_ops.release import Release

_EXAMPLES = """\
examples:
  lipserve ops upgrade -n video -- helm/lipserve -f a100.yaml
  lipserve ops upgrade -- helm/lipserve --reuse-values --set image.tag=0.1.1
  lipserve ops upgrade -- oci://registry.example.com/lipserve --version 0.1.1

Words after -- are those of `helm upgrade`: the chart and its values. If the Job fails, the pods are still
those of before: mend what it says and call the command again, or take the
release back with `helm rollback`. After Ctrl-C the rollout stays paused.

exit code: 0 every pod is replaced and ready, else the exit code of Helm, or of
the Job's container that failed
"""
_POLL_SECONDS = 1.0


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "upgrade",
        help="upgrade the release: build engines first, then replace the pods",
        description="Call `helm upgrade` with the rollout paused, so that every pod goes on serving. Follow "
        "the Job that builds engines for the new release. When the Job is done, resume the rollout and wait "
        "until every pod is replaced and ready.",
        epilog=_EXAMPLES,
    )
    parser.add_argument("words", nargs="+", metavar="WORD", help="words of `helm upgrade`, after --")
    parser.add_argument("--helm", default="helm", metavar="FILE", help="the program (default %(default)s)")
    add_cluster(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    with open_release(arguments) as found:
        command, before = _command(arguments, found), latest(found, of_helm=True)
        return (
            _helm(command, paused=True)
            or _build(found, before)
            or _helm(command, paused=False)
            or _wait(release.find(found.cluster, found.name))
        )


def _command(arguments: argparse.Namespace, found: Release) -> list[str]:
    command = [arguments.helm, "upgrade", found.name, *arguments.words]
    command += ["--namespace", found.cluster.namespace]
    for flag, value in (("--kubeconfig", arguments.kubeconfig), ("--kube-context", arguments.context)):
        command += [flag, value] if value else []
    return command


def _helm(command: list[str], paused: bool) -> int:
    try:
        return subprocess.run(
            [*command, "--set", f"rollout.paused={str(paused).lower()}"], check=False
        ).returncode
    except OSError as error:
        raise ClusterError(
            f"{command[0]} cannot be run: {error.strerror}.", "Install Helm, or name the program with --helm."
        ) from None


def _build(found: Release, before: Any | None) -> int:
    """Follow the Job of the new release, if there is one that has work; return its exit code.

    Args:
        before: the Job that was there before. If it has failed and is still the one, its work starts again.
    """
    job = latest(found, of_helm=True)
    same = job and before and before.metadata.uid == job.metadata.uid
    if job is None or (same and outcome(before)):
        print("Nothing is left to build.", flush=True)
        return 0
    if same and outcome(before) is False:
        job = build_engines.running(found, job)
    name = job.metadata.name
    print(f"Job {name}", flush=True)
    code = follow(found, name)
    if code:
        print(
            f"The rollout of {found.name} is paused, and its pods are those of before. Call the command "
            f"again when the cause is mended, or: helm rollback {found.name} -n {found.cluster.namespace}",
            file=sys.stderr,
        )
    return code


def _wait(found: Release) -> int:
    """Show the rollout until every pod is replaced and ready; return 0, or 1 where it is stuck."""
    cluster, name, said = found.cluster, found.deployment.metadata.name, ""
    while True:
        deployment = cluster.ask(
            f"the Deployment {name}", cluster.apps.read_namespaced_deployment, name, cluster.namespace
        )
        state = _state(deployment)
        if state != said:
            print(state, flush=True)
            said = state
        if _is_done(deployment):
            return 0
        if stuck := _stuck(deployment):
            troubles = {pod.metadata.name: release.trouble(pod, []) for pod in found.pods()}
            told = "; ".join(f"{pod}: {trouble}" for pod, trouble in troubles.items() if trouble)
            error = ClusterError(
                f"The rollout is stuck: {stuck}{f' {told}.' if told else ''}",
                f"`lipserve ops status` shows the pods. helm rollback {found.name} takes the release back.",
            )
            print(f"error: {error}", file=sys.stderr)
            return 1
        time.sleep(_POLL_SECONDS)


def _state(deployment: Any) -> str:
    status, wanted = deployment.status, deployment.spec.replicas
    return f"{status.updated_replicas or 0} of {wanted} pods replaced, {status.ready_replicas or 0} ready"


def _is_done(deployment: Any) -> bool:
    status, wanted = deployment.status, deployment.spec.replicas
    counts = (status.replicas or 0, status.updated_replicas or 0, status.ready_replicas or 0)
    seen = (status.observed_generation or 0) >= (deployment.metadata.generation or 0)
    return seen and counts == (wanted, wanted, wanted)


def _stuck(deployment: Any) -> str:
    """Return why the Deployment makes no progress, "" while it does."""
    for condition in deployment.status.conditions or []:
        if condition.type == "Progressing" and condition.status == "False":
            return str(condition.message or condition.reason or "no reason given")
    return ""
