"""Flags of `lipserve dub` for cues, and for the sound of the result."""

from __future__ import annotations

import argparse
from typing import Any

from lipserve.errors import OptionsError


def add_direction(parser: argparse.ArgumentParser) -> None:
    """Add the flags of who speaks what and when, and of what is heard."""
    cues = parser.add_argument_group("cues")
    cues.add_argument(
        "--cues",
        metavar="JSON",
        help="file that says who speaks what, and when: LipServe's own form, the speaker data of NVIDIA's "
        "LipSync NIM, or segments of sync.so; the result is as long as the video (docs/cues.md)",
    )
    cues.add_argument(
        "--bypass",
        metavar="FROM-TO",
        action="append",
        default=[],
        help="stretch, in seconds, in which the picture stays untouched, such as 3.5-7; repeatable",
    )
    sound = parser.add_argument_group("sound")
    sound.add_argument(
        "--background",
        metavar="FILE",
        help="sound under the speech, which steps back while the speech is heard: a file, or `video` for the "
        "video's own sound",
    )
    sound.add_argument(
        "--background-lufs",
        type=float,
        metavar="LUFS",
        help="loudness of the background as a whole, such as -30 (default: as it is)",
    )
    sound.add_argument(
        "--loudness",
        type=float,
        metavar="LUFS",
        help="loudness of the result as a whole, such as -16 for the web or -23 for broadcasting "
        "(default: as it comes)",
    )


def direction_of(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return what `add_direction` has added, as keywords of `Client.dub`."""
    return {
        "cues": arguments.cues,
        "bypass": [_stretch(text) for text in arguments.bypass],
        "background": arguments.background,
        "background_lufs": arguments.background_lufs,
        "loudness": arguments.loudness,
    }


def _stretch(text: str) -> dict[str, float]:
    start, _, end = text.partition("-")
    try:
        return {"start": float(start), "end": float(end)}
    except ValueError:
        raise OptionsError(
            f"--bypass {text} is not a stretch of time.", "Give two times in seconds, such as 3.5-7."
        ) from None
