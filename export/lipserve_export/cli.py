"""`lipserve export`: public weights into the leaf models of a Triton repository."""

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
"""The leaves that have weights of ours, each in a file; the contracts' own names, but those bring numpy."""


_EPILOG = """\
examples:
  lipserve export all -o build/model_repository             what comes with LipServe
  lipserve export wav2lip -o REPOSITORY --checkpoint FILE   a Wav2Lip checkpoint of yours
  lipserve export fetch unet-1.5 --accept-licence           public weights of the quality tier
  lipserve export engines -o REPOSITORY                     TensorRT engines for this machine's GPU
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = "Turn weights into the models of a repository that Triton serves."
    parser.epilog = _EPILOG
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    faces = commands.add_parser("faces", help="face detector and face mesh")
    _add_faces(faces)
    faces.set_defaults(run=_faces)

    wav2lip = commands.add_parser("wav2lip", help="the fast tier's generator")
    _add_weights(wav2lip)
    wav2lip.set_defaults(run=_wav2lip)

    lipwarp = commands.add_parser("lipwarp", help="speech encoder, lip motion and lip renderer")
    _add_networks(lipwarp)
    lipwarp.set_defaults(run=_lipwarp)

    quality = add_commands(commands, _seed)

    engines = commands.add_parser("engines", help="TensorRT plans of the exported graphs")
    engines.add_argument(
        "-o", "--repository", dest="repository", type=Path, required=True, metavar="REPOSITORY",
        help="exported models; plans go into its folder engines, what is there and whole is not built again",
    )  # fmt: skip
    engines.add_argument(
        "--target",
        metavar="SM",
        help="check with TensorRT for RTX, without a GPU, for this compute capability: sm80, say "
        "(default: build for serving, with TensorRT, for the GPU that is there)",
    )
    engines.add_argument("--precision", choices=("fp16", "fp32"), default="fp16", help="default %(default)s")
    engines.set_defaults(run=_engines)

    fetch = commands.add_parser("fetch", help="public weights of the quality tier, from their publishers")
    fetch.add_argument("name", nargs="?", metavar="NAME", help="which (default: list them)")
    fetch.add_argument("--accept-licence", action="store_true", help="you have read it, and accept it")
    fetch.add_argument("-o", dest="folder", type=Path, metavar="FOLDER", help="default: the cache")
    fetch.set_defaults(run=_fetch)

    check = commands.add_parser("verify", help="hold a repository's graphs to their contracts and run each")
    check.add_argument("repository", type=Path, metavar="REPOSITORY")
    check.set_defaults(run=_verify)

    everything = commands.add_parser(
        "all", help="what needs no weights but ours: faces, lipwarp, wav2lip, verify"
    )
    _add_faces(everything)
    _add_networks(everything)
    _add_weights(everything)
    everything.set_defaults(run=_all)

    for command in (faces, wav2lip, lipwarp, *quality, everything):
        command.add_argument(
            "-o", "--repository", dest="repository", type=Path, required=True, metavar="REPOSITORY",
            help="model repository; only <model>/1/ folders are made in it",
        )  # fmt: skip


def _seed(text: str) -> int:
    if not text.isdecimal() or int(text) >= 2**63:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number from 0 to {2**63 - 1}")
    return int(text)


def _add_faces(command: argparse.ArgumentParser) -> None:
    command.add_argument("--yunet", type=Path, metavar="FILE", help="another YuNet (default: ours)")
    command.add_argument(
        "--mediapipe", type=Path, metavar="WHEEL",
        help="the wheel of mediapipe==0.10.21 (default: the cached one, or fetched once with pip)",
    )  # fmt: skip
    command.add_argument("--allow-unpinned", action="store_true", help="accept a YuNet of another sha256")
    command.add_argument(
        "--scrfd", type=Path, metavar="FILE",
        help="InsightFace's detector instead of YuNet: a file of yours, for non-commercial use only",
    )  # fmt: skip
    command.add_argument(
        "--landmarks106", type=Path, metavar="FILE",
        help="InsightFace's 2d106det.onnx, by which latentsync then aligns faces: likewise",
    )  # fmt: skip


def _add_networks(command: argparse.ArgumentParser) -> None:
    for leaf in LIPWARP:
        option = "--" + leaf.replace("_", "-")
        command.add_argument(option, type=Path, metavar="FILE", help=f"{leaf}.safetensors (default: ours)")


def _add_weights(command: argparse.ArgumentParser) -> None:
    weights = command.add_mutually_exclusive_group()
    weights.add_argument(
        "--checkpoint", type=Path, metavar="FILE", help="a Wav2Lip checkpoint (default: ours)"
    )
    weights.add_argument(
        "--random-seed", type=_seed, metavar="SEED",
        help="seeded random weights: the mouth is noise",
    )  # fmt: skip
    command.add_argument(
        "--variant", choices=("compressed", "original"),
        help="of the random generator (default compressed; a checkpoint's is detected)",
    )  # fmt: skip
    command.add_argument(
        "--framing", choices=("similarity", "box"),
        help="of the crops that the generator knows: aligned, or detector boxes stretched to a square "
        "(default: what the checkpoint names; box for a public one, similarity for random weights)",
    )  # fmt: skip


def _faces(options: argparse.Namespace) -> None:
    from lipserve_export.faces.leaves import export_faces

    if options.scrfd is not None and (options.yunet is not None or options.allow_unpinned):
        raise SetupError("--scrfd takes YuNet's place.", "Leave --yunet and --allow-unpinned out.")
    export_faces(
        options.repository, say, options.mediapipe, options.yunet, options.allow_unpinned,
        options.scrfd, options.landmarks106,
    )  # fmt: skip


def _wav2lip(options: argparse.Namespace) -> None:
    from lipserve_export.wav2lip.leaf import export_generator, from_checkpoint, from_seed, shipped

    if options.random_seed is not None:
        generator = from_seed(options.random_seed, options.variant or "compressed")
    elif options.variant is not None:
        raise SetupError("--variant means nothing to a checkpoint.", "Leave it out: it is detected.")
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
