"""Figures of the service for jobs: three NATS servers, an S3 server, Triton, two workers, a gateway.

    python -m bench.jobs [--only overhead status uploads turns film] [--folder build/jobs-bench]

Writes report.json, with what each figure is of. The service runs on the same machine as what calls it.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil

from demo import portrait
from lipserve import Client, audio
from stress.films import Films, films

_ONE, _MANY = "key-of-one", "key-of-many"

Figure = Callable[[Films, httpx.AsyncClient], Awaitable[dict[str, Any]]]


def _speech(seconds: float) -> bytes:
    """Return a sound as loud as speech, and with pauses."""
    at = np.arange(round(seconds * 16_000)) / 16_000
    loud = np.sin(2 * np.pi * 1.7 * at) ** 2 * (np.sin(2 * np.pi * 0.13 * at) > -0.6)
    return audio.wav((0.3 * loud * np.sin(2 * np.pi * 180 * at)).astype(np.float32))


async def _submit(
    client: httpx.AsyncClient, video: bytes, speech: bytes, wait: int = 60, **fields: Any
) -> Any:
    files = {"video": video, "speech": speech}
    headers = {"Prefer": f"wait={wait}"} if wait else {}
    answer = await client.post("/v1/jobs", files=files, data={"request": json.dumps(fields)}, headers=headers)
    answer.raise_for_status()
    return answer.json()


async def overhead(service: Films, client: httpx.AsyncClient) -> dict[str, Any]:
    """A ten-second clip as a job and by a direct call, by turns.

    What a job takes more is all of its time but that of its request to Triton, less the same of a call: so
    other work on the machine, which lengthens requests, counts less.
    """
    video, speech = await asyncio.to_thread(portrait.clip, 10.0, (360, 288)), _speech(10.0)
    jobs, calls, extra, whole, more = [], [], [], [], []
    with Client(service.triton, provenance=False) as direct:
        await asyncio.to_thread(direct.dub, video, speech)
        idle = await _idle(service)
        for _ in range(8):
            began, own, triton = time.perf_counter(), time.process_time(), _triton_cpu(service)
            call = await asyncio.to_thread(direct.dub, video, speech)
            calls.append(time.perf_counter() - began)
            own_call = calls[-1] - sum(call.request_seconds)
            client_cpu = time.process_time() - own
            whole.append(_triton_cpu(service) - triton + client_cpu)
            began, cpu = time.perf_counter(), _service_cpu(service)
            job = await _submit(client, video, speech)
            await client.get(job["links"]["result"])
            jobs.append(time.perf_counter() - began)
            report = (await client.get(job["links"]["report"])).json()
            more.append(jobs[-1] - sum(report["request_seconds"]) - own_call)
            extra.append(_service_cpu(service) - cpu - idle * jobs[-1] - client_cpu)
    return {
        "direct_seconds": round(statistics.median(calls), 3),
        "job_seconds": round(statistics.median(jobs), 3),
        "more_ms": round(1e3 * statistics.median(more), 1),
        "direct_cpu_seconds": round(statistics.median(whole), 3),
        "more_cpu_seconds": round(statistics.median(extra), 3),
        "more_cpu_share": round(statistics.median(extra) / statistics.median(whole), 4),
        "idle_cpu_share_of_a_core": round(idle, 4),
    }


def _service_cpu(service: Films) -> float:
    """Return the seconds of a core that all processes but Triton have used."""
    ours = (name for name in service.children if name != "triton")
    return sum(service.cpu(name) for name in ours)


async def _idle(service: Films, seconds: float = 10.0) -> float:
    """Return the share of a core that they use while there is no job."""
    before = _service_cpu(service)
    await asyncio.sleep(seconds)
    return (_service_cpu(service) - before) / seconds


def _triton_cpu(service: Films) -> float:
    process = service.children["triton"].process
    root = psutil.Process(process.pid if process else 0)
    every = [root, *root.children(recursive=True)]
    return float(sum(sum(each.cpu_times()[:2]) for each in every))


async def status(service: Films, client: httpx.AsyncClient) -> dict[str, Any]:
    """Requests for the state of a job: how many a second of a core of the gateway."""
    job = await _submit(client, await asyncio.to_thread(portrait.clip, 0.4, (128, 128)), _speech(0.4))
    count, free = 2000, asyncio.Semaphore(16)
    cpu, began = service.cpu("gateway"), time.perf_counter()

    async def ask() -> None:
        async with free:
            (await client.get(f"/v1/jobs/{job['id']}")).raise_for_status()

    await asyncio.gather(*(ask() for _ in range(count)))
    used = service.cpu("gateway") - cpu
    return {
        "requests": count,
        "requests_a_second": round(count / (time.perf_counter() - began)),
        "requests_a_second_of_a_core": round(count / used),
    }


async def uploads(service: Films, client: httpx.AsyncClient) -> dict[str, Any]:
    """Fifty files of 100 MB at once: the memory of the gateway."""
    count, size, chunk = 50, 100_000_000, bytes(250_000)

    async def body() -> AsyncIterator[bytes]:
        for _ in range(size // len(chunk)):
            yield chunk

    async def send() -> int:
        answer = await client.post(
            "/v1/files", content=body(), headers={"Content-Length": str(size)}, timeout=600
        )
        return answer.status_code

    before = peak = service.memory("gateway")
    sending = asyncio.gather(*(send() for _ in range(count)))
    began = time.perf_counter()
    while not sending.done():
        peak = max(peak, service.memory("gateway"))
        await asyncio.sleep(0.1)
    return {
        "taken": sum(code == 201 for code in await sending),
        "seconds": round(time.perf_counter() - began, 1),
        "memory_before_mib": round(before, 1),
        "memory_peak_mib": round(peak, 1),
    }


async def turns(service: Films, client: httpx.AsyncClient) -> dict[str, Any]:
    """One tenant has 500 jobs that wait: when another's first job starts."""
    video, speech = await asyncio.to_thread(portrait.clip, 2.0, (128, 128)), _speech(2.0)
    many = {"Authorization": f"Bearer {_MANY}"}
    row: dict[str, str] = {}
    for name, content in (("video", video), ("speech", speech)):
        answer = await client.post("/v1/files", content=content, headers=many)
        row[name] = f"file:{answer.json()['id']}"
    answer = await client.post(
        "/v1/batches",
        content="\n".join([json.dumps(row)] * 500),
        headers={**many, "Content-Type": "application/jsonl"},
    )
    batch = f"/v1/batches/{answer.json()['id']}"
    while sum((await client.get(batch, headers=many)).json()["counts"].values()) < 500:
        await asyncio.sleep(0.5)
    starts = []
    for _ in range(5):
        job = await _submit(client, video, speech)
        starts.append(_time(job["started"]) - _time(job["created"]))
    left = (await client.get(batch, headers=many)).json()["counts"]
    await client.delete(batch, headers=many)
    return {"waiting_then": left.get("queued", 0), "seconds_to_start": [round(each, 2) for each in starts]}


