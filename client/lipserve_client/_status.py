"""Models and health of a server."""

from __future__ import annotations

from contextlib import suppress

from lipserve.contracts import COMPLETE, EVERY_MODEL, PIPELINES, TIER_NAMES, TierName, of_tier
from lipserve.errors import InputError, LipServeError, ModelNotFoundError, UnavailableError
from lipserve.text import printable
from lipserve_client._canary import Canary
from lipserve_client._config import REACH_SECONDS
from lipserve_client._connection import Connection
from lipserve_client._results import ModelStatus, ServerHealth


async def server_models(connection: Connection) -> list[ModelStatus]:
    """Return the models in a server's repository, by name.

    A server that keeps its index to itself (the embedded one does) is asked for each model of LipServe.
    """
    await connection.reach()
    try:
        index = await connection.ask("get_model_repository_index")
    except InputError:
        statuses = [await _ask_for(connection, name) for name in sorted(EVERY_MODEL)]
        return [status for status in statuses if status is not None]
    return [
        _status(connection, entry.name, entry.version, entry.state or "UNKNOWN", entry.reason)
        for entry in sorted(index.models, key=lambda entry: (entry.name, entry.version))
    ]


async def server_tiers(connection: Connection) -> list[TierName]:
    """Return the tiers that a server has, and that are ready."""
    await connection.reach()
    found = []
    for tier, pipeline in PIPELINES.items():
        with suppress(ModelNotFoundError):
            if await connection.ask("is_model_ready", pipeline.ensemble.name):
                found.append(tier)
    return found


async def _ask_for(connection: Connection, name: str) -> ModelStatus | None:
    try:
        metadata = await connection.ask("get_model_metadata", name)
    except ModelNotFoundError:
        return None
    except UnavailableError as error:
        return _status(connection, name, "", "UNAVAILABLE", error.message)
    return _status(connection, name, ", ".join(metadata.versions), "READY", "")


def _status(connection: Connection, name: str, version: str, state: str, reason: str) -> ModelStatus:
    kind = EVERY_MODEL[name].kind if name in EVERY_MODEL else ""
    name, version, state, reason = map(printable, (name, version, state, reason))
    return ModelStatus(connection.url, name, version, state, reason, kind, _tiers_of(name))


def _tiers_of(model: str) -> str:
    """Return the tiers whose requests pass through a model; "" if all do, or none."""
    tiers = [tier for tier in TIER_NAMES if any(model == own.name for own in of_tier(tier, COMPLETE))]
    return "" if len(tiers) == len(TIER_NAMES) else ", ".join(tiers)


async def server_health(connection: Connection, deep: bool) -> ServerHealth:
    """Return a server's health; with `deep`, after a canary to every model."""
    try:
        live = bool(await connection.ask("is_server_live", timeout=REACH_SECONDS))
        ready = bool(await connection.ask("is_server_ready"))
    except LipServeError as error:
        return ServerHealth(connection.url, live=False, ready=False, error=str(error))
    if not deep:
        return ServerHealth(connection.url, live, ready)
    try:
        held = {status.name for status in await server_models(connection)}
        return ServerHealth(connection.url, live, ready, await Canary(connection).run(held))
    except LipServeError as error:
        return ServerHealth(connection.url, live, ready, error=str(error))
