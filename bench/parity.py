"""Parity of the quality tier at full width, on this machine's CPU: PyTorch, the FP32 graph, the FP16 graph.

    python -m bench.parity [--leaves NAME ...] [--width full|tiny] [--resolution 256|512] [--output DIR]

Random weights, batch 1, seeded inputs; the decoder's are latents that the encoder gave. PyTorch runs each
module in float64, to which the FP32 graph on ONNX Runtime (one thread) is held, and in float32, which shows
how near that precision comes. The FP16 graph runs with every half value rounded as a GPU rounds it
(`lipserve_export.graphs.rounding`). For a whole denoising step 18 GB of memory are enough; it takes 13 GB of
disk meanwhile, and a quarter of an hour. Prints the table of docs/parity.md and writes `report.json`.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import shutil
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ParamSpec, TypeVar

import onnx_ir as ir
from torch import nn

from lipserve.contracts import Form, Model, leaves
from lipserve.contracts.latentsync import RESOLUTIONS
from lipserve.errors import LipServeError
from lipserve_export.fetch.files import write_atomically
from lipserve_export.graphs import manifest
from lipserve_export.graphs.dynamo import export
from lipserve_export.graphs.fp16 import mixed_fp16
from lipserve_export.graphs.parity import Arrays, Difference, differences, of_module, plausible_inputs
from lipserve_export.graphs.rounding import rounded
from lipserve_export.graphs.runtime import run, session
from lipserve_export.graphs.whisper import random_whisper
from lipserve_export.latentsync import unet3d, vae
from lipserve_export.latentsync.denoise import DenoiseStep, DenoiseStepShallow
from lipserve_export.latentsync.leaves import KEPT
from lipserve_export.latentsync.vae import VaeDecoder, VaeEncoder, random_vae

SEED = 1247
NAMES = tuple(model.name for model in leaves(Form()))
T = TypeVar("T")
P = ParamSpec("P")


@dataclass(frozen=True)
class Row:
    """One output of a leaf: its largest value, and how far each of the ways to compute it is from another.

    Attributes:
        torch: PyTorch in float32, from PyTorch in float64.
        fp32: the FP32 graph, from PyTorch in float64.
        between: the FP32 graph, from PyTorch in float32.
        fp16: the FP16 graph, from the FP32 graph.
    """

    leaf: str
    output: str
    largest_value: float
    torch: Difference
    fp32: Difference
    between: Difference
    fp16: Difference
    seconds: dict[str, float]


def module_of(name: str, full: bool) -> nn.Module:
    """Return a leaf's module with seeded random weights."""
    if name == "whisper_encoder":
        return random_whisper(SEED)
    if name.startswith("vae"):
        autoencoder = random_vae(vae.FULL if full else vae.TINY, SEED)
        return VaeEncoder(autoencoder) if name == "vae_encoder" else VaeDecoder(autoencoder)
    unet = unet3d.random_unet(unet3d.FULL if full else unet3d.TINY, SEED)
    return DenoiseStep(unet) if name == "denoise_step" else DenoiseStepShallow(unet)


def compare(name: str, full: bool, resolution: int, folder: Path) -> list[Row]:
    """Return a row for each output of a leaf, whose graphs are written into `folder`."""
    width = unet3d.FULL if full else unet3d.TINY
    described = manifest.Manifest(
        model=name, weights="random", variant="parity", parameters=0, macs=0,
        resolution=resolution, channels=width.block_out_channels[0],
    )  # fmt: skip
    path = manifest.folder(folder, name) / manifest.FILES["fp32"]
    seconds: dict[str, float] = {}
    given = _apart(_inputs, name, full, described.form)
    exact, seconds["float64"] = _apart(_exact, name, full, described.form, given)
    references, seconds["torch"], seconds["export"] = _apart(_references, folder, described, given, full)
    found, seconds["fp32"] = _apart(_outputs, path, given)
    _apart(_write_rounded, folder, described)
    half, seconds["fp16"] = _apart(_outputs, path, given)
    torch, fp32, between = (
        differences(references, exact),
        differences(found, exact),
        differences(found, references),
    )
    fp16 = differences(half, found)
    return [
        Row(
            name,
            output,
            float(abs(reference).max()),
            torch[output],
            fp32[output],
            between[output],
            fp16[output],
            seconds,
        )
        for output, reference in exact.items()
    ]


