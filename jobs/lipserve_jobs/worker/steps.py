"""The steps of a dub: plan, pieces, join. Each may be carried out twice, and the result is the same."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

from lipserve_client._making import Making
from lipserve_jobs.queue.names import JOIN, Step
from lipserve_jobs.records import Job, Plan
from lipserve_jobs.store import Keys
from lipserve_jobs.worker import pieces, wishes
from lipserve_jobs.worker.finish import finish
from lipserve_jobs.worker.pieces import Piece
from lipserve_jobs.worker.tools import Tools
from lipserve_jobs.worker.workshop import Bench


async def plan(tools: Tools, job: Job, again: int) -> None:
    """Settle whose faces, how many pieces, and a SOURCE for each speech; then have the pieces made.

    Args:
        again: how often the step was begun before.
    """
    job = await tools.change(
        job, lambda now: now.changed(state="preparing", started=now.started or time.time())
    )
    async with tools.workshop.at(job) as bench:
        made = await _planned(tools, job, bench) if job.pieces else None
        if made is None:
            made = await _settle(tools, job, bench)
        size = sum(path.stat().st_size for path in bench.files.values())
        job = await tools.change(
            job,
            lambda now: now.changed(
                state="making",
                pieces=len(made.counts),
                frames=made.frames,
                input_bytes=size,
                planned=time.time(),
            ),
        )
        if len(made.counts) == 1:
            await _alone(tools, job, bench, again)
            return
    for place in job.missing:
        await tools.work.put(job, Step("piece", place))
    if not job.missing:
        await tools.work.put(job, JOIN)


async def piece(tools: Tools, job: Job, place: int, again: int) -> None:
    """Make a piece; whoever makes the last one has them joined. `again`: as for `plan`."""
    if place in job.missing:
        async with tools.workshop.at(job) as bench:
            making = await _open(tools, job, bench)
            seconds = await _kept(tools, job, making, place, again)
        count = making.counts[place]
        job = await tools.change(job, lambda now: now.with_piece(place, count, seconds))
    if not job.missing:
        await tools.work.put(job, JOIN)


async def join(tools: Tools, job: Job) -> None:
    """Join the pieces, and end the job."""
    if job.missing:
        for place in job.missing:
            await tools.work.put(job, Step("piece", place), again=f"-{job.touched:.0f}")
        return
    job = await tools.change(job, lambda now: now.changed(state="joining"))
    keys = Keys.of(job)
    async with tools.workshop.at(job) as bench:
        making = await _open(tools, job, bench)
        first = making.first_driven
        begun = None if first is None else (await pieces.read(tools.store, keys, first)).answer

        async def kept() -> AsyncIterator[Piece]:
            for place in range(len(making.counts)):
                yield await pieces.read(tools.store, keys, place)

        await finish(tools, job, bench, kept(), begun)


async def _kept(tools: Tools, job: Job, making: Making, place: int, again: int) -> float:
    """Make a piece and keep it, unless it is kept already; return the seconds that its requests took."""
    keys = Keys.of(job)
    if await tools.store.size(keys.piece(place)) is not None:
        return (await pieces.read(tools.store, keys, place)).seconds
    made = await _made(making, place, again)
    await pieces.write(tools.store, keys, place, made)
    return made.seconds


async def _made(making: Making, place: int, again: int) -> Piece:
    began = time.perf_counter()
    answer = await making.piece(place)
    return Piece(answer, time.perf_counter() - began, making.new_retries() + again)


async def _alone(tools: Tools, job: Job, bench: Bench, again: int) -> None:
    """Make the only piece of a job, and end it."""
    making = await _open(tools, job, bench)

    async def made() -> AsyncIterator[Piece]:
        yield await _made(making, 0, again)

    await finish(tools, job, bench, made(), None)


async def _planned(tools: Tools, job: Job, bench: Bench) -> Plan | None:
    """Return the plan that was kept; None: there is none."""
    if bench.plan is None:
        text = await tools.store.read(Keys.of(job).plan)
        bench.plan = None if text is None else Plan.model_validate_json(text)
    return bench.plan


async def _settle(tools: Tools, job: Job, bench: Bench) -> Plan:
    """Plan a job; the plan of one with several pieces is kept."""
    wanted = await tools.piecewise.settled(wishes.asked(bench))
    making = await tools.piecewise.making(wanted)
    await making.prepare()
    found = wishes.plan_of(bench, wanted, making, making.new_retries())
    if len(found.counts) > 1:
        keys = Keys.of(job)
        for number, clip in enumerate(making.clips):
            if clip.source is not None:
                await tools.store.write(keys.source(number), clip.source)
        await tools.store.write(keys.plan, found.model_dump_json().encode())
    bench.wanted, bench.making, bench.plan = wanted, making, found
    return found


async def _open(tools: Tools, job: Job, bench: Bench) -> Making:
    """Return the pieces of a job that is planned."""
    async with bench.lock:
        if bench.making is None:
            found = await _planned(tools, job, bench)
            if found is None:  # it was lost between two tries: it is made again
                await _settle(tools, job, bench)
            else:
                bench.wanted = wishes.settled(bench, found)
                making = await tools.piecewise.making(bench.wanted)
                for number, clip in enumerate(making.clips):
                    if found.sources[number]:
                        clip.source = await tools.store.read(Keys.of(job).source(number))
                bench.making = making
    assert bench.making is not None
    return bench.making
