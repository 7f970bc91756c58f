"""Entry point of `lipserve export`: convert weights into the leaf models of a Triton repository."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TypeAlias

from lipserve_export import commands as runs
from lipserve_export.arguments import add_faces, add_lipwarp, add_repository, add_wav2lip
from lipserve_export.latentsync.commands import add_commands

_EPILOG = """\
examples:
  lipserve export all -o build/model_repository
      export the weights that come with LipServe
  lipserve export wav2lip -o build/model_repository --checkpoint wav2lip_gan.pth
      export a Wav2Lip checkpoint of yours
  lipserve export fetch latentsync-1.5 --accept-licence
      download public weights of the tier latentsync
  lipserve export engines -o build/model_repository
      build TensorRT engines for the GPU of this machine

`lipserve export COMMAND --help` explains each command, docs/export.md what it
writes.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = "Convert weights into the leaf models of a repository that Triton serves."
    parser.epilog = _EPILOG
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_all(commands)
    _add_faces(commands)
    _add_lipwarp(commands)
    _add_wav2lip(commands)
    add_commands(commands)
    _add_fetch(commands)
    _add_engines(commands)
    _add_verify(commands)


_Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def _add_all(commands: _Commands) -> None:
    command = commands.add_parser(
        "all",
        help="export everything that needs no download: faces, lipwarp, wav2lip; then verify",
        description="Export the face models and the tiers lipwarp and wav2lip with the weights that come\n"
        "with LipServe, then check the result: faces, lipwarp, wav2lip and verify in one.",
        epilog="examples:\n"
        "  lipserve export all -o build/model_repository\n"
        "  lipserve export all -o build/model_repository --checkpoint wav2lip_gan.pth",
    )
    add_repository(command)
    add_faces(command)
    add_lipwarp(command)
    add_wav2lip(command)
    command.set_defaults(run=runs.export_all)


def _add_faces(commands: _Commands) -> None:
    command = commands.add_parser(
        "faces",
        help="export the face detector and the face mesh",
        description="Export the face detector (YuNet) and the face mesh (MediaPipe, 468 points). Every\n"
        "tier needs both.",
        epilog="examples:\n"
        "  lipserve export faces -o build/model_repository\n"
        "  lipserve export faces -o DIR --scrfd det_10g.onnx --landmarks106 2d106det.onnx",
    )
    add_repository(command)
    add_faces(command)
    command.set_defaults(run=runs.export_faces)


def _add_lipwarp(commands: _Commands) -> None:
    command = commands.add_parser(
        "lipwarp",
        help="export the tier lipwarp: speech encoder, lip motion, lip renderer",
        description="Export the three networks of the tier lipwarp: the speech encoder, the lip motion and\n"
        "the lip renderer. Without options: the weights that come with LipServe.",
        epilog="examples:\n"
        "  lipserve export lipwarp -o build/model_repository\n"
        "  lipserve export lipwarp -o DIR --lip-motion lip_motion.safetensors",
    )
    add_repository(command)
    add_lipwarp(command)
    command.set_defaults(run=runs.export_lipwarp)


def _add_wav2lip(commands: _Commands) -> None:
    command = commands.add_parser(
        "wav2lip",
        help="export the generator of the tier wav2lip",
        description="Export the generator of the tier wav2lip: the one that comes with LipServe, a Wav2Lip\n"
        "checkpoint of yours, or random weights.",
        epilog="examples:\n"
        "  lipserve export wav2lip -o build/model_repository\n"
        "  lipserve export wav2lip -o build/model_repository --checkpoint wav2lip_gan.pth\n"
        "  lipserve export wav2lip -o build/noise --random-seed 1 --variant original",
    )
    add_repository(command)
    add_wav2lip(command)
    command.set_defaults(run=runs.export_wav2lip)


def _add_fetch(commands: _Commands) -> None:
    command = commands.add_parser(
        "fetch",
        help="download public weights of the tier latentsync",
        description="Download one file of public weights of the tier latentsync and check its sha256.\n"
        "Without NAME: list the files, their sizes and their licences.",
        epilog="examples:\n"
        "  lipserve export fetch\n"
        "  lipserve export fetch latentsync-1.5 --accept-licence\n"
        "  lipserve export fetch whisper-tiny --accept-licence -o build/weights",
    )
    command.add_argument("name", nargs="?", metavar="NAME", help="weights to download (default: list all)")
    command.add_argument(
        "--accept-licence",
        action="store_true",
        help="confirm that you have read and accept the licence of the weights; `lipserve export fetch "
        "NAME` shows it",
    )
    command.add_argument(
        "-o",
        dest="folder",
        type=Path,
        metavar="DIR",
        help="folder of the file (default: $XDG_CACHE_HOME/lipserve, else ~/.cache/lipserve)",
    )
    command.set_defaults(run=runs.fetch)


def _add_engines(commands: _Commands) -> None:
    command = commands.add_parser(
        "engines",
        help="build TensorRT engines of the exported graphs",
        description="Build a TensorRT engine of every exported graph, for the GPU of this machine. Engines\n"
        "that exist and fit are not built again.",
        epilog="examples:\n"
        "  lipserve export engines -o build/model_repository\n"
        "  lipserve export engines -o build/model_repository --target sm80   only a check",
    )
    command.add_argument(
        "-o", "--repository", dest="repository", type=Path, required=True, metavar="DIR",
        help="model repository with the exported graphs; the engines are written to its folder engines",
    )  # fmt: skip
    command.add_argument(
        "--target",
        metavar="SM",
        help="only check the graphs with TensorRT for RTX, without a GPU, for this compute capability, such "
        "as sm80 (default: build engines that TensorRT can serve)",
    )
    command.add_argument(
        "--precision",
        choices=("fp16", "fp32"),
        default="fp16",
        help="graphs to build: in half precision, which servers use, or in single precision, for comparisons "
        "(default %(default)s)",
    )
    command.set_defaults(run=runs.engines)


def _add_verify(commands: _Commands) -> None:
    command = commands.add_parser(
        "verify",
        help="check every graph of a repository and run it",
        description="Check every leaf model of a repository: the digests of its files, the names, types and\n"
        "shapes of its tensors, a run of both graphs, and the engines if there are any. The\n"
        "first fault ends the command.",
        epilog="examples:\n  lipserve export verify build/model_repository",
    )
    command.add_argument("repository", type=Path, metavar="DIR", help="model repository to check")
    command.set_defaults(run=runs.verify)
