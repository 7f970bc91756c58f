"""What a gateway refuses, as typed errors."""

from __future__ import annotations

import json

import httpx
import pytest

from lipserve.errors import (
    ConnectError,
    InputError,
    InternalError,
    LimitError,
    LipServeError,
    NoFaceError,
    OptionsError,
    UnavailableError,
)
from lipserve_client._jobs.problems import refusal, unreached

URL = "http://gateway:8080"


def _problem(status: int, code: str, **more: object) -> httpx.Response:
    body = {"type": "about:blank", "title": "A title", "status": status, "code": code, **more}
    headers = {"content-type": "application/problem+json"}
    return httpx.Response(status, headers=headers, content=json.dumps(body))


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, "no_face", NoFaceError),
        (400, "invalid_options", OptionsError),
        (413, "limit_exceeded", LimitError),
        (404, "not_found", InputError),
        (409, "conflict", InputError),
        (422, "key_reused", OptionsError),
        (429, "quota_exceeded", LimitError),
        (503, "unavailable", UnavailableError),
        (401, "unauthenticated", InputError),
        (403, "forbidden", InputError),
        (418, "of_a_later_version", InputError),
        (500, "of_a_later_version", InternalError),
    ],
)
def test_a_problem_has_the_class_of_its_code(status: int, code: str, kind: type[LipServeError]) -> None:
    error = refusal(_problem(status, code, detail="What is wrong.", remedy="What to do."), URL)
    assert type(error) is kind
    assert "What is wrong." in error.message
    assert ("LIPSERVE_JOBS_KEY" in error.remedy) if status in (401, 403) else error.remedy == "What to do."


@pytest.mark.parametrize(
    ("status", "kind"),
    [(401, InputError), (404, InputError), (302, InputError), (413, LimitError), (502, UnavailableError),
     (504, UnavailableError), (500, InternalError)],
)  # fmt: skip
def test_an_answer_that_is_no_problem_goes_by_its_status(status: int, kind: type[LipServeError]) -> None:
    error = refusal(httpx.Response(status, content="<html>\nnginx   says no\n</html>" + 1000 * "x"), URL)
    assert type(error) is kind
    assert error.remedy
    assert len(error.message) < 400


@pytest.mark.parametrize("content", ["", "[]", "no JSON"])
def test_a_damaged_problem_goes_by_its_status(content: str) -> None:
    headers = {"content-type": "application/problem+json"}
    assert type(refusal(httpx.Response(503, headers=headers, content=content), URL)) is UnavailableError


def test_control_characters_of_a_gateway_do_not_reach_a_terminal() -> None:
    assert "\x1b" not in str(refusal(_problem(400, "no_face", detail="\x1b[31mred", remedy="\x1b]0;"), URL))


def test_nothing_that_listens_names_the_command_that_starts_it() -> None:
    error = unreached(httpx.ConnectError("Connection refused"), URL)
    assert type(error) is ConnectError
    assert "lipserve jobs up" in error.remedy


def test_a_certificate_that_nobody_trusts_is_no_reason_to_try_again() -> None:
    error = unreached(httpx.ConnectError("[SSL: CERTIFICATE_VERIFY_FAILED] self-signed"), URL)
    assert type(error) is InputError
    assert "--tls-ca" in error.remedy


def test_a_connection_that_breaks_can_be_tried_again() -> None:
    for cause in (httpx.ReadError("reset"), httpx.RemoteProtocolError("gone"), httpx.ReadTimeout("slow")):
        assert unreached(cause, URL).retryable
