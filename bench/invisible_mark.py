"""How well an invisible mark survives encoding anew, and what it does to the picture.

    python -m bench.invisible_mark SPEECH CLIP [CLIP ...]

Each clip is dubbed with the speech by a real server, with the mark and without. The marked result is then
encoded anew with x264 at CRF 28 (veryfast): at its own size, and at 480 lines. Measured are the signs of the
code that are wrong in each of the three files, whether `lipserve check` finds the number, and the PSNR of the
pixels that carry the mark (of lossless results). Files without the mark are checked, too. Writes
build/invisible_mark/report.json, and prints a table.
"""

from __future__ import annotations

import argparse
import io
import json
from functools import partial
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from lipserve import Client
from lipserve.contracts import DEFAULT_TIER, TIER_NAMES, TierName
from lipserve.invisible_mark import code, read
from lipserve.media import decode, probe
from lipserve.quality.watch import measure
from lipserve.segments import Span
from lipserve_server.inside.leaves import OnnxLeaves
from lipserve_server.launcher.embedded import DEFAULT_REPOSITORY, EmbeddedServer

FOLDER = Path("build/invisible_mark")
NUMBER = "5a1f03c2"
LINES = 480
_CRF = 28


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.invisible_mark", description=__doc__)
    parser.add_argument("speech", type=Path)
    parser.add_argument("clips", type=Path, nargs="+")
    parser.add_argument("--tier", choices=TIER_NAMES, default=DEFAULT_TIER)
    args = parser.parse_args()
    FOLDER.mkdir(parents=True, exist_ok=True)
    leaves, rows = OnnxLeaves(DEFAULT_REPOSITORY), []
    with EmbeddedServer(DEFAULT_REPOSITORY, 0, 0) as server, Client(server.url, provenance=False) as client:
        for clip in args.clips:
            rows.append(_row(client, leaves, clip, args.speech, args.tier))
            print(_line(rows[-1]), flush=True)
    (FOLDER / "report.json").write_text(json.dumps(rows, indent=2))
    return 0


def _row(client: Client, leaves: OnnxLeaves, clip: Path, speech: Path, tier: TierName) -> dict[str, Any]:
    """Return what was measured of one clip."""
    dub = partial(client.dub, clip, speech, tier=tier, on_length_mismatch="cut")
    plain, marked = dub(), dub(invisible_mark=NUMBER)
    lossless = [dub(crf=0, preset="ultrafast", invisible_mark=mark).content for mark in (None, NUMBER)]
    files = {"made": marked.content, "crf28": encoded(marked.content), "480": encoded(marked.content, LINES)}
    found = {name: client.check(file).invisible_mark for name, file in files.items()}
    return {
        "clip": clip.name,
        "size": f"{marked.report.width}x{marked.report.height}",
        "seconds": round(marked.report.seconds, 1),
        "psnr": round(_psnr(*map(_luma, lossless)), 1),
        "more_bytes": round(len(marked.content) / len(plain.content) - 1, 3),
        "wrong_signs": {name: _wrong(leaves, file) for name, file in files.items()},
        "found": {name: mark is not None and mark.number == NUMBER for name, mark in found.items()},
        "score": {name: mark.score if mark else None for name, mark in found.items()},
        "false": client.check(plain.content).invisible_mark is not None,
    }


def encoded(film: bytes, lines: int | None = None) -> bytes:
    """Return the pictures of a film as somebody else would encode them: x264 at CRF 28, of so many lines."""
    out = io.BytesIO()
    with av.open(io.BytesIO(film), "r") as source, av.open(out, "w", format="mp4") as target:
        video = source.streams.video[0]
        height = lines or video.height
        width = round(video.width * height / video.height / 2) * 2
        how = {"preset": "veryfast", "crf": str(_CRF)}
        stream = target.add_stream("libx264", rate=video.average_rate, options=how)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for frame in source.decode(video):
            shown = frame.reformat(width, height, "yuv420p", interpolation="BICUBIC")
            shown.pts, shown.time_base = frame.pts, frame.time_base
            target.mux(stream.encode(shown))
        target.mux(stream.encode(None))
    return out.getvalue()


def _wrong(leaves: OnnxLeaves, film: bytes) -> float | None:
    """Return the share of the 96 signs that the film tells wrongly, of the face that is seen longest."""
    info = probe.probe(film)
    pictures = decode.read(film, info, 0, info.frames)
    runs = measure(leaves, pictures, info, Span(0, info.frames), None, marks=True).runs
    if not runs:
        return None
    run = max(runs, key=lambda run: len(run.skin))
    (soft, *_) = read.signs(np.array(run.skin, np.float32), run.first, float(info.fps))
    return round(float((np.sign(soft) != code.encode(NUMBER)).mean()), 3)


def _luma(film: bytes) -> NDArray[np.float32]:
    """Return the luma of the first two seconds or so."""
    info = probe.probe(film)
    pictures = decode.read(film, info, 0, min(info.frames, 50))
    return np.stack([picture.y.astype(np.float32) for picture in pictures])


def _psnr(plain: NDArray[np.float32], marked: NDArray[np.float32]) -> float:
    """Return the PSNR of the pixels that differ, dB."""
    power = (plain - marked) ** 2
    return float(10 * np.log10(255**2 / power[power > 0].mean()))


def _line(row: dict[str, Any]) -> str:
    cells = [row["clip"], row["size"], row["seconds"], row["psnr"], f"{row['more_bytes']:.1%}"]
    for name, wrong in row["wrong_signs"].items():
        share = "no face" if wrong is None else f"{wrong:.0%}"
        cells.append(f"{share}, {'found' if row['found'][name] else 'not found'}")
    return f"| {' | '.join(map(str, cells))} |"


if __name__ == "__main__":
    raise SystemExit(main())
