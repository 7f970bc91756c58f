"""What a job may ask for."""

from __future__ import annotations

from typing import Any

import pytest

from lipserve.errors import OptionsError
from lipserve_jobs.records import JobRequest

GOOD = {"video": "https://example.com/film.mp4", "speech": "s3://bucket/speech.wav"}


@pytest.mark.parametrize(
    "address",
    [
        "",
        "film.mp4",
        "/etc/passwd",
        "file:///etc/passwd",
        "file:../../x",
        "ftp://example.com/a",
        "https://",
        "https:///a",
        "http://[::1/",
        "http://example.com:port/",
        "http://example.com:99999/",
        "https://example.com/a b",
        "https://example.com/\n",
        "s3://",
        "https://" + "a" * 5000,
    ],
)
@pytest.mark.parametrize("field", ["video", "webhook", "result"])
def test_no_other_addresses_are_taken(field: str, address: str) -> None:
    with pytest.raises(OptionsError, match=f"The job is wrong: {field}"):
        JobRequest.of({**GOOD, field: address})


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"speech": None}, "there is no speech"),
        ({"kind": "estimate", "speech": None}, "there is no speech"),
        ({"unknown": 1}, "unknown"),
        ({"tier": "best"}, "tier"),
        ({"options": {"strength": 2}}, "strength"),
        ({"options": {"segment": [0, 10]}}, "segment"),
        ({"metadata": {str(number): "" for number in range(17)}}, "metadata"),
        ({"background_lufs": -20}, "background_lufs needs a background"),
    ],
)
def test_what_cannot_be_made_is_refused(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(OptionsError, match=told):
        JobRequest.of({**GOOD, **fields})


def test_equal_files_have_one_name() -> None:
    cues = [
        {"start": 0, "end": 1, "speech": GOOD["speech"]},
        {"start": 1, "speech": "https://example.com/b.wav"},
    ]
    request = JobRequest.of({**GOOD, "cues": cues})
    assert request.references == {
        "video": GOOD["video"],
        "speech": GOOD["speech"],
        "cue-2": "https://example.com/b.wav",
    }
