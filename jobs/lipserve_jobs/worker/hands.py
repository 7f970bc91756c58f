"""One step in work: kept alive, given up when its job is cancelled, and judged when it fails."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from contextlib import suppress

from lipserve.errors import (
    InputError,
    InternalError,
    LipServeError,
    ProvenanceError,
    SetupError,
    TransportError,
)
from lipserve_jobs.queue.work import HEARTBEAT_SECONDS, Task
from lipserve_jobs.records import Fault, Job
from lipserve_jobs.worker import batches, measure, steps
from lipserve_jobs.worker.metrics import STEP_SECONDS, STEPS
from lipserve_jobs.worker.tools import JobEndedError, Tools

log = logging.getLogger("lipserve.jobs")
FAULTS = 3
"""After so many failures that are its own a step is among the dead letters."""
DEATHS = 5
"""And after so many workers that ended while they were at it."""
PATIENCE_SECONDS = 86_400.0
"""So long a step waits for servers that are away."""


class GivenUpError(Exception):
    """The worker is told to give a step up: its job was cancelled."""


async def carry_out(tools: Tools, task: Task) -> None:
    """Carry out a step, and answer for it: done, again, or dead."""
    began = time.monotonic()
    outcome = "returned"
    try:
        outcome = await _carried_out(tools, task)
        if outcome == "ok":
            STEP_SECONDS.labels(task.step.name).observe(time.monotonic() - began)
    except asyncio.CancelledError:  # this worker ends: another one takes it
        with suppress(Exception):
            await tools.ends.count_return(task.job, task.step)
        await asyncio.shield(task.again(0))
        raise
    except Exception:  # the queue or the store is away
        log.exception("step %s of job %s: it comes again", task.step, task.job)
        await task.again(5)
    finally:
        STEPS.labels(task.step.name, outcome).inc()


async def _carried_out(tools: Tools, task: Task) -> str:
    if task.step.name == "expand":
        await _alive(tools, task, batches.expand(tools, task.tenant, task.job))
        await task.done()
        return "ok"
    job = await tools.journal.get(task.tenant, task.job)
    if job is None or (job.final and task.step.name != "sheet"):
        if job is not None:
            await tools.ends.tell(job)  # who ended it may have died before it could
        await task.done()
        return "dropped"
    if task.delivered > DEATHS:
        own = task.delivered - 1 - await tools.ends.returns(task.job, task.step)
        if own >= DEATHS:
            fault = InternalError(
                f"The step {task.step} of the job ended {own} workers.",
                "Look at the workers' logs and memory.",
            )
            return await _bury(tools, task, job, fault)
    try:
        await _alive(tools, task, _step(tools, job, task))
    except (JobEndedError, GivenUpError):
        await task.done()
        return "dropped"
    except LipServeError as error:
        return await _judge(tools, task, job, error)
    except Exception as error:
        incident = uuid.uuid4().hex[:8]
        log.exception("incident %s in step %s of job %s", incident, task.step, task.job)
        name = type(error).__name__
        fault = InternalError(f"A defect ({name}), incident {incident}.", "Search the workers' logs for it.")
        return await _judge(tools, task, job, fault)
    await task.done()
    if task.delivered > 1:
        await tools.ends.clear_returns(task.job, task.step)
    return "ok"


async def _step(tools: Tools, job: Job, task: Task) -> None:
    match task.step.name:
        case "plan" if job.kind != "dub":
            await measure.measure(tools, job)
        case "plan":
            await steps.plan(tools, job, task.delivered - 1)
        case "piece":
            await steps.piece(tools, job, task.step.place, task.delivered - 1)
        case "join":
            await steps.join(tools, job)
        case "sheet":
            await measure.sheet(tools, job)
        case name:
            raise InternalError(f"There is no step {name}.", "Do workers and gateways have one version?")


async def _alive(tools: Tools, task: Task, work: object) -> None:
    """Do something; tell the queue meanwhile that the step is in work, and look whether its job goes on."""
    doing = asyncio.ensure_future(work)  # type: ignore[call-overload]
    try:
        while True:
            done, _ = await asyncio.wait([doing], timeout=HEARTBEAT_SECONDS)
            if done:
                await doing
                return
            await task.busy()
            with suppress(LipServeError):
                job = await tools.journal.get(task.tenant, task.job)
                if task.step.name not in ("expand", "sheet") and (job is None or job.final):
                    raise GivenUpError
    finally:
        if not doing.done():
            doing.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await doing


async def _judge(tools: Tools, task: Task, job: Job, error: LipServeError) -> str:
    """Answer for a step that has failed: the caller's fault, somebody's who is away, or its own."""
    if task.step.name == "sheet":
        log.warning("the sheet of job %s: %s", job.id, error)
        await task.done()
        return error.code
    if isinstance(error, InputError | ProvenanceError):
        return await _failed(tools, task, job, error)
    passing = error.retryable or isinstance(error, SetupError) or type(error) is TransportError
    if passing and time.time() - job.created < PATIENCE_SECONDS:
        times = await tools.ends.count_return(task.job, task.step)
        log.warning("step %s of job %s waits: %s", task.step, task.job, error)
        await task.again(min(60.0, 0.5 * 2**times))
        return "returned"
    if passing:
        return await _failed(tools, task, job, error)
    own = task.delivered - await tools.ends.returns(task.job, task.step)
    if own >= FAULTS:
        return await _bury(tools, task, job, error)
    log.warning("step %s of job %s failed: %s", task.step, task.job, error)
    await task.again(1.0)
    return error.code


async def _bury(tools: Tools, task: Task, job: Job, error: LipServeError) -> str:
    await tools.ends.bury(job, task.step, _fault(tools, job, error), task.delivered)
    return await _failed(tools, task, job, error)


async def _failed(tools: Tools, task: Task, job: Job, error: LipServeError) -> str:
    with suppress(JobEndedError):
        await tools.fail(job, _fault(tools, job, error))
    await task.done()
    return error.code


def _fault(tools: Tools, job: Job, error: LipServeError) -> Fault:
    fault = Fault.of(error)
    return fault.model_copy(update={"message": tools.workshop.told(job, fault.message)})
