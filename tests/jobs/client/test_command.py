"""`lipserve jobs`: what it sends, prints and writes; with a real gateway and worker."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lipserve import Jobs, ModelNotFoundError
from lipserve.media import probe
from lipserve_cli.jobs.folder import RECORD
from lipserve_cli.main import main
from tests.jobs.client.conftest import CHECK, ESTIMATE, FACES
from tests.support.local_service import LocalService
from tests.support.processes import Program

Run = Callable[..., str]


@pytest.fixture
def run(gateway: LocalService, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Return what a command that succeeds prints on standard output."""
    monkeypatch.setenv("LIPSERVE_JOBS_URL", gateway.url)

    def called(*words: str | Path, code: int = 0) -> str:
        assert main(["jobs", *map(str, words)]) == code, capsys.readouterr().err
        return capsys.readouterr().out.rstrip("\n")

    return called


@pytest.fixture
def files(tmp_path: Path, video: bytes, speech: bytes) -> tuple[Path, Path]:
    film, sound = tmp_path / "film.mp4", tmp_path / "speech.wav"
    film.write_bytes(video)
    sound.write_bytes(speech)
    return film, sound


def test_a_job_is_sent_shown_and_fetched_later(
    gateway: LocalService, run: Run, files: tuple[Path, Path], tmp_path: Path
) -> None:
    id = run("submit", *files, "--on-no-face", "passthrough", "--metadata", "order=7", "--crf", "30")
    shown = run("get", id)
    assert shown.startswith(f"{id}  queued")
    assert "film.mp4" in shown
    assert "order" in shown
    assert f"{id}  " in run("list")
    with gateway.worker():
        said = run("wait", id, "-o", tmp_path / "out.mp4")
    assert "out.mp4: 12 frames" in said
    assert probe.probe(tmp_path / "out.mp4").frames == 12
    assert "0.48 s" in run("get", id)
    assert "1 done, 0 not ended" in run("usage")
    assert run("erase", id) == f"{id}: erased"
    assert run("get", id, code=2) == ""


def test_a_job_is_waited_for_and_its_answer_is_json(
    gateway: LocalService, run: Run, files: tuple[Path, Path], tmp_path: Path
) -> None:
    with gateway.worker():
        said = run(
            "submit", *files, "--on-no-face", "passthrough", "-o", tmp_path / "out.mp4", "--json",
            "--name", "One", "--priority", "high", "--bypass", "0-0.1",
        )  # fmt: skip
    view = json.loads(said)
    assert (view["state"], view["name"], view["priority"]) == ("done", "One", "high")
    assert probe.probe(tmp_path / "out.mp4").frames == 12
    listed = json.loads(run("list", "--state", "done", "--json"))
    assert view["id"] in [each["id"] for each in listed]
    run("erase", view["id"])


