"""Dub one video file with one speech file.

python examples/01_file_to_file.py VIDEO SPEECH OUTPUT [HOST:PORT]
"""

import sys

from lipserve import Client, LipServeError


def main(video: str, speech: str, output: str, url: str = "127.0.0.1:8001") -> None:
    with Client(url) as client:
        result = client.dub(
            video,
            speech,
            output=output,
            face="largest",
            on_length_mismatch="freeze",
            on_progress=lambda done, total: print(f"{done} of {total} frames"),
        )
    print(f"{output}: {result.report.frames} frames, {result.realtime_factor:.1f} x real time")


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except LipServeError as error:  # its text says what is wrong, and what to do
        sys.exit(str(error))
