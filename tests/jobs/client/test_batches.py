"""Batches: rows from Python and from manifests; a real gateway, and a worker that makes the jobs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lipserve import AudioError, Batch, Cue, InputError, Jobs, Options, OptionsError
from lipserve_client._jobs import events
from lipserve_client._jobs.manifest import checked_id
from tests.support.cutting import Cutting
from tests.support.local_service import LocalService

NOBODY = {"on_no_face": "passthrough"}


@pytest.fixture
def files(tmp_path: Path, video: bytes, speech: bytes) -> Path:
    """A folder with a video and two speeches."""
    (tmp_path / "film.mp4").write_bytes(video)
    (tmp_path / "one.wav").write_bytes(speech)
    (tmp_path / "two.wav").write_bytes(speech + b"\0\0")
    return tmp_path


def rows_of(gateway: LocalService, batch: Batch) -> list[dict[str, Any]]:
    """Return the rows that the gateway has written."""
    path = gateway.folder / f"store/batches/local/{batch.id}/rows.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()]


def kept(gateway: LocalService) -> int:
    """Return how many files are kept."""
    return len([key for key in gateway.hand.objects("files/local/") if key.endswith("meta.json")])


def test_rows_are_made_into_jobs_and_a_shared_video_is_sent_once(
    gateway: LocalService, jobs: Jobs, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = kept(gateway)
    rows = [
        {"video": files / "film.mp4", "speech": str(files / f"{name}.wav"), "name": name, "options": NOBODY}
        for name in ("one", "two")
    ]
    batch = jobs.batch(rows, name="both")
    assert (batch.rows, batch.waiting, batch.name, batch.state) == (2, 2, "both", "open")
    assert not batch.final
    assert kept(gateway) == before + 3
    told: list[tuple[int, int]] = []
    monkeypatch.setattr(events, "ASK_SECONDS", 0.05)
    with gateway.worker():
        ended = jobs.wait_batch(batch, on_progress=lambda *at: told.append(at))
    assert (ended.final, ended.ended, told[0], told[-1]) == (True, 2, (0, 2), (2, 2))
    assert jobs.get_batch(batch.id).counts["done"] == 2
    assert {job.name for job in jobs.list(batch=batch)} == {"one", "two"}
    assert all(jobs.wait(job).report.frames == 12 for job in jobs.list(batch=batch.id))


def test_a_row_has_all_fields_of_a_job(
    gateway: LocalService, jobs: Jobs, video: bytes, speech: bytes
) -> None:
    cues = [Cue(start=0.1, end=0.2, speech=speech), {"start": 0.3, "speech": speech}]
    row = {"video": video, "cues": cues, "options": Options(crf=30), "background": "video", "speech": None}
    (made,) = rows_of(gateway, jobs.batch([row]))
    assert made["options"] == {"crf": 30}
    assert made["background"] == "video"
    assert "speech" not in made
    assert made["cues"][0]["speech"] == made["cues"][1]["speech"] != made["video"]


def test_csv_keeps_its_columns_and_its_files_are_relative_to_it(
    gateway: LocalService, jobs: Jobs, files: Path
) -> None:
    (files / "list.csv").write_text(
        "video,speech,name,options.crf,options.face,metadata.order,background\n"
        'film.mp4,one.wav,"One, two",30,"10,20",007,\n'
        "film.mp4,https://example.com/a.wav,,,,,video\n",
        encoding="utf-8-sig",
    )
    first, second = rows_of(gateway, jobs.batch(files / "list.csv"))
    assert first["video"] == second["video"]
    assert first["video"].startswith("file:")
    assert (first["name"], first["options"]) == ("One, two", {"crf": 30, "face": "10,20"})
    assert first["metadata"] == {"order": "007"}
    assert second["speech"] == "https://example.com/a.wav"
    assert second["background"] == "video"


def test_lines_of_json_are_taken_and_empty_ones_keep_their_number(
    gateway: LocalService, jobs: Jobs, files: Path
) -> None:
    row = {"video": "film.mp4", "speech": "one.wav"}
    good = files / "list.jsonl"
    good.write_text(f"{json.dumps(row)}\n\n{json.dumps(row)}\n")
    assert len(rows_of(gateway, jobs.batch(str(good)))) == 2
    bad = files / "bad.jsonl"
    bad.write_text(f"{json.dumps(row)}\n\n{json.dumps({**row, 'options': {'crf': 99}})}\n")
    with pytest.raises(OptionsError, match=r"Line 3.*crf"):
        jobs.batch(bad)


@pytest.mark.parametrize(
    ("name", "text", "error", "said"),
    [
        ("a.jsonl", '{"video": "film.mp4", "speech": "none.wav"}', AudioError, r"Line 1: .*none\.wav"),
        ("a.jsonl", '\n{"video"', OptionsError, "Line 2 of the manifest is not JSON"),
        ("a.jsonl", "[]", OptionsError, "Line 1 of the manifest is not an object"),
        ("a.jsonl", "[" * 100_000, OptionsError, "Line 1"),
        ("a.csv", "video,speech\nfilm.mp4,one.wav\nfilm.mp4,none.wav\n", AudioError, "Line 3: .*none"),
        ("a.csv", "video,speech\nfilm.mp4,one.wav,more\n", InputError, "cells"),
        ("a.csv", "video,speech\n", InputError, "no rows"),
        ("a.csv", "", InputError, "no rows"),
        ("a.csv", "film,speech\nfilm.mp4,one.wav\n", InputError, "Line 2"),
    ],
)
def test_a_manifest_that_is_wrong_names_the_line_and_nothing_is_accepted(
    jobs: Jobs, files: Path, name: str, text: str, error: type[InputError], said: str
) -> None:
    (files / name).write_text(text)
    with pytest.raises(error, match=said):
        jobs.batch(files / name)


def test_a_file_that_is_no_text_is_told(jobs: Jobs, files: Path) -> None:
    with pytest.raises(InputError, match="no text in UTF-8"):
        jobs.batch(files / "film.mp4")
    with pytest.raises(InputError, match="cannot be read"):
        jobs.batch(files / "nowhere.csv")


def test_a_batch_whose_answer_is_lost_is_one_batch(gateway: LocalService) -> None:
    row = {"video": "https://example.com/a.mp4", "speech": "https://example.com/a.wav"}
    with Cutting(gateway.settings.port) as way:
        jobs = Jobs(way.url, timeout=120)
        jobs.usage()
        before = {key.split("/")[2] for key in gateway.hand.objects("batches/local/")}
        way.cut(received=0)
        batch = jobs.batch([row])
        made = {key.split("/")[2] for key in gateway.hand.objects("batches/local/")} - before
        assert made == {batch.id}
        assert jobs.batch([row], idempotency_key="k").id == jobs.batch([row], idempotency_key="k").id


def test_a_batch_is_cancelled_with_its_rows(gateway: LocalService, jobs: Jobs) -> None:
    row = {"video": "https://example.com/a.mp4", "speech": "https://example.com/a.wav"}
    batch = jobs.cancel_batch(jobs.batch([row, row]))
    assert (batch.state, batch.waiting) == ("cancelled", 0)
    assert batch.final


@pytest.mark.parametrize("id", ["", "../jobs", "A" * 32, "0" * 31, "0" * 33])
def test_what_is_no_id_is_never_sent(jobs: Jobs, id: str) -> None:
    with pytest.raises(OptionsError, match="not the id"):
        jobs.get(id)
    with pytest.raises(OptionsError):
        checked_id(id)
