"""A thousand jobs while everything is killed in turn: each has its result, once, and nothing is left behind.

    python -m stress.jobs [--jobs 1000] [--seed 1247] [--pause 20] [--folder build/jobs-stress]

Writes report.json. The exit status is 1 where a job was lost, ended otherwise than done, has another result
than a direct call, or where queue or store hold something that no job needs.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import httpx

from lipserve import Client
from lipserve_jobs.queue.broker import Broker, BrokerOptions
from lipserve_jobs.queue.names import DEAD
from lipserve_jobs.queue.work import Work
from lipserve_jobs.records import Tenant
from lipserve_jobs.store import Store
from stress import seeds
from stress.films import BUCKET, KEYS, Films, films

_FINAL = ("done", "failed", "cancelled")
_STORE_SECONDS = 10.0


@dataclass
class Run:
    """What became of the jobs.

    Attributes:
        ids: of the jobs that were taken. kills: by what was killed.
    """

    service: Films
    digest: str
    ids: list[str] = field(default_factory=list)
    kills: Counter[str] = field(default_factory=Counter)
    retried: int = 0

    async def submit(self, client: httpx.AsyncClient, number: int, body: dict[str, Any]) -> None:
        """Send a job until it is taken; the key makes that one job, however often it is sent."""
        while True:
            try:
                answer = await client.post(
                    "/v1/jobs",
                    json={**body, "name": str(number)},
                    headers={"Idempotency-Key": f"job-{number}"},
                )
                if answer.status_code in (200, 201):
                    self.ids.append(answer.json()["id"])
                    return
            except httpx.HTTPError:
                pass
            self.retried += 1
            await asyncio.sleep(0.5)

    async def upload(self, client: httpx.AsyncClient, content: bytes) -> str:
        while True:
            try:
                answer = await client.post("/v1/files", content=content)
                if answer.status_code == 201:
                    return f"file:{answer.json()['id']}"
            except httpx.HTTPError:
                pass
            await asyncio.sleep(0.5)

    async def kill(self, seed: int, pause: float) -> None:
        """Kill one after another, until it is cancelled."""
        random = Random(seed)
        names = ["worker-0", "worker-1", "gateway", "nats", "stage", "s3"]
        number = 0
        while True:
            await asyncio.sleep(pause * random.uniform(0.5, 1.5))
            name = names[number % len(names)]
            if name == "stage":
                self.service.kill_stage(random.randrange(100))
            elif name == "s3":
                await self.service.down("s3", _STORE_SECONDS)
            elif name == "nats":
                await self.service.down(f"nats-{random.randrange(3)}", _STORE_SECONDS)
            else:
                self.service.kill(name)
            self.kills[name] += 1
            number += 1

    async def states(self, client: httpx.AsyncClient) -> dict[str, Any]:
        """Return every job by its id."""
        found: dict[str, Any] = {}
        after = ""
        while True:
            try:
                answer = await client.get(
                    "/v1/jobs", params={"limit": 100, **({"after": after} if after else {})}
                )
                page = answer.json()
                for job in page["jobs"]:
                    found[job["id"]] = job
                after = page.get("next") or ""
            except (httpx.HTTPError, KeyError, ValueError):
                await asyncio.sleep(0.5)
                continue
            if not after:
                return found


async def stress(arguments: argparse.Namespace) -> dict[str, Any]:
    """Run everything, and return the report."""
    video, speech = seeds.good()
    began = time.monotonic()
    async with (
        films(arguments.folder, arguments.repository) as service,
        httpx.AsyncClient(base_url=service.url, timeout=30, trust_env=False) as client,
    ):
        with Client(service.triton, provenance=False) as direct:
            right = hashlib.sha256((await asyncio.to_thread(direct.dub, video, speech)).content).hexdigest()
        run = Run(service, right)
        body = {"video": await run.upload(client, video), "speech": await run.upload(client, speech)}
        killing = asyncio.create_task(run.kill(arguments.seed, arguments.pause))
        free = asyncio.Semaphore(16)

        async def send(number: int) -> None:
            async with free:
                await run.submit(client, number, body)

        await asyncio.gather(*(send(number) for number in range(arguments.jobs)))
        print(f"{len(run.ids)} jobs sent in {time.monotonic() - began:.0f} s", flush=True)
        jobs = await _ended(run, client, arguments.jobs)
        killing.cancel()
        return {**await _judged(run, jobs, client), "seconds": round(time.monotonic() - began, 1)}


async def _ended(run: Run, client: httpx.AsyncClient, count: int) -> dict[str, Any]:
    """Wait until all jobs have ended; where none ends for five minutes, give up."""
    last, since = -1, time.monotonic()
    while True:
        jobs = await run.states(client)
        done = sum(job["state"] in _FINAL for job in jobs.values())
        if done == count:
            return jobs
        if done != last:
            last, since = done, time.monotonic()
            print(f"{done} of {count} ended, killed {dict(run.kills)}", flush=True)
        if time.monotonic() - since > 300:
            return jobs
        await asyncio.sleep(2)


async def _judged(run: Run, jobs: dict[str, Any], client: httpx.AsyncClient) -> dict[str, Any]:
    await run.service.ready()
    wrong = []
    for id, job in jobs.items():
        if job["state"] == "done":
            answer = await client.get(f"/v1/jobs/{id}/result")
            if hashlib.sha256(answer.content).hexdigest() != run.digest:
                wrong.append(id)
    left, dead = await _left(run)
    report = {
        "jobs": len(set(run.ids)),
        "states": dict(Counter(job["state"] for job in jobs.values())),
        "errors": dict(Counter((job["error"] or {}).get("code") for job in jobs.values() if job["error"])),
        "names": len({job["name"] for job in jobs.values()}),
        "other_results": len(wrong),
        "kills": dict(run.kills),
        "sent_again": run.retried,
        "left": left,
        "dead_letters": dead,
    }
    expected = {"done": len(set(run.ids))}
    fine = report["states"] == expected and not wrong and not any(left.values()) and not dead
    return {**report, "fine": fine and len(jobs) == report["names"] == len(run.ids)}


async def _left(run: Run) -> tuple[dict[str, int], int]:
    """Return what queue and store hold that no job needs, and how many dead letters there are."""
    broker = await Broker.open(BrokerOptions(run.service.nats, replicas=3))
    try:
        work = Work(broker, lambda name: Tenant(name=name))
        async with asyncio.timeout(120):
            while True:
                backlog = await work.backlog()
                waiting = sum(sum(load.waiting.values()) + load.running for load in backlog.values())
                if not waiting:
                    break
                await asyncio.sleep(1)
        dead = (await broker.js.stream_info(DEAD)).state.messages
    finally:
        await broker.close()
    os.environ.update(KEYS)
    store = Store.open(f"s3://{BUCKET}/lipserve", run.service.endpoint)
    keys = [found.key async for found in store.list("jobs/")]
    kinds = Counter(key.split("/")[3] if "/" in key else key for key in keys)
    needed = dict.fromkeys(("request.json", "report.json", "results"), len(set(run.ids)))
    left = {kind: count - needed.get(kind, 0) for kind, count in kinds.items()}
    return {"steps": waiting, **{kind: count for kind, count in left.items() if count}}, dead


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1247)
    parser.add_argument("--pause", type=float, default=20.0, help="seconds between kills, about")
    parser.add_argument("--folder", type=Path, default=Path("build/jobs-stress"))
    parser.add_argument("--repository", type=Path, default=Path("build/model_repository"))
    arguments = parser.parse_args()
    report = asyncio.run(stress(arguments))
    (arguments.folder / "report.json").write_text(json.dumps(report, indent=2))
    print(json.dumps(report, indent=2))
    return 0 if report["fine"] else 1


if __name__ == "__main__":
    sys.exit(main())
