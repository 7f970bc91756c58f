"""The quality tier on a real Triton: every network of the DAG, at reduced width, with random weights."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from numpy.typing import NDArray
from tritonclient.grpc import InferenceServerClient, InferInput

from demo import portrait
from lipserve import CancelledError, CancelToken, Client, DubResult, audio, smoke
from lipserve.contracts import MODELS, Form, of_tier
from lipserve.files.picture import Colour
from lipserve.latentsync.schedulers import schedule
from lipserve.media import decode, probe
from lipserve.media.encode import VideoWriter
from lipserve.tiers import LATENTSYNC
from lipserve_server.inside.leaves import OnnxLeaves
from lipserve_server.inside.stages.latentsync_generate import LatentSyncGenerate
from lipserve_server.launcher.processes import stubs
from lipserve_server.repository.manifest import read_form
from tests.support.segments import shorten
from tests.support.servers import RunningServer, serve
from tests.support.waiting import until

pytestmark = [pytest.mark.serve, pytest.mark.slow]

SIZE = (256, 256)
Frames = list[NDArray[np.uint8]]


def film(frames: Frames) -> bytes:
    file = io.BytesIO()
    with VideoWriter(file, frames[0].shape[1], frames[0].shape[0], portrait.FPS, Colour(), crf=14) as writer:
        for frame in frames:
            writer.write(portrait.picture(frame))
    return file.getvalue()


def sound(speech: Path, frames: int) -> bytes:
    """Return as much of the speech as `frames` last."""
    return audio.wav(audio.load(speech)[: frames * 640])


def psnr(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    error = np.mean((a.astype(np.float64) - b) ** 2)
    return float(10 * np.log10(255**2 / max(error, 1e-9)))


@pytest.fixture(scope="module")
def clip() -> bytes:
    """One window of the portrait."""
    return portrait.clip(0.64, SIZE)


@pytest.fixture(scope="module")
def result(quality_client: Client, clip: bytes, speech: Path) -> DubResult:
    return quality_client.dub(clip, sound(speech, 16), tier="latentsync", steps=1)


@pytest.fixture(scope="module")
def crops() -> NDArray[np.uint8]:
    """Sixteen crops, as large as the leaves want them: the generate stage does not ask how they were cut."""
    return np.stack(portrait.frames(0.64, SIZE))


@pytest.fixture(scope="module")
def leaves(exported_latentsync: Path) -> OnnxLeaves:
    """The served graphs, in this process."""
    return OnnxLeaves(exported_latentsync)


@pytest.fixture(scope="module")
def joined(quality_client: Client, speech: Path) -> DubResult:
    """A clip of two segments."""
    with pytest.MonkeyPatch.context() as patch:
        shorten(patch, LATENTSYNC, frames=16)
        return quality_client.dub(portrait.clip(1.64, SIZE), sound(speech, 41), tier="latentsync", steps=1)


def test_a_clip_passes_through_every_network(result: DubResult, clip: bytes) -> None:
    report = result.report
    assert (report.tier, report.frames, report.segments) == ("latentsync", 16, 1)
    assert report.weights.startswith("random weights")
    assert any("noise" in warning for warning in report.warnings)
    made, source = probe.probe(result.content), probe.probe(clip)
    assert (made.frames, made.width, made.height) == (16, *SIZE)
    assert made.has_audio
    for new, old in zip(decode.read(result.content, made), decode.read(clip, source), strict=True):
        change = np.abs(new.y.astype(int) - old.y)
        assert change.mean() > 2  # random weights: the lower face is noise
        assert np.median(change[:40]) <= 2  # above the mask only x264 was at work


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(
    result: DubResult, quality_client: Client, clip: bytes, speech: Path
) -> None:
    again, other = (
        quality_client.dub(clip, sound(speech, 16), tier="latentsync", steps=1, seed=seed)
        for seed in (1247, 7)
    )
    assert again.content == result.content
    assert other.content != result.content


@pytest.mark.parametrize(("frames", "reference", "expected"), [(5, False, 5), (14, True, 16)])
def test_the_result_has_the_frames_of_the_speech_or_those_of_upstream(
    quality_client: Client, speech: Path, frames: int, reference: bool, expected: int
) -> None:
    options = {"reference": True} if reference else {}
    video = portrait.clip(0.8, SIZE)
    made = quality_client.dub(video, sound(speech, frames), tier="latentsync", steps=1, **options)
    assert made.report.frames == probe.probe(made.content).frames == expected


@pytest.mark.whole  # in this process: test_latentsync_segments.py; of another tier: test_client_dub.py
def test_segments_are_joined_without_a_lost_frame(joined: DubResult) -> None:
    assert joined.report.segments == 2  # 16 and 25: a last one of 9 would be no window
    assert joined.report.frames == probe.probe(joined.content).frames == 41


def test_frames_without_a_face_stay_as_they_are_beside_those_with_one(
    quality_client: Client, speech: Path
) -> None:
    wall = np.tile(np.arange(256, dtype=np.uint8)[:, None, None], (1, 256, 3))
    faces = portrait.frames(0.64, SIZE)
    video = film([*faces[:4], *[wall] * 8, *faces[12:]])
    made = quality_client.dub(video, sound(speech, 16), tier="latentsync", steps=1)
    assert made.report.faceless_frames == 8
    source = decode.read(video, probe.probe(video))
    changed = [
        bool(np.abs(new.y.astype(int) - old.y).max() > 40)
        for new, old in zip(decode.read(made.content, probe.probe(made.content)), source, strict=True)
    ]
    assert changed == [True] * 4 + [False] * 8 + [True] * 4


def test_every_face_of_the_picture_speaks_where_all_are_asked_for(
    quality_client: Client, speech: Path
) -> None:
    left = portrait.frames(0.64, SIZE)
    video = film([np.concatenate([frame, frame[:, ::-1]], 1) for frame in left])
    made = quality_client.dub(video, sound(speech, 16), tier="latentsync", steps=1, face="all")
    assert made.report.faces == 2
    source = decode.read(video, probe.probe(video))
    for new, old in zip(decode.read(made.content, probe.probe(made.content)), source, strict=True):
        change = np.abs(new.y.astype(int) - old.y)[128:]
        assert change[:, :256].mean() > 2
        assert change[:, 256:].mean() > 2


@pytest.mark.whole  # through Triton; in this process parity/test_public_attempts.py holds it to PyTorch
def test_deepcache_gives_what_its_graphs_give_and_little_else_than_whole_steps(
    quality_client: Client,
    exported_latentsync: Path,
    leaves: OnnxLeaves,
    crops: NDArray[np.uint8],
    speech: Path,
) -> None:
    """The cached features go from one leaf into the next without passing through numpy."""
    heard = audio.load(speech)[:10_240]
    made = {
        interval: quality_client.generate(crops, heard, tier="latentsync", steps=3, deepcache=interval)
        for interval in (1, 3)
    }
    stage = LatentSyncGenerate(exported_latentsync, leaves)
    alone = stage(crops, heard, options=b'{"steps": 3, "deepcache": 3}')["FACES"]
    assert np.abs(made[3].astype(int) - alone).max() <= 1
    assert not np.array_equal(made[3], made[1])
    assert psnr(made[3], made[1]) > 15


@pytest.mark.whole  # eight at once of the other tiers: test_client_dub.py; two in one batch: below
def test_another_request_changes_nothing(
    quality_client: Client, crops: NDArray[np.uint8], speech: Path
) -> None:
    heard = audio.load(speech)[:10_240]

    def made(seed: int) -> NDArray[np.uint8]:
        return quality_client.generate(crops, heard, tier="latentsync", steps=2, seed=seed)

    alone = {seed: made(seed) for seed in (1, 2)}
    together: dict[int, NDArray[np.uint8]] = {}
    threads = [threading.Thread(target=lambda s=seed: together.update({s: made(s)})) for seed in alone]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    for seed, expected in alone.items():
        assert psnr(together[seed], expected) > 60


def test_items_of_a_batch_may_be_at_different_steps(
    quality_server: Any, exported_latentsync: Path, leaves: OnnxLeaves
) -> None:
    form: Form = read_form(exported_latentsync)
    (model,) = [model for model in of_tier("latentsync", form) if model.name == "denoise_step"]
    rng = np.random.default_rng(5)
    asked = []
    for name, number in (("dpm++", 0), ("ddim", 9)):
        step = schedule(name, 10)[number]  # type: ignore[arg-type]
        arrays = {spec.name: rng.normal(size=(1, *spec.dims)).astype(np.float32) for spec in model.inputs}
        arrays |= {
            "MASK": (arrays["MASK"] > 0).astype(np.float32),
            "TIMESTEP": np.array([[step.timestep]], np.float32),
            "GUIDANCE": np.array([[1.0 + number]], np.float32),
            "COEFFICIENTS": step.coefficients[None],
        }
        asked.append(arrays)
    tensors = []
    for name in asked[0]:
        batch = np.concatenate([arrays[name] for arrays in asked])
        tensors.append(InferInput(name, list(batch.shape), "FP32"))
        tensors[-1].set_data_from_numpy(batch)
    with InferenceServerClient(quality_server.url) as triton:
        answer = triton.infer("denoise_step", tensors, client_timeout=120)
    for row, arrays in enumerate(asked):
        for name, array in leaves("denoise_step", arrays).items():
            np.testing.assert_allclose(answer.as_numpy(name)[row : row + 1], array, atol=2e-4, rtol=1e-4)


def test_an_abandoned_request_ends_between_two_steps(quality_server: Any, crops: NDArray[np.uint8]) -> None:
    key = 'lipserve_requests_total{outcome="cancelled",stage="latentsync_generate"}'
    steps = 'lipserve_run_seconds_count{leaf="denoise_step"}'
    before = quality_server.metrics()
    token = CancelToken()

    def cancel_at_work() -> None:
        try:
            until(lambda: quality_server.metrics()[steps] > before[steps], "no step is done")
        finally:
            token.cancel()

    with Client(quality_server.url) as client:
        threading.Thread(target=cancel_at_work).start()
        with pytest.raises(CancelledError):
            client.generate(crops, np.zeros(10_240, np.float32), tier="latentsync", steps=100, cancel=token)
    # A hundred steps would take minutes.
    until(lambda: quality_server.metrics()[key] == before.get(key, 0.0) + 1, "it goes on")


def test_the_smoke_test_finds_no_fault(quality_client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """On one window instead of four."""
    monkeypatch.setattr("lipserve_client._smoke._SPEECH_SECONDS", 0.64)
    result = smoke(quality_client, tier="latentsync", timeout=250)
    assert result.ok, result.rows()


def test_every_model_answers_its_canary(quality_client: Client) -> None:
    (health,) = quality_client.health(deep=True)
    assert health.ok, [model for model in health.models if model.error]
    assert {model.name for model in health.models} == {model.name for model in of_tier("latentsync")}


@pytest.fixture
def returning_server(exported_latentsync: Path, tmp_path: Path) -> Iterator[RunningServer]:
    """A server whose processes give freed arrays back at once, so that what they hold can be measured."""
    returned = dict.fromkeys(("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"), str(64 * 1024))
    with serve(exported_latentsync, tmp_path / "triton.log", returned) as running:
        yield running


@pytest.mark.whole  # of what decodes: unit/media/test_decode.py
def test_memory_does_not_grow_with_the_length(
    returning_server: RunningServer, speech: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three segments leave Triton and the stages no larger than one did; two have warmed them up.

    Leaves are left out: their batches are bounded by contract, and grow with what others send.
    """
    shorten(monkeypatch, LATENTSYNC, frames=16)

    def after(frames: int) -> tuple[float, float]:
        """Return the MiB that belong to Triton alone, and to its stages alone."""
        video = portrait.clip(frames / 25, SIZE)
        with Client(returning_server.url, timeout=250, provenance=False) as client:
            client.dub(video, sound(speech, frames), tier="latentsync", steps=1)
        models = stubs(returning_server.pid).items()
        stages = [process for process, model in models if MODELS[model].kind == "stage"]
        sizes = [psutil.Process(p).memory_full_info().uss / 2**20 for p in (returning_server.pid, *stages)]
        return sizes[0], sum(sizes[1:])

    after(41)
    short, long = after(16), after(48)
    print(f"MiB of Triton and of the stages: {short} after 16 frames, {long} after 48")
    assert long[1] - short[1] < 10  # 32 frames are 24 MiB for each picture in float that were kept
    assert long[0] - short[0] < 80  # its heap comes and goes by tens
