"""The commands `whisper`, `vae`, `unet` and `latentsync`: their options, and what they run."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lipserve.errors import SetupError
from lipserve_export.command_line import say

RESOLUTIONS = (256, 512)  # the contracts' own, which bring numpy: `--help` does without
_FILES = {
    "whisper": "OpenAI's tiny.pt",
    "vae": "diffusion_pytorch_model.safetensors of sd-vae-ft-mse",
    "unet": "latentsync_unet.pt of LatentSync 1.5 (256 pixels) or 1.6 (512)",
}


def add_commands(commands: Any, seed: Callable[[str], int]) -> list[argparse.ArgumentParser]:
    """Add the four commands and return their parsers; each still wants `-o`."""
    helps = (
        ("whisper", "the quality tier's speech encoder"),
        ("vae", "the quality tier's picture encoder and decoder"),
        ("unet", "the quality tier's denoising steps, whole and shallow"),
        ("latentsync", "whisper, vae and unet: the quality tier's five models"),
    )
    runs = {"whisper": _whisper, "vae": _vae, "unet": _unet, "latentsync": _latentsync}
    parsers = []
    for name, text in helps:
        command = commands.add_parser(name, help=text)
        for network in (name,) if name in _FILES else _FILES:
            command.add_argument(f"--{network}", type=Path, metavar="FILE", help=_FILES[network])
        command.add_argument(
            "--random-seed", type=seed, metavar="SEED",
            help="seeded random weights, reduced width (not Whisper): all works, the mouth is noise",
        )  # fmt: skip
        if name != "whisper":
            command.add_argument(
                "--resolution", type=int, choices=RESOLUTIONS, default=256,
                help="pixels, side of a face: what the UNet was trained for (default %(default)s)",
            )  # fmt: skip
        command.set_defaults(run=runs[name])
        parsers.append(command)
    return parsers


def _source(options: argparse.Namespace, network: str) -> Path | int:
    """Return the file of a network, or the seed; SetupError unless it is one of them."""
    given: Path | None = getattr(options, network)
    seed: int | None = options.random_seed
    if given is not None and seed is not None:
        raise SetupError(f"--{network} and --random-seed exclude each other.", "Give one of them.")
    if given is not None:
        return given
    if seed is None:
        raise SetupError(
            f"Nothing says which weights --{network} has.",
            f"Give its file ({_FILES[network]}; see `lipserve export fetch`), or --random-seed.",
        )
    return seed


def _whisper(options: argparse.Namespace) -> None:
    from lipserve_export.latentsync.leaves import export_whisper, form_beside, whisper_source

    source = _source(options, "whisper")
    form = form_beside(options.repository, source)
    export_whisper(options.repository, whisper_source(source), form, say)


def _vae(options: argparse.Namespace) -> None:
    from lipserve_export.latentsync.leaves import export_vae, form_beside, vae_source

    source = _source(options, "vae")
    form = form_beside(options.repository, source, options.resolution)
    export_vae(options.repository, vae_source(source), form, say)


def _unet(options: argparse.Namespace) -> None:
    from lipserve_export.latentsync.leaves import export_unet, unet_source

    export_unet(options.repository, unet_source(_source(options, "unet")), options.resolution, say)


def _latentsync(options: argparse.Namespace) -> None:
    from lipserve_export.latentsync import leaves

    sources = {network: _source(options, network) for network in _FILES}
    # All are read before the first is exported: what is wrong with a file is said at once.
    whisper = leaves.whisper_source(sources["whisper"])
    vae = leaves.vae_source(sources["vae"])
    unet = leaves.unet_source(sources["unet"])
    leaves.export_all(options.repository, whisper, vae, unet, options.resolution, say)
