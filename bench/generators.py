"""What the generators cost on one core: the original, and the compressed one that is shipped.

    python -m bench.generators

The served graphs run by turns in ONNX Runtime, one thread, so that what disturbs the machine disturbs both.
The original has random weights, as none may be shipped; a convolution's speed does not depend on them.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

from lipserve.contracts import NUMPY, WAV2LIP_GENERATOR
from lipserve_export.wav2lip.generator import wav2lip_generator
from lipserve_export.wav2lip.leaf import from_checkpoint, from_seed, shipped
from lipserve_server.inside.leaves import session

BATCHES = (1, 4, 16)
ROUNDS = 12


def main() -> None:
    """Measure, and print a table for docs/performance.md."""
    models = {"original": from_seed(1247, "original").model, "compressed": from_checkpoint(shipped()).model}
    with tempfile.TemporaryDirectory() as folder:
        sessions = {}
        for name, model in models.items():
            path = Path(folder) / f"{name}.onnx"
            onnx.save(wav2lip_generator(model), path)
            sessions[name] = session(path)
        print("| batch | original, ms a frame | compressed, ms a frame | times faster |")
        print("| --- | --- | --- | --- |")
        for batch in BATCHES:
            original, compressed = milliseconds(list(sessions.values()), batch)
            print(f"| {batch} | {original:.2f} | {compressed:.2f} | {original / compressed:.1f} |")


def milliseconds(sessions: list[onnxruntime.InferenceSession], batch: int) -> list[float]:
    """Return the median CPU time of a frame of each session; they run by turns."""
    rng = np.random.default_rng(0)
    feeds = {}
    for tensor in WAV2LIP_GENERATOR.inputs:
        noise = rng.random((batch, *tensor.dims)) * (255 if tensor.dtype == "UINT8" else 1)
        feeds[tensor.name] = noise.astype(NUMPY[tensor.dtype])
    times = np.zeros((ROUNDS, len(sessions)))
    for each in sessions:
        each.run(None, feeds)
    for row in times:
        for number, each in enumerate(sessions):
            began = time.process_time()
            each.run(None, feeds)
            row[number] = 1e3 * (time.process_time() - began) / batch
    return [float(value) for value in np.median(times, 0)]


if __name__ == "__main__":
    main()
