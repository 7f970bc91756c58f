"""Arguments of every command: the cluster and the release."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import closing, contextmanager

from lipserve_ops import cluster, release
from lipserve_ops.release import Release


def add_cluster(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the cluster and the release."""
    group = parser.add_argument_group("cluster")
    group.add_argument(
        "--kubeconfig",
        metavar="FILE",
        help="kubeconfig of the cluster (default: $KUBECONFIG, else ~/.kube/config, else the service account "
        "of this pod)",
    )
    group.add_argument(
        "--context", metavar="NAME", help="context of the kubeconfig (default: the current one)"
    )
    group.add_argument(
        "-n", "--namespace", metavar="NAME", help="namespace of the release (default: that of the context)"
    )
    group.add_argument(
        "--release", metavar="NAME", help="name of the Helm release (default: the only one in the namespace)"
    )


@contextmanager
def open_release(arguments: argparse.Namespace) -> Iterator[Release]:
    """Yield the release that the arguments name."""
    found = cluster.connect(arguments.kubeconfig, arguments.context, arguments.namespace)
    with closing(found):
        yield release.find(found, arguments.release)
