"""Entry point of `lipserve export`: convert weights into the leaf models of a Triton repository."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from lipserve.errors import SetupError
from lipserve_export.command_line import say
from lipserve_export.latentsync.commands import add_commands

# The modules that do the work load torch or onnx: they are imported where they are used, so that
# `--help` is instant and names what is missing.

LIPWARP = ("speech_encoder", "lip_motion", "lip_renderer")
"""Leaves of the tier lipwarp, one weight file each; repeated from the contracts, which import numpy."""


_EPILOG = """\
examples:
  lipserve export all -o build/model_repository             what comes with LipServe
  lipserve export wav2lip -o REPOSITORY --checkpoint FILE   a Wav2Lip checkpoint of yours
  lipserve export fetch unet-1.5 --accept-licence           public weights of the quality tier
  lipserve export engines -o REPOSITORY                     TensorRT engines for this machine's GPU
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = "Convert weights into the leaf models of a repository that Triton serves."
    parser.epilog = _EPILOG
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    faces = commands.add_parser("faces", help="export the face detector and the face mesh")
    _add_faces(faces)
    faces.set_defaults(run=_faces)

    wav2lip = commands.add_parser("wav2lip", help="export the generator of the tier wav2lip")
    _add_weights(wav2lip)
    wav2lip.set_defaults(run=_wav2lip)

    lipwarp = commands.add_parser("lipwarp", help="export speech encoder, lip motion and lip renderer")
    _add_networks(lipwarp)
    lipwarp.set_defaults(run=_lipwarp)

    quality = add_commands(commands, _seed)

    engines = commands.add_parser("engines", help="build TensorRT engines of the exported graphs")
    engines.add_argument(
        "-o", "--repository", dest="repository", type=Path, required=True, metavar="REPOSITORY",
        help="exported models; engines are written to its folder engines, valid ones are not built again",
    )  # fmt: skip
    engines.add_argument(
        "--target",
        metavar="SM",
        help="only check the graphs with TensorRT for RTX, without a GPU, for a compute capability such as "
        "sm80 (default: build engines for serving with TensorRT, for the GPU of this machine)",
    )
    engines.add_argument("--precision", choices=("fp16", "fp32"), default="fp16", help="default: fp16")
    engines.set_defaults(run=_engines)

    fetch = commands.add_parser("fetch", help="download public weights of the tier latentsync")
    fetch.add_argument("name", nargs="?", metavar="NAME", help="weights to download (default: list all)")
    fetch.add_argument(
        "--accept-licence",
        action="store_true",
        help="confirm that you have read and accept the licence that `lipserve export fetch` shows",
    )
    fetch.add_argument(
        "-o", dest="folder", type=Path, metavar="FOLDER", help="folder of the file (default: the cache)"
    )
    fetch.set_defaults(run=_fetch)

    check = commands.add_parser("verify", help="check each graph against its contract and run it")
    check.add_argument("repository", type=Path, metavar="REPOSITORY")
    check.set_defaults(run=_verify)

    everything = commands.add_parser(
        "all", help="all that needs no downloaded weights: faces, lipwarp, wav2lip; then verify"
    )
    _add_faces(everything)
    _add_networks(everything)
    _add_weights(everything)
    everything.set_defaults(run=_all)

    for command in (faces, wav2lip, lipwarp, *quality, everything):
        command.add_argument(
            "-o", "--repository", dest="repository", type=Path, required=True, metavar="REPOSITORY",
            help="model repository; the command writes only the folders <model>/1/",
        )  # fmt: skip


def _seed(text: str) -> int:
    if not text.isdecimal() or int(text) >= 2**63:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number from 0 to {2**63 - 1}")
    return int(text)


