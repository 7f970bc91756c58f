"""Entry point of `lipserve ops`: operate a release of LipServe on Kubernetes."""

from __future__ import annotations

import argparse

from lipserve_ops import build_engines, drain, smoke, status, upgrade

_EPILOG = """\
examples:
  lipserve ops status --watch
  lipserve ops build-engines
  lipserve ops upgrade -- helm/lipserve -f a100.yaml
  lipserve ops drain lipserve-5d8f9c7b6-x2x7k
  lipserve ops smoke

exit codes, besides those of `lipserve --help`:
  1 a pod is not ready, or a check or a Job failed
  5 the cluster refuses a call or lacks an object
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Operate a release of LipServe on Kubernetes. The commands reach the cluster with the kubeconfig "
        "that kubectl uses."
    )
    parser.epilog = _EPILOG
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for module in (status, build_engines, upgrade, drain, smoke):
        module.add(commands)