def _apart(work: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
    """Do a piece of work in a process of its own: what torch and ONNX Runtime keep of 5 GB ends with it."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["lipserve_export.latentsync.leaves"])  # torch is imported once
    with ProcessPoolExecutor(1, context) as process:
        return process.submit(work, *arguments, **named).result()


def _contract(name: str, form: Form) -> Model:
    return next(model for model in leaves(form) if model.name == name)


def _inputs(name: str, full: bool, form: Form) -> Arrays:
    if name != "vae_decoder":
        return plausible_inputs(_contract(name, form), 1)
    encoder = _contract("vae_encoder", form)
    latents = of_module(module_of(encoder.name, full), encoder, plausible_inputs(encoder, 1))["LATENTS"]
    return {"LATENTS": latents}


def _exact(name: str, full: bool, form: Form, given: Arrays) -> tuple[Arrays, float]:
    """Return what a module makes of `given` in float64, and the time in seconds."""
    module = module_of(name, full).eval().double()
    began = time.perf_counter()
    return of_module(module, _contract(name, form), given), round(time.perf_counter() - began, 1)


def _references(
    folder: Path, described: manifest.Manifest, given: Arrays, full: bool
) -> tuple[Arrays, float, float]:
    """Write both graphs of a module; return what the module makes of `given`, and both times in seconds."""
    contract = _contract(described.model, described.form)
    module = module_of(contract.name, full).eval()
    began = time.perf_counter()
    references = of_module(module, contract, given)
    middle = time.perf_counter()
    graph = export(module, contract)
    ended = time.perf_counter()
    keep = KEPT if contract.name.startswith("denoise") else ()
    manifest.write(folder, described, {"fp32": graph, "fp16": mixed_fp16(graph, keep)})
    return references, round(middle - began, 1), round(ended - middle, 1)


def _write_rounded(folder: Path, described: manifest.Manifest) -> None:
    """Write, in the FP32 graph's place, the FP16 graph as one that rounds."""
    half = ir.load(manifest.folder(folder, described.model) / manifest.FILES["fp16"])
    manifest.write(folder, described, {"fp32": rounded(half)})


def _outputs(path: Path, given: Arrays) -> tuple[Arrays, float]:
    began = time.perf_counter()
    return run(session(path), given), round(time.perf_counter() - began, 1)


def table(rows: list[Row]) -> str:
    """Return the rows as docs/parity.md shows them."""
    columns = ("leaf", "output", "largest value", "PyTorch FP32: largest error", "graph FP32: largest error",
               "between the two", "graph FP16: cosine", "relative RMS", "largest error")  # fmt: skip
    lines = [f"| {' | '.join(columns)} |", f"|{' --- |' * len(columns)}"]
    for row in rows:
        cells = [f"`{row.leaf}`", row.output, f"{row.largest_value:.3g}"]
        cells += [f"{one.largest:.1e}" for one in (row.torch, row.fp32, row.between)]
        cells += [f"{row.fp16.cosine:.6f}", f"{row.fp16.relative_rms:.1e}", f"{row.fp16.largest:.1e}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench.parity", description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--leaves", nargs="+", choices=NAMES, default=NAMES, metavar="NAME", help=", ".join(NAMES)
    )
    parser.add_argument("--width", choices=("full", "tiny"), default="full", help="default %(default)s")
    parser.add_argument(
        "--resolution", type=int, choices=RESOLUTIONS, default=256, help="default %(default)s"
    )
    parser.add_argument("--output", type=Path, default=Path("build/parity"), help="default %(default)s")
    options = parser.parse_args(arguments)
    rows: list[Row] = []
    try:
        for name in options.leaves:
            rows += compare(name, options.width == "full", options.resolution, options.output)
            shutil.rmtree(options.output / name)
            print(f"{name}: {rows[-1].seconds}", file=sys.stderr, flush=True)
            report = json.dumps([asdict(row) for row in rows], indent=2) + "\n"
            write_atomically(options.output / "report.json", report.encode())
    except LipServeError as error:
        print(f"{error.message}\n{error.remedy}", file=sys.stderr)
        return 1
    print(table(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
