"""The app of a gateway."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from pydantic.json_schema import models_json_schema

from lipserve.errors import LipServeError
from lipserve_jobs.gateway import problems
from lipserve_jobs.gateway.metrics import Counting, Meters
from lipserve_jobs.gateway.page import Page, Shielded
from lipserve_jobs.gateway.routes import account, batches, events, files, jobs, probes, results
from lipserve_jobs.gateway.service import Service
from lipserve_jobs.gateway.settings import Settings
from lipserve_jobs.records import JobRequest
from lipserve_jobs.records.roster import Roster


def create_app(settings: Settings) -> FastAPI:
    """Return the app; it connects to NATS and the store when it starts.

    Raises:
        SetupError: the file of tenants cannot be read.
    """
    roster, meters = Roster(settings.tenants), Meters()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        try:
            async with Service.running(settings, roster, meters) as service:
                app.state.service = service
                yield
        except LipServeError as error:
            app.state.failure = error
            raise

    app = FastAPI(
        title="LipServe jobs",
        version=version("lipserve"),
        description="Send a video and a speech, get the video with lips that follow the speech.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
    )
    problems.add_handlers(app)
    for module in (jobs, results, events, files, batches, account, probes):
        app.include_router(module.router)
    app.mount("/", Page())
    app.add_middleware(Shielded)
    app.add_middleware(Counting, meters=meters)
    _describe(app)
    return app


def _describe(app: FastAPI) -> None:
    """Add the schema of what is sent as JSON, which routes read themselves."""
    made = app.openapi

    def openapi() -> dict[str, Any]:
        described = made()
        schemas = described.setdefault("components", {}).setdefault("schemas", {})
        if "JobRequest" not in schemas:
            template = "#/components/schemas/{model}"
            _, found = models_json_schema([(JobRequest, "validation")], ref_template=template)
            schemas.update(found["$defs"])
        return described

    app.openapi = openapi  # type: ignore[method-assign]
