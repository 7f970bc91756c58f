"""Refuse TensorRT plans that this machine cannot run, and say how to build the right ones.

`python -m lipserve_server.engines REPOSITORY` is for whatever starts Triton in the profile tensorrt: it ends
with status 1 and a message where Triton would end with one of its own.
"""

from __future__ import annotations

import argparse
import ctypes
import hashlib
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from lipserve.contracts import LEAVES, TIERS, of_tier
from lipserve.errors import SetupError
from lipserve.plans import PLAN, PlanAccount, compute_capabilities, read_account

_PROFILE = "--model-config-name"  # Triton's option that names it
_LIBRARIES = ("libnvinfer.so.11", "libnvinfer.so.10")


@dataclass(frozen=True)
class Machine:
    """What serves.

    Attributes:
        capabilities: of every GPU, for Triton runs a plan on each: `sm90`, say.
        tensorrt: version of the library, "10.9.0"; None where it is not found, and then it is not compared.
    """

    capabilities: tuple[str, ...]
    tensorrt: str | None


def this_machine() -> Machine:
    """Return what the driver and the loader of this machine know; SetupError where there is no GPU."""
    capabilities = compute_capabilities()
    if not capabilities:
        raise SetupError(
            "No NVIDIA GPU is to be seen here, and the profile tensorrt needs one.",
            "Check `nvidia-smi` (a pod asks for nvidia.com/gpu), or serve another profile.",
        )
    return Machine(tuple(capabilities), _tensorrt())


def _tensorrt() -> str | None:
    for name in _LIBRARIES:
        try:
            return decode_version(ctypes.CDLL(name).getInferLibVersion())
        except OSError:
            continue
    return None


def decode_version(number: int) -> str:
    """Return what TensorRT's `getInferLibVersion` means: 100900 is 10.9.0."""
    return f"{number // 10_000}.{number // 100 % 100}.{number % 100}"


def check(repository: Path, machine: Machine, leaves: Sequence[str], digests: bool = True) -> None:
    """Raise SetupError at the first plan that `machine` cannot run, or that is not of its graph.

    Args:
        leaves: names of the leaf models that are served.
        digests: also read every plan (gigabytes of the quality tier) and hold it to its account. That is
            done last: what is cheap to see is said at once.
    """
    accounts = {leaf: _account(repository, leaf) for leaf in leaves}
    for leaf, account in accounts.items():
        _check_machine(repository, leaf, account, machine)
        _check_graph(repository, leaf, account)
    for leaf, account in accounts.items() if digests else ():
        plan = _plan(repository, leaf)
        with plan.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != account.plan_sha256:
            raise _refused(repository, f"{plan} is not the plan that {plan.stem}.json beside it tells of")


def check_stage(stage: str, repository: Path) -> None:
    """Raise SetupError where a generate stage starts in the profile tensorrt and its tier's plans do not fit.

    Digests are left to the command: every process of a stage would read gigabytes.
    """
    leaves = [
        model.name
        for tier in TIERS
        if stage == f"{tier}_generate"
        for model in of_tier(tier)
        if model.kind == "leaf"
    ]
    if leaves and served_profile(os.getppid()) == "tensorrt":
        check(repository, this_machine(), leaves, digests=False)


def served_profile(triton: int) -> str:
    """Return the profile that the Triton of this process id was told to serve; tensorrt where none."""
    words = Path(f"/proc/{triton}/cmdline").read_bytes().decode(errors="replace").split("\0")
    named = [word.partition("=")[2] for word in words if word.startswith(f"{_PROFILE}=")]
    named += [after for word, after in pairwise(words) if word == _PROFILE]
    return named[0] if named else "tensorrt"


def exported(repository: Path) -> list[str]:
    """Return the leaf models that the repository holds."""
    return [leaf.name for leaf in LEAVES if (repository / leaf.name / "1" / "manifest.json").is_file()]


def _plan(repository: Path, leaf: str) -> Path:
    return repository / leaf / "1" / PLAN


def _account(repository: Path, leaf: str) -> PlanAccount:
    plan = _plan(repository, leaf)
    if not plan.is_file():
        raise _refused(repository, f"{leaf} has no TensorRT plan ({plan})")
    try:
        account = read_account(plan)
    except SetupError as error:
        raise _refused(repository, error.message.rstrip(".")) from error
    if account.flavour != "tensorrt":
        raise _refused(
            repository,
            f"{plan} was built by {account.flavour} {account.version} for checking: it cannot be served",
        )
    return account


def _check_machine(repository: Path, leaf: str, account: PlanAccount, machine: Machine) -> None:
    version = ".".join(account.version.split(".")[:3])
    fits = all(found == account.compute_capability for found in machine.capabilities)
    if not fits or machine.tensorrt not in (None, version):
        built = f"{account.compute_capability} with TensorRT {account.version}"
        here = f"{', '.join(machine.capabilities)} and TensorRT {machine.tensorrt or 'unknown'}"
        raise _refused(repository, f"The plan of {leaf} was built for {built}; this machine has {here}")


def _check_graph(repository: Path, leaf: str, account: PlanAccount) -> None:
    path = repository / leaf / "1" / "manifest.json"
    try:
        files = json.loads(path.read_bytes())["files"]
        known = {file["sha256"] for file in files if file["precision"] == account.precision}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SetupError(
            f"{path} cannot be read.", f"Export the models again: lipserve-export all -o {repository}"
        ) from error
    if account.onnx_sha256 not in known:
        raise _refused(
            repository,
            f"The plan of {leaf} was built of another {account.precision} graph than the manifest's",
        )


def _refused(repository: Path, what: str) -> SetupError:
    return SetupError(f"{what}.", f"Build it here: lipserve-export engines -o {repository}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Check every leaf of a repository; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m lipserve_server.engines", description=__doc__)
    parser.add_argument("repository", type=Path, metavar="REPOSITORY")
    parser.add_argument("--compute-capability", metavar="SM", help="of another machine: sm90, say")
    parser.add_argument("--tensorrt", metavar="VERSION", help="of another machine: 10.9.0, say")
    options = parser.parse_args(arguments)
    if options.tensorrt and not options.compute_capability:
        parser.error("--tensorrt is of another machine: give its --compute-capability as well")
    try:
        leaves = exported(options.repository)
        if not leaves:
            raise SetupError(
                f"There is no exported model in {options.repository}.",
                f"Export them: lipserve-export all -o {options.repository}",
            )
        other = options.compute_capability
        machine = Machine((other,), options.tensorrt) if other else this_machine()
        check(options.repository, machine, leaves)
    except SetupError as error:
        print(f"{error.message}\n{error.remedy}", file=sys.stderr)
        return 1
    print(f"{', '.join(leaves)}: the plans fit {', '.join(machine.capabilities)}.", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
