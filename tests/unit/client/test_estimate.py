"""What a call will take: from measurements of the server, with nothing of the user's sent."""

from __future__ import annotations

import json
from fractions import Fraction

import numpy as np
import pytest

from demo import portrait
from lipserve import Client, MockTransport, audio
from lipserve.errors import AudioError, OptionsError
from lipserve.media import decode, probe
from lipserve.options import Options
from lipserve_client import _calibration as calibration
from lipserve_client._calibration import Calibration, Sample
from lipserve_client._clip import Clip
from lipserve_client._estimate import memory_of, of_clip, plain

SPEECH = audio.wav(0.1 * np.sin(np.arange(16_000 * 31) / 9).astype(np.float32))


def clip(seconds: float = 31.0, tier: str = "lipwarp") -> Clip:
    return Clip(portrait.clip(1.0, (128, 96)), SPEECH[: 58 + round(64_000 * seconds)], Options(), tier)  # type: ignore[arg-type]


def test_two_lengths_give_what_a_clip_and_what_a_frame_costs() -> None:
    found = calibration.of_samples(
        Sample(1, 16, 0.6, 0.5),
        [Sample(1, 48, 1.2, 1.1), Sample(1, 48, 1.28, 1.3)],
        Sample(3, 48, 2.88, 4.0),
        1.0,
    )
    assert found.frame == pytest.approx(0.64 / 32)
    assert found.fixed == pytest.approx(0.28)
    moving = 0.02 * 48 / 1.24  # share of a clip's time that its frames take
    assert found.shared == pytest.approx(0.02 * moving)
    assert found.shared_fixed == pytest.approx(0.96 * (1 - moving))
    assert found.work == pytest.approx(0.025)
    assert found.spread == pytest.approx(1.28 / 1.2)
    noisy = calibration.of_samples(Sample(1, 16, 2.0, 1), [Sample(1, 48, 1.0, 1)], Sample(1, 48, 1, 1), 2.0)
    assert noisy.frame == pytest.approx(2 * 0.5 / 48)  # a longer clip takes longer, whatever was measured


def test_a_large_picture_is_measured_smaller() -> None:
    assert calibration.size_of(1280, 720) == (1280, 720, 1.0)
    width, height, pixels = calibration.size_of(7680, 4320)
    assert (width, height) == (1920, 1080)
    assert pixels == 16


def test_the_clip_that_is_sent_moves_and_speaks() -> None:
    video, speech = calibration.clip(160, 120, Fraction(30), 12)
    info = probe.probe(video)
    assert (info.width, info.height, info.fps, info.frames) == (160, 120, 30, 12)
    shown = [picture.y.astype(int) for picture in decode.read(video, info)]
    assert 0.2 < float(np.abs(shown[5] - shown[0]).mean()) < 30
    assert len(audio.load(speech)) == 6400


def test_the_estimate_follows_frames_and_segments() -> None:
    server = Calibration(fixed=0.5, frame=0.02, shared_fixed=0.2, shared=0.01, work=0.03, spread=1.25)
    long = of_clip(clip(), "lipwarp", server, 9.0, 3, 3.6)
    assert (long.frames, long.segments, long.in_flight) == (775, 3, 3)
    assert long.wait_seconds == pytest.approx(3 * 0.2 + 0.01 * (775 + 2 * 32))
    assert (long.least_seconds, long.most_seconds) == (
        pytest.approx(long.wait_seconds / 2.5, abs=0.01),
        pytest.approx(long.wait_seconds * 2.5, abs=0.01),
    )
    assert long.cost == pytest.approx(long.wait_seconds / 1000)
    short = of_clip(clip(2.0), "lipwarp", server, 9.0, 3, None)
    assert (short.frames, short.segments, short.wait_seconds) == (50, 1, 1.5)
    assert short.cost is None
    assert not any(row.startswith("cost") for row in short.rows())


def test_memory_grows_with_the_frames_of_a_request() -> None:
    """A mouth of the tier lipwarp is about 100 kB a frame on its way, held twice."""
    grown = memory_of(clip(8.0), "lipwarp") - memory_of(clip(4.0), "lipwarp")
    assert 5 < grown < 25
    assert memory_of(clip(4.0), "latentsync") > memory_of(clip(4.0), "lipwarp")


def test_nothing_of_the_users_is_sent() -> None:
    video = portrait.clip(1.0, (128, 96))
    transport = MockTransport()
    with Client(transport=transport) as client:
        found = client.estimate(video, SPEECH, crf=30, price_per_hour=2, face="3,4")
    assert (found.frames, found.segments, found.tier) == (775, 3, "lipwarp")
    assert found.wait_seconds > 0
    assert found.cost is not None
    assert 0 < found.cost <= (found.most_cost or 0)
    assert len(transport.calls) == 7  # cold, short, long twice, three at once
    for call in transport.calls:
        sent = bytes(call.inputs["VIDEO"])
        assert sent != video
        assert (probe.probe(sent).width, probe.probe(sent).height) == (128, 96)
        assert json.loads(bytes(call.inputs["OPTIONS"])) == {"crf": 30}
    assert json.loads(json.dumps(found.to_json()))["cost"] == found.cost


def test_options_that_cost_no_time_stay_here() -> None:
    asked = Options(crf=20, face="1,1", sync_offset_ms=40, preset="slow", audio_track=1)
    assert plain(asked).model_dump(exclude_unset=True) == {"crf": 20, "preset": "slow"}


def test_what_cannot_be_estimated_is_refused_before_anything_is_sent() -> None:
    transport = MockTransport()
    with Client(transport=transport) as client:
        for price in (-1.0, float("nan"), float("inf")):
            with pytest.raises(OptionsError, match="price"):
                client.estimate(b"", b"", price_per_hour=price)
        with pytest.raises(AudioError):
            client.estimate(portrait.clip(1.0, (128, 96)), b"no sound")
    assert transport.calls == []
