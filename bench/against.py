"""CPU cost of the client and the first stage in two checkouts, measured in turns in one run.

    python -m bench.against OTHER_CHECKOUT CLIP ... [--turns 12] [--repository build/model_repository]

A process of each checkout does the same work in turn, so whatever else the machine does meets both alike: the
client looks through a clip, and the first stages of two tiers serve a request of half a second, without what
their networks take. `probe` is a part of each of these.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[1]
_SAMPLES = 8000  # of speech: what is done for each frame would hide the rest
_PACKAGES = (".", "client", "server")
_WORKER = "--worker"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("other", type=Path, help="a checkout of another commit")
    parser.add_argument("clips", type=Path, nargs="+")
    parser.add_argument("--turns", type=int, default=12)
    parser.add_argument("--repository", type=Path, default=ROOT / "build/model_repository")
    asked = parser.parse_args()
    with _worker(asked.other, asked.repository) as other, _worker(ROOT, asked.repository) as own:
        print("| clip | part | other, CPU ms | this, CPU ms | saved, median of the pairs | quartiles |")
        print("| --- | --- | --- | --- | --- | --- |")
        for clip in asked.clips:
            _compare(clip, other, own, asked.turns)


def _compare(clip: Path, other: _Ask, own: _Ask, turns: int) -> None:
    for ask in (other, own):
        ask(clip)  # what is loaded once
    pairs = []
    for turn in range(turns):
        both = [ask(clip) for ask in ((other, own) if turn % 2 else (own, other))]
        pairs.append(both if turn % 2 else both[::-1])
    for part in pairs[0][0]:
        before, after = ([pair[side][part] for pair in pairs] for side in (0, 1))
        saved = [a - b for a, b in zip(before, after, strict=True)]
        low, middle, high = statistics.quantiles(saved, n=4)
        told = f"{statistics.median(before):.1f} | {statistics.median(after):.1f} | {middle:.1f}"
        print(f"| {clip.name} | {part} | {told} | {low:.1f} .. {high:.1f} |", flush=True)


_Ask = Callable[[Path], dict[str, float]]


@contextmanager
def _worker(checkout: Path, repository: Path) -> Iterator[_Ask]:
    """Give what asks a process of a checkout for the CPU milliseconds of each part of a clip."""
    paths = os.pathsep.join(str(checkout.resolve() / name) for name in _PACKAGES)
    process = subprocess.Popen(
        [sys.executable, __file__, _WORKER, str(repository.resolve())],
        env={**os.environ, "PYTHONPATH": paths},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    questions, answers = process.stdin, process.stdout
    assert questions is not None
    assert answers is not None

    def ask(clip: Path) -> dict[str, float]:
        print(clip.resolve(), file=questions, flush=True)
        return dict(json.loads(answers.readline()))

    with process:
        yield ask
        questions.close()


def _work(repository: Path) -> None:
    """Answer each line, the path of a clip, with the CPU milliseconds of each part."""
    from lipserve import audio
    from lipserve.media import probe
    from lipserve.options import Options
    from lipserve.tiers import LIPWARP, WAV2LIP
    from lipserve_client._clip import Clip
    from lipserve_server.inside.stages.lipwarp_preprocess import LipwarpPreprocess
    from lipserve_server.inside.stages.preprocess import Preprocess

    leaves = _Leaves(repository)
    plain, preparing = Preprocess(WAV2LIP, leaves), LipwarpPreprocess(Preprocess(LIPWARP, leaves))
    speech = audio.wav(np.random.default_rng(1).normal(0, 0.1, _SAMPLES).astype(np.float32))
    for line in sys.stdin:
        path = line.rstrip("\n")
        video = Path(path).read_bytes()
        parts: dict[str, Callable[[], object]] = {
            "probe": partial(probe.probe, video),
            "client": partial(Clip, path, speech, Options(), "wav2lip"),
            "wav2lip_preprocess": partial(plain, video, speech),
            "lipwarp_preprocess": partial(preparing, video, speech),
        }
        print(json.dumps({part: _milliseconds(work, leaves) for part, work in parts.items()}), flush=True)


class _Leaves:
    """Leaf models whose CPU time is known."""

    def __init__(self, repository: Path) -> None:
        from lipserve_server.inside.leaves import OnnxLeaves

        self._run = OnnxLeaves(repository)
        self.seconds = 0.0

    def __call__(
        self, model: str, inputs: dict[str, NDArray[Any]], outputs: Sequence[str] | None = None
    ) -> dict[str, NDArray[Any]]:
        began = time.process_time()
        made = self._run(model, inputs, outputs)
        self.seconds += time.process_time() - began
        return made


def _milliseconds(work: Callable[[], object], leaves: _Leaves) -> float:
    """Return what a part takes of the CPU, without the leaves."""
    began, leaves.seconds = time.process_time(), 0.0
    work()
    return 1000 * (time.process_time() - began - leaves.seconds)


if __name__ == "__main__":
    if sys.argv[1:2] == [_WORKER]:
        _work(Path(sys.argv[2]))
    else:
        main()
