"""The commands `whisper`, `vae`, `unet` and `latentsync` of `lipserve export`."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lipserve.errors import SetupError
from lipserve_export.arguments import add_repository, seed
from lipserve_export.command_line import say

RESOLUTIONS = (256, 512)  # the contracts' own, which bring numpy: `--help` does without
_FILES = {
    "whisper": "OpenAI's tiny.pt",
    "vae": "diffusion_pytorch_model.safetensors of sd-vae-ft-mse",
    "unet": "latentsync_unet.pt of LatentSync 1.5 (256 pixels) or 1.6 (512)",
}
_FETCHED = "`lipserve export fetch` downloads the weights."


def add_commands(commands: Any) -> None:
    """Add the four commands."""
    _add(
        commands, "whisper", _whisper,
        help="export the speech encoder of the tier latentsync",
        description=f"Export the speech encoder of the tier latentsync, Whisper tiny.\n{_FETCHED}",
        epilog="examples:\n  lipserve export whisper -o build/model_repository --whisper tiny.pt",
    )  # fmt: skip
    _add(
        commands, "vae", _vae,
        help="export the image encoder and decoder of the tier latentsync",
        description="Export the image encoder and the image decoder of the tier latentsync, the two halves\n"
        f"of a VAE. {_FETCHED}",
        epilog="examples:\n  lipserve export vae -o build/model_repository --vae sd-vae-ft-mse.safetensors",
    )  # fmt: skip
    _add(
        commands, "unet", _unet,
        help="export the denoising steps of the tier latentsync, whole and shallow",
        description="Export the two denoising steps of the tier latentsync: the whole UNet, and the shallow\n"
        f"one for the steps that --deepcache shortens. {_FETCHED}",
        epilog="examples:\n"
        "  lipserve export unet -o build/model_repository --unet latentsync-1.5.pt\n"
        "  lipserve export unet -o DIR --resolution 512 --unet latentsync-1.6.pt",
    )  # fmt: skip
    _add(
        commands, "latentsync", _latentsync,
        help="export the whole tier latentsync: whisper, vae and unet in one",
        description="Export the five models of the tier latentsync: whisper, vae and unet in one. The tier\n"
        f"also needs the face models of `lipserve export faces`.\n{_FETCHED}",
        epilog="examples:\n"
        "  lipserve export latentsync -o build/model_repository \\\n"
        "      --whisper whisper-tiny.pt --vae sd-vae-ft-mse.safetensors \\\n"
        "      --unet latentsync-1.5.pt\n"
        "  lipserve export latentsync -o build/noise --random-seed 1",
    )  # fmt: skip


def _add(commands: Any, name: str, run: Callable[[argparse.Namespace], None], **texts: str) -> None:
    command = commands.add_parser(name, **texts)
    add_repository(command)
    for network in (name,) if name in _FILES else _FILES:
        command.add_argument(f"--{network}", type=Path, metavar="FILE", help=_FILES[network])
    command.add_argument(
        "--random-seed", type=seed, metavar="SEED",
        help="random weights from this seed, in networks of reduced width (Whisper: full width), in place "
        "of files (for tests: the mouth is noise)",
    )  # fmt: skip
    if name != "whisper":
        command.add_argument(
            "--resolution", type=int, choices=RESOLUTIONS, default=256,
            help="side of the face crop in pixels that the UNet was trained for (default %(default)s)",
        )  # fmt: skip
    command.set_defaults(run=run)


def _source(options: argparse.Namespace, network: str) -> Path | int:
    """Return the file of a network, or the seed; SetupError unless exactly one of them is given."""
    file: Path | None = getattr(options, network)
    number: int | None = options.random_seed
    if file is not None and number is not None:
        raise SetupError(f"--{network} and --random-seed exclude each other.", "Give one of them.")
    if file is not None:
        return file
    if number is None:
        raise SetupError(
            f"No {network} weights given.",
            f"Give their file with --{network} ({_FILES[network]}; `lipserve export fetch` downloads it), or "
            "--random-seed.",
        )
    return number


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
    # All files are read before the first export, so that a bad file is reported at once.
    whisper = leaves.whisper_source(sources["whisper"])
    vae = leaves.vae_source(sources["vae"])
    unet = leaves.unet_source(sources["unet"])
    leaves.export_all(options.repository, whisper, vae, unet, options.resolution, say)
