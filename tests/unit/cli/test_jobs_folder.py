"""The folder of a batch's results: names of files, and its record."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from lipserve.errors import InputError, OptionsError
from lipserve_cli.jobs.folder import RECORD, Folder
from lipserve_client._jobs.records import Job, job_of

BATCH = "b" * 32


def job(name: str, id: str = "1" * 32) -> Job:
    progress = {"frames": 0, "frames_done": 0, "pieces": 0, "pieces_made": 0}
    view = {"id": id, "kind": "dub", "tier": "lipwarp", "state": "done", "progress": progress}
    return replace(job_of({**view, "created": "2026-11-30T12:00:00Z"}), name=name)


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("Monday", "Monday.mp4"),
        ("Monday.mov", "Monday.mp4"),
        ("Mr. Bean", "Mr. Bean.mp4"),
        ("../../etc/passwd", "_.._etc_passwd.mp4"),
        ('a/b\\c:d*e?f"g<h>i|j', "a_b_c_d_e_f_g_h_i_j.mp4"),
        (".hidden", "hidden.mp4"),
        (" .. ", f"{'1' * 32}.mp4"),
        ("", f"{'1' * 32}.mp4"),
        ("Ä" * 200, f"{'Ä' * 75}.mp4"),
        ("two\nlines", "two lines.mp4"),
    ],
)
def test_a_name_is_one_of_a_file_in_the_folder(tmp_path: Path, name: str, file: str) -> None:
    path = Folder.of_batch(tmp_path / "results", BATCH).file(job(name), ".mp4")
    assert path.parent == tmp_path / "results"
    assert path.name == file


def test_a_second_job_of_a_name_and_a_file_of_others_are_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "Tuesday.mp4").write_bytes(b"mine")
    folder = Folder.of_batch(tmp_path, BATCH)
    first, second = job("Monday"), job("MONDAY", "2" * 32)
    names = [folder.file(each, ".mp4").name for each in (first, second, job("Tuesday", "3" * 32))]
    assert names == ["Monday.mp4", f"MONDAY-{'2' * 32}.mp4", f"Tuesday-{'3' * 32}.mp4"]
    again = Folder.of_batch(tmp_path, BATCH)
    assert [again.file(each, ".mp4").name for each in (second, first)] == names[1::-1]


def test_a_record_of_anything_leads_nowhere_else(tmp_path: Path) -> None:
    lines = ["{", "1", "[]", '{"job": 1, "file": "x"}', '{"key": 7}', '{"batch": null}']
    lines.append(json.dumps({"job": "1" * 32, "file": "../elsewhere.mp4"}))
    (tmp_path / RECORD).write_text("\n".join(lines))
    folder = Folder.of_batch(tmp_path, BATCH)
    assert folder.batch == BATCH
    assert folder.file(job("Monday"), ".mp4") == tmp_path / "Monday.mp4"
    assert Folder.of_batch(tmp_path, BATCH).batch == BATCH


def test_a_manifest_keeps_its_key_until_it_changes(tmp_path: Path) -> None:
    manifest, path = tmp_path / "list.csv", tmp_path / "results"
    manifest.write_text("video,speech\n")
    first = Folder.of_manifest(path, manifest)
    assert (Folder.of_manifest(path, manifest).key, first.batch) == (first.key, None)
    first.sent(BATCH)
    assert Folder.of_manifest(path, manifest).batch == BATCH
    with pytest.raises(OptionsError, match="another batch"):
        Folder.of_batch(path, "c" * 32)
    manifest.write_text("video,speech,name\n")
    with pytest.raises(OptionsError, match="another batch"):
        Folder.of_manifest(path, manifest)
    with pytest.raises(InputError, match="cannot be read"):
        Folder.of_manifest(path, tmp_path / "nowhere.csv")
