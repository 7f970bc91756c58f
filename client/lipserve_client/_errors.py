"""Triton's and gRPC's errors, as the exceptions of `lipserve.errors`."""

from __future__ import annotations

import re

from tritonclient.utils import InferenceServerException

from lipserve.contracts import PIPELINES, Pipeline
from lipserve.errors import (
    CancelledError,
    ConnectError,
    DeadlineExceededError,
    InputError,
    InternalError,
    LimitError,
    LipServeError,
    ModelNotFoundError,
    ProcessDiedError,
    UnavailableError,
    from_wire,
)

# What Triton 24.10 says while a model drains, loads, or is being brought back.
_PASSING = re.compile(
    r"has no available versions|is not ready|Exceeds maximum queue size|Request timeout expired"
    r"|Server is (stopping|exiting)|failed to fetch current state|too many requests",
    re.IGNORECASE,
)
_DEAD_STUB = re.compile(r"Stub process '(?P<model>\w+?)(_\d+_\d+)?' is not healthy")
_ABSENT = re.compile(r"unknown model|is not found", re.IGNORECASE)
_CUT_OFF = re.compile(r"Stream removed|Socket closed|Connection reset|GOAWAY|Broken pipe", re.IGNORECASE)
_RESTRICTED = "This protocol is restricted"


def translate(error: InferenceServerException, url: str, model: str = "") -> LipServeError:
    """Return the typed error of a failed call of `model` at `url`."""
    text = error.message() or ""
    status = str(error.status() or "").removeprefix("StatusCode.")
    return from_wire(text) or _by_text(text, url, model) or _by_status(status, text, url, model)


def _by_text(text: str, url: str, model: str) -> LipServeError | None:
    dead = _DEAD_STUB.search(text)
    if dead:
        return ProcessDiedError(
            f"The process of the model {dead['model']} at {url} has died.",
            "`lipserve serve` restarts it within ten seconds; any other Triton must be restarted by hand. "
            "If it dies at every try of the same request, report the files of that request, and send others.",
        )
    if _PASSING.search(text):
        return UnavailableError(
            f"{url} is starting, draining or full ({text}).", "Try again in a few seconds."
        )
    if _RESTRICTED in text:
        return InputError(
            f"{url} refuses this call: {text}.", "Give the header that the message names, in `headers`."
        )
    return None


def _elsewhere(model: str) -> str:
    held = "`lipserve models` lists those that it holds."
    tier = next((tier for tier, pipeline in PIPELINES.items() if model in _entrances(pipeline)), None)
    if tier is None:
        return held
    return f"{held} `lipserve export` brings the tier {tier} into its repository: see docs/export.md."


def _entrances(pipeline: Pipeline) -> set[str]:
    """Return the models of a tier that clients call."""
    return {pipeline.ensemble.name, *(stage.name for stage in pipeline.stages)}


def _by_status(status: str, text: str, url: str, model: str) -> LipServeError:
    match status:
        case "NOT_FOUND" if _ABSENT.search(text):
            return ModelNotFoundError(f"{url} holds no model {model!r}.", _elsewhere(model))
        case "UNAVAILABLE" if _CUT_OFF.search(text):
            return ConnectError(f"The connection to {url} was cut off ({text}).", "Look at the server's log.")
        case "UNAVAILABLE":
            return ConnectError(
                f"Nothing answers at {url} ({text}).",
                "Start a server with `lipserve serve`, or correct the address; "
                "if the server uses TLS, give its certificates.",
            )
        case "DEADLINE_EXCEEDED":
            return DeadlineExceededError(
                f"{url} gave no answer in time.", "Set a longer timeout, or send a shorter clip."
            )
        case "CANCELLED":
            return CancelledError(f"The call to {url} was cancelled.")
        case "UNAUTHENTICATED" | "PERMISSION_DENIED":
            return InputError(
                f"{url} does not admit this client: {text}.",
                "Give its key or token, in `headers` (`--header` of the command), or its certificate.",
            )
        case "RESOURCE_EXHAUSTED":
            return LimitError(
                f"A message is larger than the server, or a proxy before it, accepts ({text}).",
                "Send a shorter clip, or use shared memory on the server's host.",
            )
        case "INVALID_ARGUMENT":
            return InputError(
                f"{url} refused the request: {text}.", "Correct the input that the message names."
            )
        case _:
            return InternalError(
                f"{url} failed ({status or 'no status'}): {text}.",
                "Search the server's log for this message.",
            )
