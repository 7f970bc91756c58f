"""Dub several speeches at once over several servers, with asyncio.

python examples/02_two_servers.py VIDEO HOST:PORT,HOST:PORT SPEECH SPEECH ...

Each speech becomes the file SPEECH.mp4. A server that does not answer is put aside, and the others do its
work.
"""

import asyncio
import sys

from lipserve import AsyncClient, DubResult


async def main(video: str, urls: list[str], speeches: list[str]) -> list[DubResult]:
    async with AsyncClient(urls, concurrency=4) as client:
        results = await asyncio.gather(
            *(client.dub(video, speech, output=f"{speech}.mp4") for speech in speeches)
        )
    for speech, result in zip(speeches, results, strict=True):
        print(f"{speech}.mp4: {result.report.frames} frames in {result.seconds:.1f} s")
    return results


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2].split(","), sys.argv[3:]))
