"""Arguments that several commands of `lipserve export` share."""

from __future__ import annotations

import argparse
from pathlib import Path

LIPWARP = ("speech_encoder", "lip_motion", "lip_renderer")
"""Leaves of the tier lipwarp, one weight file each; repeated from the contracts, which import numpy."""


def add_repository(command: argparse.ArgumentParser) -> None:
    """Add the flag of the model repository that a command writes to."""
    command.add_argument(
        "-o", "--repository", dest="repository", type=Path, required=True, metavar="DIR",
        help="model repository; the command writes only the folders <model>/1/",
    )  # fmt: skip


def seed(text: str) -> int:
    """Return the seed that a text gives: 0 to 2^63 - 1."""
    if not text.isdecimal() or int(text) >= 2**63:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number from 0 to {2**63 - 1}")
    return int(text)


def add_faces(command: argparse.ArgumentParser) -> None:
    """Add the flags of the face models."""
    command.add_argument(
        "--yunet", type=Path, metavar="FILE", help="YuNet as ONNX (default: the one that comes with LipServe)"
    )
    command.add_argument(
        "--mediapipe", type=Path, metavar="WHEEL",
        help="wheel of mediapipe==0.10.21, which contains the face mesh (default: downloaded once with pip, "
        "then cached)",
    )  # fmt: skip
    command.add_argument(
        "--allow-unpinned", action="store_true", help="accept a file of --yunet whose sha256 is unknown"
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


def add_lipwarp(command: argparse.ArgumentParser) -> None:
    """Add the flags of the networks of the tier lipwarp."""
    for leaf in LIPWARP:
        option = "--" + leaf.replace("_", "-")
        text = f"weights of {leaf} (default: {leaf}.safetensors, which comes with LipServe)"
        command.add_argument(option, type=Path, metavar="FILE", help=text)


def add_wav2lip(command: argparse.ArgumentParser) -> None:
    """Add the flags of the generator of the tier wav2lip."""
    weights = command.add_mutually_exclusive_group()
    weights.add_argument(
        "--checkpoint",
        type=Path,
        metavar="FILE",
        help="Wav2Lip checkpoint (default: the one that comes with LipServe)",
    )
    weights.add_argument(
        "--random-seed", type=seed, metavar="SEED",
        help="random weights from this seed, in place of --checkpoint (for tests: the mouth is noise)",
    )  # fmt: skip
    command.add_argument(
        "--variant", choices=("compressed", "original"),
        help="network of --random-seed (default compressed; with --checkpoint it is detected)",
    )  # fmt: skip
    command.add_argument(
        "--framing", choices=("similarity", "box"),
        help="face crops that the generator was trained on: similarity (aligned) or box (detector box, "
        "stretched to a square) (default: as the checkpoint says; public checkpoints: box; random weights: "
        "similarity)",
    )  # fmt: skip
