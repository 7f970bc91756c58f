"""Measure the quality tier's networks at full width on one NVIDIA GPU, with random weights.

    python -m bench.gpu                                          everything, in sum more than ten minutes
    python -m bench.gpu --parts step --resolutions 512 --ways eager,graph
    python -m bench.gpu --dry-run --resolutions 64               the same code on a CPU, as small as can be

Adds to build/gpu/report.json and prints the rows of docs/performance.md. Each part can run on its own.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import torch

from bench.gpu.device import Device, find
from bench.gpu.networks import Networks, fused_attention
from bench.gpu.recipes import RECIPES, window
from bench.gpu.report import Report, Row
from bench.gpu.ways import WAYS, Run, Way, prepare
from lipserve.contracts import Form
from lipserve.contracts.form import PIXELS_PER_LATENT
from lipserve.contracts.latentsync import WINDOW
from lipserve.errors import LipServeError, OptionsError

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("vae", "step", "recipes", "shm")
BATCHES = {"vae_encoder": (32,), "vae_decoder": (16,), "denoise_step": (1, 2), "denoise_step_shallow": (1, 2)}
EXIT_SETUP = 5


class Bench:
    """The measurements on one device.

    Args:
        repository: of full-width exported models, for the way `engine`.
    """

    def __init__(self, device: Device, report: Report, repository: Path | None) -> None:
        self._device, self._report, self._repository = device, report, repository
        self._networks = Networks(device)
        self._prepared: dict[tuple[Way, str, int], tuple[Run, str]] = {}

    def leaf(self, name: str, resolution: int, batch: int, way: Way) -> None:
        """Measure one leaf."""
        contract = self._networks.contracts(resolution)[name]

        def work() -> tuple[Callable[[], object], str]:
            run, engine = self._run(way, name, resolution)
            inputs = self._networks.inputs(contract, batch)
            return (lambda: run(inputs)), engine

        tflop = batch * self._networks.gflop(contract, resolution) / 1e3
        part = "vae" if name.startswith("vae") else "step"
        self._measure(part, name, resolution, batch, way, tflop, work)

    def recipe(self, name: str, resolution: int, way: Way) -> None:
        """Measure a window of one recipe from its pictures to its pictures."""
        recipe, contracts = RECIPES[name], self._networks.contracts(resolution)

        def work() -> tuple[Callable[[], object], str]:
            runs = {leaf: self._run(way, leaf, resolution) for leaf in BATCHES}
            form = Form(resolution, self._networks.channels)
            made = window(recipe, {leaf: run for leaf, (run, _) in runs.items()}, self._device, form)
            return made, runs["denoise_step"][1]

        one = {leaf: self._networks.gflop(contracts[leaf], resolution) / 1e3 for leaf in BATCHES}
        whole = -(-recipe.steps // recipe.deepcache)
        steps = whole * one["denoise_step"] + (recipe.steps - whole) * one["denoise_step_shallow"]
        tflop = steps + WINDOW * (2 * one["vae_encoder"] + one["vae_decoder"])
        self._measure("recipe", recipe.title, resolution, 1, way, tflop, work)

    def forget(self) -> None:
        """Give back what was compiled, recorded and loaded so far."""
        self._prepared.clear()
        torch._dynamo.reset()

    def _run(self, way: Way, name: str, resolution: int) -> tuple[Run, str]:
        key = (way, name, resolution)
        if key not in self._prepared:
            contract = self._networks.contracts(resolution)[name]
            self._prepared[key] = prepare(way, contract, self._networks, self._device, self._repository)
        return self._prepared[key]

    def _measure(
        self,
        part: str,
        what: str,
        resolution: int,
        batch: int,
        way: Way,
        tflop: float,
        prepared: Callable[[], tuple[Callable[[], object], str]],
    ) -> None:
        """Measure, and report a time or why there is none."""
        about = (self._device.name, part, what, resolution, batch, way)
        try:
            if self._device.is_gpu:
                torch.cuda.empty_cache()
                torch.cuda.reset_peak_memory_stats()
            with torch.no_grad():
                work, engine = prepared()
                milliseconds, runs = self._device.median(work)
            memory = torch.cuda.max_memory_allocated() / 1e9 if self._device.is_gpu else None
            row = Row(*about, milliseconds, runs, tflop, self._device.peak, memory, engine)
        except LipServeError as error:
            row = Row(*about, None, 0, tflop, self._device.peak, error=error.message)
        except RuntimeError as error:  # PyTorch's: out of memory, a graph that is not compiled or recorded
            told = f"{type(error).__name__}: {str(error).strip().splitlines()[0][:120]}"
            row = Row(*about, None, 0, tflop, self._device.peak, error=told)
        self._report.add(row)
        reached = f", {row.tflop_per_second:.1f} TFLOP/s" if row.tflop_per_second else ""
        time = row.error or f"{row.milliseconds:.2f} ms (median of {row.runs}){reached}"
        print(f"{what} {resolution} px, batch {batch}, {row.engine or way}: {time}", flush=True)


def main(arguments: list[str] | None = None) -> int:
    """Measure what the arguments name; 5 where there is no GPU, 1 where a test of shared memory failed."""
    args = _parser().parse_args(arguments)
    try:
        device = find(args.dry_run)
        _check_resolutions(args.resolutions, args.dry_run)
    except LipServeError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_SETUP
    report = Report(args.folder)
    if set(args.parts) - {"shm"}:
        with fused_attention():
            _networks(args, Bench(device, report, args.repository))
    print(report.markdown())
    return _shared_memory() if "shm" in args.parts else 0


def _networks(args: argparse.Namespace, bench: Bench) -> None:
    for resolution in args.resolutions:
        for way in args.ways:
            for name, batches in BATCHES.items():
                if ("vae" if name.startswith("vae") else "step") in args.parts:
                    for batch in batches:
                        bench.leaf(name, resolution, batch, way)
            if "recipes" in args.parts:
                for recipe in args.recipes:
                    bench.recipe(recipe, resolution, way)
            bench.forget()


def _shared_memory() -> int:
    """Send crops through CUDA shared memory to a stage and back; what cannot run says why."""
    command = [sys.executable, "-m", "pytest", "-q", "-rs", "tests/gpu/test_cuda_shm.py"]
    return 1 if subprocess.run(command, cwd=ROOT, check=False).returncode else 0


def _check_resolutions(resolutions: list[int], dry_run: bool) -> None:
    wrong = [side for side in resolutions if side not in (256, 512)]
    if wrong and not (dry_run and all(side > 0 and side % (8 * PIXELS_PER_LATENT) == 0 for side in wrong)):
        raise OptionsError(f"There is no tier of {wrong[0]} pixels.", "Measure 256 or 512.")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench.gpu", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )

    def names(known: tuple[str, ...]) -> Callable[[str], list[str]]:
        def read(text: str) -> list[str]:
            found = text.split(",")
            if set(found) - set(known):
                raise argparse.ArgumentTypeError(f"{text!r} is not among {', '.join(known)}")
            return found

        return read

    parser.add_argument("--parts", type=names(PARTS), default=list(PARTS), help=f"of {','.join(PARTS)}")
    parser.add_argument("--ways", type=names(WAYS), default=list(WAYS), help=f"of {','.join(WAYS)}")
    parser.add_argument("--recipes", type=names(tuple(RECIPES)), default=list(RECIPES), help="of A,C,D,E")
    parser.add_argument(
        "--resolutions",
        type=lambda text: [int(side) for side in text.split(",")],
        default=[256, 512],
        metavar="PIXELS,...",
        help="default 256,512",
    )
    parser.add_argument("--repository", type=Path, help="full-width exported models, for the way engine")
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "gpu", help="where the report is")
    parser.add_argument("--dry-run", action="store_true", help="on the CPU, with the smallest networks")
    return parser


if __name__ == "__main__":
    sys.exit(main())
