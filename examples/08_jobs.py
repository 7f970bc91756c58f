"""Send many speeches for one video as jobs, go away, and fetch the results.

python examples/08_jobs.py send VIDEO URL SPEECH ...
python examples/08_jobs.py fetch FOLDER URL BATCH

`send` prints the id of the batch. `fetch`, today or tomorrow, from this machine or another one, waits for the
jobs and writes each result to the folder. URL is the address of the service: `lipserve jobs up` starts one at
http://127.0.0.1:8080.
"""

import sys
from pathlib import Path

from lipserve import Jobs, LipServeError


def send(video: str, url: str, *speeches: str) -> None:
    rows = [{"video": video, "speech": speech, "name": Path(speech).stem} for speech in speeches]
    batch = Jobs(url).batch(rows)  # the video is sent once
    print(batch.id)


def fetch(folder: str, url: str, batch: str) -> None:
    jobs = Jobs(url)
    jobs.wait_batch(batch, on_progress=lambda ended, count: print(f"{ended} of {count} jobs"))
    for job in jobs.list(batch=batch):
        output = Path(folder) / f"{job.name}.mp4"
        try:
            result = jobs.wait(job, output=output)
        except LipServeError as error:  # why this one failed
            print(f"{job.name}: {error}")
        else:
            print(f"{output}: {result.report.frames} frames")


def main(command: str, *words: str) -> None:
    if command == "send":
        send(*words)
    else:
        fetch(*words)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except LipServeError as error:
        sys.exit(str(error))