def _add_faces(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--yunet", type=Path, metavar="FILE", help="YuNet as ONNX (default: the one that comes with LipServe)"
    )
    command.add_argument(
        "--mediapipe", type=Path, metavar="WHEEL",
        help="wheel of mediapipe==0.10.21 (default: downloaded once with pip, then cached)",
    )  # fmt: skip
    command.add_argument(
        "--allow-unpinned", action="store_true", help="accept a --yunet with an unknown sha256"
    )
    command.add_argument(
        "--scrfd", type=Path, metavar="FILE",
        help="your copy of InsightFace's SCRFD detector, in place of YuNet (non-commercial licence)",
    )  # fmt: skip
    command.add_argument(
        "--landmarks106", type=Path, metavar="FILE",
        help="your copy of InsightFace's 2d106det.onnx, for the face alignment of latentsync "
        "(non-commercial licence)",
    )  # fmt: skip


def _add_networks(command: argparse.ArgumentParser) -> None:
    for leaf in LIPWARP:
        option = "--" + leaf.replace("_", "-")
        text = f"{leaf}.safetensors (default: the one that comes with LipServe)"
        command.add_argument(option, type=Path, metavar="FILE", help=text)


def _add_weights(command: argparse.ArgumentParser) -> None:
    weights = command.add_mutually_exclusive_group()
    weights.add_argument(
        "--checkpoint",
        type=Path,
        metavar="FILE",
        help="Wav2Lip checkpoint (default: the one that comes with LipServe)",
    )
    weights.add_argument(
        "--random-seed", type=_seed, metavar="SEED",
        help="random weights from this seed; the mouth is noise (for tests)",
    )  # fmt: skip
    command.add_argument(
        "--variant", choices=("compressed", "original"),
        help="network of --random-seed (default compressed; with --checkpoint it is detected)",
    )  # fmt: skip
    command.add_argument(
        "--framing", choices=("similarity", "box"),
        help="face crops that the generator was trained on: similarity (aligned) or box (detector box, "
        "stretched to a square) (default: as the checkpoint says; public ones: box; random: similarity)",
    )  # fmt: skip


def _faces(options: argparse.Namespace) -> None:
    from lipserve_export.faces.leaves import export_faces

    if options.scrfd is not None and (options.yunet is not None or options.allow_unpinned):
        raise SetupError("--scrfd replaces YuNet.", "Leave --yunet and --allow-unpinned out.")
    export_faces(
        options.repository, say, options.mediapipe, options.yunet, options.allow_unpinned,
        options.scrfd, options.landmarks106,
    )  # fmt: skip


def _wav2lip(options: argparse.Namespace) -> None:
    from lipserve_export.wav2lip.leaf import export_generator, from_checkpoint, from_seed, shipped

    if options.random_seed is not None:
        generator = from_seed(options.random_seed, options.variant or "compressed")
    elif options.variant is not None:
        raise SetupError(
            "--variant is only for --random-seed.", "Leave it out: a checkpoint's variant is detected."
        )
    else:
        generator = from_checkpoint(options.checkpoint or shipped())
    if options.framing is not None:
        generator = replace(generator, framing=options.framing)
    export_generator(options.repository, generator, say)


def _lipwarp(options: argparse.Namespace) -> None:
    from lipserve_export.lipwarp.leaves import export_lipwarp

    given = {leaf: getattr(options, leaf) for leaf in LIPWARP}
    export_lipwarp(options.repository, {leaf: path for leaf, path in given.items() if path}, say)


def _engines(options: argparse.Namespace) -> None:
    from lipserve_export.engines.build import build_engines

    build_engines(options.repository, say, options.target, options.precision)


def _fetch(options: argparse.Namespace) -> None:
    from lipserve_export.fetch import published

    if options.name is None:
        published.show(say)
    else:
        published.fetch(options.name, options.accept_licence, options.folder, say)


def _verify(options: argparse.Namespace) -> None:
    from lipserve_export.graphs.verify import verify

    verify(options.repository, say)


def _all(options: argparse.Namespace) -> None:
    _faces(options)
    _lipwarp(options)
    _wav2lip(options)
    _verify(options)
