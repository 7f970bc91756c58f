"""Choose the TensorRT engines of a store that this machine can run, or name those to build.

`python -m lipserve_server.repository.engines STORE` answers for this machine, or for another one.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from lipserve.contracts import PIPELINES, leaves_of
from lipserve.engine_store import EngineKey, compute_capabilities, fault, graph_digests, stored_keys
from lipserve.errors import EngineError, SetupError
from lipserve_server.repository.manifest import read_form
from lipserve_server.repository.models import held_models

_PROFILE = "--model-config-name"  # Triton's option that names it
_LIBRARIES = ("libnvinfer.so.11", "libnvinfer.so.10")


@dataclass(frozen=True)
class Machine:
    """The machine that serves: its GPUs and its TensorRT.

    Attributes:
        capabilities: of every GPU, for Triton runs every leaf on each: `sm90`, say.
        tensorrt: version of the library, "10.9.0"; None where it is not found.
    """

    capabilities: tuple[str, ...]
    tensorrt: str | None


def this_machine() -> Machine:
    """Return this machine's GPUs and TensorRT version; EngineError if it has no GPU."""
    capabilities = compute_capabilities()
    if not capabilities:
        raise EngineError(
            "No NVIDIA GPU is visible here; the profile tensorrt needs one.",
            "Check `nvidia-smi` (a pod must request nvidia.com/gpu), or use another profile.",
        )
    return Machine(tuple(capabilities), tensorrt_version())


def tensorrt_version() -> str | None:
    """Return the version of the TensorRT that the loader finds, "10.13.3"; None where there is none."""
    for name in _LIBRARIES:
        try:
            return decode_version(ctypes.CDLL(name).getInferLibVersion())
        except OSError:
            continue
    return None


def decode_version(number: int) -> str:
    """Return the version in the result of TensorRT's `getInferLibVersion`: 100900 is 10.9.0."""
    return f"{number // 10_000}.{number // 100 % 100}.{number % 100}"


def keys(machine: Machine, graphs: Mapping[str, str]) -> tuple[EngineKey, ...]:
    """Return the key of the plans that each kind of GPU here needs.

    Args:
        graphs: of every served leaf the sha256 of its FP16 graph.
    """
    if machine.tensorrt is None:
        raise EngineError(
            f"TensorRT is missing here: none of {', '.join(_LIBRARIES)} can be loaded.",
            "Run the image of the server, or use another profile.",
        )
    return tuple(
        EngineKey.of(capability, "tensorrt", machine.tensorrt, graphs.values())
        for capability in sorted(set(machine.capabilities))
    )


def choose(store: Path, machine: Machine, leaves: Sequence[str]) -> tuple[EngineKey, ...]:
    """Return the keys of the store's plans that this machine runs, one for each kind of its GPUs.

    Every plan is held to its account and to its graph. Reading them (gigabytes of the quality tier) is done
    last: what is cheap to see is said at once.

    Raises:
        EngineError: a plan is missing, or is not what its place says. The message names what is needed and
            what is there, the remedy what builds it.
    """
    graphs = graph_digests(store, leaves)
    chosen = keys(machine, graphs)
    for key in chosen:
        if not key.plan(store, leaves[0]).parent.parent.is_dir():
            raise _refused(
                store, f"{store} has no TensorRT plans for this machine ({key}){_others(store, key)}"
            )
    for whole in (False, True):
        for key in chosen:
            for leaf, graph in graphs.items():
                wrong = fault(key.plan(store, leaf), key, graph, whole)
                if wrong:
                    raise _refused(store, wrong)
    return chosen


def _others(store: Path, wanted: EngineKey) -> str:
    """Describe the engines that the store has instead, and how they differ."""
    differences = {
        key: [
            what
            for what, differs in (
                ("another GPU", key.compute_capability != wanted.compute_capability),
                ("for checking only", key.flavour != wanted.flavour),
                ("another TensorRT", key.flavour == wanted.flavour and key.version != wanted.version),
                ("other models", key.models != wanted.models),
            )
            if differs
        ]
        for key in stored_keys(store)
    }
    keys = "; ".join(f"{key}: {', '.join(parts)}" for key, parts in differences.items())
    return f". There is {keys}" if keys else ", and none for any other"


def _refused(store: Path, what: str) -> EngineError:
    return EngineError(
        f"{what}.",
        f"Build them on the GPU that serves, in the export image: lipserve export engines -o {store} "
        "(in a cluster: lipserve ops build-engines, or the chart with engines.build.enabled).",
    )


def link_name(key: EngineKey) -> str:
    """Return the file name of an engine in an assembled repository: `model.sm80.plan`."""
    return f"model.{key.compute_capability}.plan"


def filenames(chosen: Sequence[EngineKey]) -> dict[str, str]:
    """Return Triton's `cc_model_filenames`: the plan's name by compute capability, written as in 8.0."""
    digits = {key: key.compute_capability.removeprefix("sm") for key in chosen}
    return {f"{name[:-1]}.{name[-1]}": link_name(key) for key, name in digits.items()}


def check_stage(stage: str, repository: Path) -> None:
    """Raise EngineError where a generate stage starts in the profile tensorrt and its plans do not fit.

    They were chosen when the repository was assembled: this is for a Triton that was started another way.
    Plans are not read: every process of a stage would read gigabytes.
    """
    form = read_form(repository)
    leaves = [
        leaf.name
        for tier, pipeline in PIPELINES.items()
        if stage == pipeline.generate.name
        for leaf in leaves_of(tier, form)
    ]
    if not leaves or served_profile(os.getppid()) != "tensorrt":
        return
    machine, graphs = this_machine(), graph_digests(repository, leaves)
    for key in keys(machine, graphs):
        for leaf, graph in graphs.items():
            plan = (repository / leaf / "1" / link_name(key)).resolve()
            wrong = fault(plan, key, graph, whole=False)
            if wrong:
                raise EngineError(
                    f"{wrong}.", "Start Triton with `lipserve pod`: it links the plans of the store."
                )


def served_profile(triton: int) -> str:
    """Return the profile that the Triton with this process id serves; tensorrt if none is given."""
    words = Path(f"/proc/{triton}/cmdline").read_bytes().decode(errors="replace").split("\0")
    named = [word.partition("=")[2] for word in words if word.startswith(f"{_PROFILE}=")]
    named += [after for word, after in pairwise(words) if word == _PROFILE]
    return named[0] if named else "tensorrt"


def main(arguments: Sequence[str] | None = None) -> int:
    """Check a store; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m lipserve_server.repository.engines", description=__doc__)
    parser.add_argument("store", type=Path, metavar="STORE", help="model repository with engines")
    parser.add_argument(
        "--compute-capability", metavar="SM", help="compute capability of another machine, such as sm90"
    )
    parser.add_argument(
        "--tensorrt", metavar="VERSION", help="TensorRT version of another machine, such as 10.9.0"
    )
    options = parser.parse_args(arguments)
    if (options.tensorrt is None) != (options.compute_capability is None):
        parser.error("another machine needs both: --compute-capability and --tensorrt")
    try:
        leaves = [model.name for model in held_models(options.store) if model.kind == "leaf"]
        other = options.compute_capability
        machine = Machine((other,), options.tensorrt) if other else this_machine()
        chosen = choose(options.store, machine, leaves)
    except SetupError as error:
        print(f"{error.message}\n{error.remedy}", file=sys.stderr)
        return 1
    print(f"{', '.join(leaves)}: {', '.join(map(str, chosen))} fits.", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
