"""Send face crops of your own to the generator of the tier wav2lip, and get crops with moved lips back.

python examples/03_own_crops.py CROPS.npy SPEECH.npy OUTPUT.npy [HOST:PORT]

CROPS.npy holds uint8 [N, 96, 96, 3] RGB at 25 frames a second, SPEECH.npy float32 [n], 16 kHz mono, -1..1.
"""

import sys

import numpy as np
from numpy.typing import NDArray

from lipserve import Client


def main(crops: str, speech: str, output: str, url: str = "127.0.0.1:8001") -> None:
    faces: NDArray[np.uint8] = np.load(crops)
    samples: NDArray[np.float32] = np.load(speech)
    with Client(url) as client:
        spoken = client.generate(faces, samples, fps=25, tier="wav2lip")
    np.save(output, spoken)
    moved = np.abs(spoken.astype(int) - faces)[:, 48:].mean()
    print(f"{len(spoken)} crops; the lower half of the face changed by {moved:.1f} of 255 levels")


if __name__ == "__main__":
    main(*sys.argv[1:])