def _time(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


async def film(service: Films, client: httpx.AsyncClient) -> dict[str, Any]:
    """A film of half an hour as one job; everything is killed in the middle of it."""
    video = await asyncio.to_thread(portrait.clip, 60.0, (128, 128))
    job = await _submit(client, video, _speech(1800.0), wait=0, name="film")
    workers = [name for name in service.children if name.startswith("worker")]
    memory: dict[str, list[float]] = {name: [] for name in workers}
    began, killed, made, made_after = time.monotonic(), False, 0, 0
    while job["state"] not in ("done", "failed", "cancelled"):
        await asyncio.sleep(2)
        for name in workers:
            memory[name].append(round(service.memory(name), 1))
        try:
            job = (await client.get(f"/v1/jobs/{job['id']}")).json()
        except httpx.HTTPError:
            continue
        progress = job["progress"]
        if not killed and progress["pieces"] and progress["pieces_made"] > progress["pieces"] // 2:
            killed, made = True, progress["pieces_made"]
            for name in service.children:
                service.kill(name)
            await service.ready()
            made_after = (await client.get(f"/v1/jobs/{job['id']}")).json()["progress"]["pieces_made"]
    report = (await client.get(job["links"]["report"])).json()
    half = len(memory[workers[0]]) // 2
    return {
        "state": job["state"],
        "frames": job["progress"]["frames"],
        "seconds": round(time.monotonic() - began, 1),
        "pieces": job["progress"]["pieces"],
        "pieces_made_when_killed": made,
        "pieces_made_after_the_restart": made_after,
        "requests": len(report["request_seconds"]),
        "memory_mib": {
            name: {"first_half": max(values[2:half]), "second_half": max(values[half:])}
            for name, values in memory.items()
        },
    }


FIGURES: dict[str, Figure] = {
    "overhead": overhead,
    "status": status,
    "uploads": uploads,
    "turns": turns,
    "film": film,
}


async def measured(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the figures that are asked for."""
    report = {}
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as tenants:
        named = [
            {"name": name, "keys": [hashlib.sha256(key.encode()).hexdigest()]}
            for name, key in (("one", _ONE), ("many", _MANY))
        ]
        json.dump({"tenants": named}, tenants)  # which is YAML, too
        tenants.flush()
        async with (
            films(arguments.folder, arguments.repository, tenants=Path(tenants.name)) as service,
            httpx.AsyncClient(
                base_url=service.url,
                headers={"Authorization": f"Bearer {_ONE}"},
                timeout=120,
                trust_env=False,
                limits=httpx.Limits(max_connections=64),
            ) as client,
        ):
            for name in arguments.only:
                report[name] = await FIGURES[name](service, client)
                print(name, json.dumps(report[name]), flush=True)
    return report


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=FIGURES, default=list(FIGURES))
    parser.add_argument("--folder", type=Path, default=Path("build/jobs-bench"))
    parser.add_argument("--repository", type=Path, default=Path("build/model_repository"))
    arguments = parser.parse_args()
    report = asyncio.run(measured(arguments))
    (arguments.folder / "report.json").write_text(json.dumps(report, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
