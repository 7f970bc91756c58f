"""A clip of the quality tier in segments equals the clip in one piece."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from demo import portrait
from lipserve import audio
from lipserve.options import Options
from lipserve.tiers import LATENTSYNC
from lipserve_client._clip import Clip
from lipserve_server.inside.leaves import OnnxLeaves
from lipserve_server.inside.stages.latentsync_generate import LatentSyncGenerate
from lipserve_server.inside.stages.preprocess import Preprocess
from tests.support.segments import shorten

pytestmark = pytest.mark.serve

OPTIONS = Options(steps=1, on_length_mismatch="cut")


def crops(repository: Path, leaves: OnnxLeaves, video: bytes, sound: bytes, options: bytes) -> dict[str, Any]:
    """Return the crops of a request, before and after the networks."""
    rows = Preprocess(LATENTSYNC, leaves)(video, sound, options)
    stage = LatentSyncGenerate(repository, leaves)
    names = ("FACES", "SPEECH", "FRAMES", "TRACKS", "GENERATE_OPTIONS")
    return {**rows, "GENERATED": stage(*(rows[name] for name in names))["FACES"]}


def speech_with_a_late_peak(speech: Path) -> bytes:
    """Return 33 s of speech that is loudest at its end, where no segment hears it: a peak of the whole."""
    samples = np.resize(audio.load(speech), 33 * 16_000) * np.float32(0.2)
    samples[-8000:] = np.clip(samples[-8000:] * 50, -1, 1)
    return audio.wav(samples)


@pytest.mark.slow
def test_a_segmented_clip_equals_the_whole(
    exported_latentsync: Path, speech: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    video, sound = portrait.clip(1.64, (256, 256)), speech_with_a_late_peak(speech)
    shorten(monkeypatch, LATENTSYNC, frames=16)
    clip = Clip(video, sound, OPTIONS, "latentsync")
    assert [span.count for span in clip.spans] == [16, 25]
    leaves = OnnxLeaves(exported_latentsync)
    calls = [clip.request(index) for index in range(len(clip.spans))]
    parts = [
        crops(exported_latentsync, leaves, *(bytes(call.inputs[n]) for n in ("VIDEO", "AUDIO", "OPTIONS")))
        for call in calls
    ]
    asked = OPTIONS.model_dump_json(exclude_unset=True).encode()
    whole = crops(exported_latentsync, leaves, video, sound, asked)
    for tensor in ("FRAMES", "TRACKS"):
        np.testing.assert_array_equal(np.concatenate([part[tensor] for part in parts]), whole[tensor])
    for tensor in ("FACES", "GENERATED"):
        joined = np.concatenate([part[tensor] for part in parts]).astype(np.float64)
        error = ((joined - whole[tensor]) ** 2).reshape(len(joined), -1).mean(1)
        psnr = 10 * np.log10(255**2 / np.maximum(error, 1e-6))
        print(f"{tensor}: {psnr.mean():.1f} dB, worst {psnr.min():.1f} dB")
        assert 10 * np.log10(255**2 / max(error.mean(), 1e-6)) >= 45


@pytest.mark.parametrize(("reference", "frames"), [(False, 250), (True, 252)])
def test_ten_seconds_are_as_many_frames_as_are_asked_for(reference: bool, frames: int) -> None:
    """Upstream's count is floor(500 / 2) + 2 for ten seconds: its video outlasts the speech by 80 ms."""
    sound = audio.wav(np.zeros(160_000, np.float32))
    clip = Clip(portrait.clip(0.4, (64, 64)), sound, Options(reference=reference), "latentsync")
    assert clip.frames == sum(span.count for span in clip.spans) == frames
    assert all(span.count % 16 == 0 for span in clip.spans[:-1])
    assert clip.spans[-1].count >= 16
