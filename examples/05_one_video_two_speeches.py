"""Prepare a video once, and let it speak several speeches.

python examples/05_one_video_two_speeches.py VIDEO HOST:PORT SPEECH SPEECH ...

The SOURCE says whose mouth moves and what it looks like. It is written to VIDEO.source, and the next run
uses it again. Each speech becomes the file SPEECH.mp4.
"""

import sys
from pathlib import Path

from lipserve import Client


def main(video: str, url: str, *speeches: str) -> None:
    source = Path(f"{video}.source")
    with Client(url) as client:
        if not source.exists():
            source.write_bytes(client.prepare(video, face="largest"))
            print(f"{source}: {source.stat().st_size} bytes")
        for speech in speeches:
            result = client.dub(video, speech, source=source, output=f"{speech}.mp4")
            print(f"{speech}.mp4: {result.report.frames} frames, {result.seconds:.1f} s")


if __name__ == "__main__":
    main(*sys.argv[1:])