def test_a_failed_job_is_an_error_with_its_remedy_and_is_retried(
    gateway: LocalService, run: Run, files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    with gateway.worker():  # its servers find no face
        assert main(["jobs", "submit", *map(str, files), "--wait"]) == 2
    said = capsys.readouterr().err
    assert "error: No face was found" in said
    assert "on_no_face=passthrough" in said
    id = run("list", "--limit", "1").split()[0]
    assert "No face was found" in run("get", id)
    assert run("retry", id) == f"{id}: queued"
    assert run("cancel", id) == f"{id}: cancelled"
    assert main(["jobs", "wait", id]) == 4
    assert "was cancelled" in capsys.readouterr().err
    run("erase", id)


def test_what_was_measured_is_printed_and_saved(
    run: Run, measured: Callable[[str], str], tmp_path: Path
) -> None:
    who, how, cost = (measured(kind) for kind in ("faces", "check", "estimate"))
    assert run("wait", who) == "\n".join(["A film: 1 person", *FACES.rows()])
    assert run("get", who).endswith("\n".join(["A film: 1 person", *FACES.rows()]))
    first, *others = CHECK.rows()
    assert run("wait", how) == "\n".join([f"A film: {first}", *others])
    assert run("wait", cost, "-q") == ""
    assert run("wait", cost) == "\n".join(ESTIMATE.rows())
    for words in (["wait", cost], ["get", cost], ["get", cost, "-o", str(tmp_path / "cost.json")]):
        view = json.loads(run(*words, "--json"))
        assert (view["id"], view["kind"], view["result"]) == (cost, "estimate", ESTIMATE.to_json())
    assert json.loads((tmp_path / "cost.json").read_text()) == ESTIMATE.to_json()
    run("wait", who, "-o", tmp_path / "people.png")
    assert (tmp_path / "people.png").read_bytes() == FACES.sheet
    run("get", who, "-o", tmp_path / "people.json")
    assert json.loads((tmp_path / "people.json").read_text()) == json.loads(json.dumps(FACES.to_json()))
    run("get", how, "-o", tmp_path / "out.mp4", code=2)
    for id in (who, how, cost):
        run("erase", id)


def test_a_tier_that_the_service_lacks_is_refused_before_files_are_sent(
    gateway: LocalService, run: Run, files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr("lipserve_jobs.gateway.offer.FRESH_SECONDS", 0.0)
    jobs = Jobs(gateway.url)
    assert jobs.tiers() is None
    with gateway.hand.tiers("lipwarp", "wav2lip"):
        assert jobs.tiers() == ("lipwarp", "wav2lip")
        before = gateway.hand.objects("files/")
        assert main(["jobs", "submit", *map(str, files), "--tier", "latentsync"]) == 2
        assert "Take one that it has: lipwarp, wav2lip." in capsys.readouterr().err
        assert gateway.hand.objects("files/") == before
        with pytest.raises(ModelNotFoundError, match="latentsync"):
            jobs.submit("https://a/b.mp4", "https://a/b.wav", tier="latentsync")
        run("erase", run("submit", *files, "--tier", "wav2lip"))
        run("erase", run("submit", files[0], "--kind", "faces", "--tier", "latentsync"))


def test_a_measurement_is_sent_by_its_kind(run: Run, files: tuple[Path, Path], tmp_path: Path) -> None:
    id = run("submit", files[0], "--kind", "faces")
    assert json.loads(run("get", id, "--json"))["kind"] == "faces"
    assert "film.mp4 (faces)" in run("list", "--kind", "faces")
    run("get", id, "-o", tmp_path / "people.png", code=2)  # it is not done
    run("submit", files[0], "--kind", "estimate", code=2)  # which needs a speech
    run("submit", files[0], "--kind", "check", "-o", tmp_path / "check.mp4", code=2)
    run("erase", id)


def test_a_manifest_is_sent_counted_and_cancelled(run: Run, files: tuple[Path, Path]) -> None:
    manifest = files[0].with_name("list.csv")
    manifest.write_text("video,speech\nfilm.mp4,speech.wav\nfilm.mp4,speech.wav\n")
    batch = run("batch", manifest, "--name", "Two")
    assert f"{batch}  2 jobs\n" in run("batch", "--show", batch)
    assert run("cancel", "--batch", batch).startswith(f"{batch}: ")
    assert json.loads(run("batch", "--show", batch, "--json"))["state"] == "cancelled"


def test_a_folder_takes_every_result_of_a_batch_and_a_second_run_goes_on(
    gateway: LocalService, run: Run, files: tuple[Path, Path], tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    manifest, folder = tmp_path / "list.csv", tmp_path / "results"
    manifest.write_text(
        "video,speech,name,options.on_no_face\n"
        "film.mp4,speech.wav,../Mon: day.mp4,passthrough\n"
        "film.mp4,speech.wav,Tuesday,passthrough\n"
        "film.mp4,speech.wav,tuesday,passthrough\n"
        "film.mp4,speech.wav,,passthrough\n"
        "film.mp4,speech.wav,Nobody,error\n"
    )
    with gateway.worker():
        # The exit code is that of a video without a face.
        assert main(["jobs", "batch", str(manifest), "-o", str(folder)]) == 2
        first = capsys.readouterr()
        assert f"{folder}: 4 results\n" in first.out
        assert "done      4" in first.out
        assert "Nobody: No face was found" in first.err
        batch = first.err.split("--batch ")[1].split()[0]
        ids = {job.name: job.id for job in Jobs(gateway.url).list(batch=batch)}
        made = {path.name: path.stat().st_mtime_ns for path in folder.iterdir() if path.name != RECORD}
        alone, other = sorted((name for name in made if name[0] in "Tt"), key=len)  # the first that was done
        assert other == f"{other[:7]}-{ids[other[:7]]}.mp4"
        assert made.keys() == {"Mon_ day.mp4", f"{ids['']}.mp4", alone, other}
        assert {alone, f"{other[:7]}.mp4"} == {"Tuesday.mp4", "tuesday.mp4"}
        assert all(probe.probe(folder / name).frames == 12 for name in made)
        (folder / "Mon_ day.mp4").unlink()  # as if it had not come to it
        with (folder / RECORD).open("a") as record:
            record.write('{"jo')  # and was cut off here
        assert main(["jobs", "batch", str(manifest), "-o", str(folder)]) == 2
        assert f"{folder}: 1 result; 3 were there already" in capsys.readouterr().out
        again = {path.name: path.stat().st_mtime_ns for path in folder.iterdir() if path.name != RECORD}
        assert again.keys() == made.keys()
        assert [name for name in made if again[name] != made[name]] == ["Mon_ day.mp4"]
        assert len(list(Jobs(gateway.url).list(batch=batch))) == 5, "nothing was sent again"
    assert run("retry", "--batch", batch) == f"{ids['Nobody']}: queued"
    assert run("batch", "--show", batch).count("done") == 1
    assert run("erase", "--batch", batch) == f"{batch}: erased"
    run("batch", "--show", batch, code=2)
    run("batch", manifest, "-o", folder, code=2)  # what it had is gone


def test_a_folder_is_of_one_batch(run: Run, files: tuple[Path, Path], tmp_path: Path) -> None:
    manifest, folder = tmp_path / "list.csv", tmp_path / "results"
    manifest.write_text("video,speech\nfilm.mp4,speech.wav\n")
    batch = run("batch", manifest)
    run("cancel", "--batch", batch)
    run("batch", "--show", batch, "-o", folder)  # none of its rows has become a job
    run("batch", manifest, "-o", folder, code=2)
    run("batch", "--show", "0" * 32, "-o", folder, code=2)
    run("erase", "--batch", batch)
    run("batch", manifest, "-o", files[0], code=5)  # a file is no folder


def test_the_result_must_not_be_an_input(run: Run, files: tuple[Path, Path]) -> None:
    run("submit", *files, "-o", files[0], code=2)


def test_ctrl_c_ends_the_waiting_and_says_how_to_go_on(
    gateway: LocalService, files: tuple[Path, Path], tmp_path: Path
) -> None:
    command = (Path(sys.executable).parent / "lipserve", "jobs", "submit", *files, "-o", tmp_path / "out.mp4")
    with Program(command, LIPSERVE_JOBS_URL=gateway.url) as program:
        id = program.find(r"job ([0-9a-f]{32})")[1]
        os.kill(program.process.pid, signal.SIGINT)
        assert program.ends() == 130
    assert f"lipserve jobs wait {id} -o {tmp_path}/out.mp4" in program.said
    jobs = Jobs(gateway.url)
    assert jobs.get(id).state == "queued"
    jobs.erase(id)


def test_a_key_file_is_sent_as_the_key(gateway: LocalService, run: Run, tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("a-key-that-nobody-asks-for\n")
    assert run("list", "--key-file", key, "--state", "joining") == "no jobs"
