"""Let each person of a video speak a speech of their own, one after the other, and play it while it is made.

python examples/07_two_people.py VIDEO OUT HOST:PORT SPEECH ...

The first speech is the first person's, and so on; each begins where the one before it ends. Who is who stands
in the picture OUT.png.
"""

import sys
import wave
from pathlib import Path

from lipserve import Client, Cue


def main(video: str, out: str, url: str, *speeches: str) -> None:
    with Client(url) as client:
        found = client.faces(video)
        Path(f"{out}.png").write_bytes(found.sheet)
        print(*found.rows(), sep="\n")
        cues, at = [], 0.0
        for person, speech in zip(found.people, speeches, strict=False):
            end = min(at + seconds(speech), found.check.seconds)
            cues.append(Cue(start=at, end=end, face=str(person.number), speech=speech))
            at = end
        stream = client.dub_stream(video, cues=cues)
        with open(out, "wb") as file:
            for chunk in stream:
                file.write(chunk)  # a player that reads the file plays it already
    if stream.report is not None:
        print(f"{out}: {stream.report.frames} frames, {stream.report.untouched_frames} of them untouched")


def seconds(path: str) -> float:
    with wave.open(path, "rb") as file:
        return file.getnframes() / file.getframerate()


if __name__ == "__main__":
    main(*sys.argv[1:])
