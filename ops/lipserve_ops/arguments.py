"""Arguments that every command has: which cluster, which release."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import closing, contextmanager

from lipserve_ops import cluster, release
from lipserve_ops.release import Release


def add_cluster(parser: argparse.ArgumentParser) -> None:
    """Add how to reach the release."""
    group = parser.add_argument_group("cluster")
    group.add_argument(
        "--kubeconfig", metavar="FILE", help="default: $KUBECONFIG, ~/.kube/config, or the pod's own account"
    )
    group.add_argument("--context", metavar="NAME", help="of the kubeconfig (default: the current one)")
    group.add_argument("-n", "--namespace", metavar="NAME", help="default: the context's")
    group.add_argument("--release", metavar="NAME", help="default: the only one in the namespace")


@contextmanager
def open_release(arguments: argparse.Namespace) -> Iterator[Release]:
    """Give the release that the arguments name."""
    found = cluster.connect(arguments.kubeconfig, arguments.context, arguments.namespace)
    with closing(found):
        yield release.find(found, arguments.release)
