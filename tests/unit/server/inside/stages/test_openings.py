"""How often the VIDEO of a clip is opened: by the client, and by the stages in this process."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from demo import portrait
from lipserve import audio
from lipserve.files import source as files
from lipserve.options import Options
from lipserve.tiers import LIPWARP, WAV2LIP
from lipserve_client._clip import Clip
from tests.support.lipwarp_stages import Stages
from tests.support.segments import shorten
from tests.support.wav2lip_stages import Wav2LipStages

SECONDS = 1.2


class Openings:
    """Counts, for each part of a run, how often its video is opened and how often FFmpeg begins to read it.

    Attributes:
        files: as a file, to be demuxed or to be read whole. demuxers: by FFmpeg.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.files, self.demuxers = Counter[str](), Counter[str]()
        self._part = ""
        self._video: bytes | Path = b""
        self._own: list[Any] = []
        plain_file, plain_demuxer, plain_path = files.open_file, av.open, Path.open

        def file(source: Any, refusal: Any) -> Any:
            found = plain_file(source, refusal)
            if source == self._video:
                self.files[self._part] += 1
                self._own.append(found)
            return found

        def demuxer(source: Any, *args: Any, **options: Any) -> Any:
            if any(source is own for own in self._own):
                self.demuxers[self._part] += 1
            return plain_demuxer(source, *args, **options)

        def path(source: Path, *args: Any, **options: Any) -> Any:
            if source == self._video:
                self.files[self._part] += 1
            return plain_path(source, *args, **options)

        monkeypatch.setattr(files, "open_file", file)
        monkeypatch.setattr(av, "open", demuxer)
        monkeypatch.setattr(Path, "open", path)

    @contextmanager
    def of(self, part: str, video: bytes | Path) -> Iterator[None]:
        self._part, self._video = part, video
        yield
        self._part, self._video = "", b""


@pytest.fixture
def openings(monkeypatch: pytest.MonkeyPatch) -> Openings:
    return Openings(monkeypatch)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("openings") / "clip.mp4"
    path.write_bytes(portrait.clip(SECONDS, (192, 192)))
    return path


SPEECH = audio.wav(np.random.default_rng(5).normal(0, 0.1, round(16_000 * SECONDS)).astype(np.float32))


_STAGES: dict[str, Callable[[Path], Any]] = {"lipwarp": Stages, "wav2lip": Wav2LipStages}


def _serve(stages: Any, clip: Clip, number: int, path: Path, openings: Openings) -> None:
    """Let a segment of a clip be made, the client's part and the server's."""
    with openings.of("client", path):
        inputs = clip.request(number).inputs
    video, sound, options = (bytes(inputs[name]) for name in ("VIDEO", "AUDIO", "OPTIONS"))
    prepared = [inputs["SOURCE"]] if "SOURCE" in inputs else []
    with openings.of("preprocess", video):
        rows = stages.preprocess(video, sound, options, *prepared)
    with openings.of("generate", video):
        made = stages.generate(rows)
    with openings.of("postprocess", video):
        answer = stages.postprocess(video, sound, rows, made)
    with openings.of("client", path):
        clip.result_form(number).check(answer)


@pytest.mark.parametrize("tier", ["lipwarp", "wav2lip"])
def test_a_clip_of_one_request_is_opened_four_times(
    tier: Any, exported: Path, clip: Path, openings: Openings
) -> None:
    with openings.of("client", clip):
        asked = Clip(clip, SPEECH, Options(), tier)
    assert asked.whole
    _serve(_STAGES[tier](exported), asked, 0, clip, openings)
    assert openings.demuxers == {"client": 1, "preprocess": 2, "postprocess": 1}
    assert openings.files == {"client": 2, "preprocess": 1, "postprocess": 1}  # read whole, to be sent


@pytest.mark.parametrize("tier", [LIPWARP, WAV2LIP], ids=lambda tier: tier.name)
def test_a_segment_is_opened_twice_by_the_server_and_once_by_the_client(
    tier: Any, exported: Path, clip: Path, openings: Openings, monkeypatch: pytest.MonkeyPatch
) -> None:
    shorten(monkeypatch, tier, seconds=0.5)
    with openings.of("client", clip):
        asked = Clip(clip, SPEECH, Options(), tier.name)
    assert len(asked.spans) > 1
    stages = _STAGES[tier.name](exported)
    if asked.unprepared:
        asked.source = stages.prepare([clip.read_bytes()])["SOURCE"]
    assert openings.demuxers == {"client": 1}
    _serve(stages, asked, 0, clip, openings)
    assert openings.demuxers["client"] == 3  # before the first stretch is cut out, the header
    openings.files.clear()
    openings.demuxers.clear()
    _serve(stages, asked, 1, clip, openings)
    assert openings.files == {"client": 1, "preprocess": 1, "postprocess": 1}
    assert openings.demuxers == {"client": 1, "preprocess": 2, "postprocess": 1}


def test_however_many_stretches_are_looked_at_a_video_is_opened_once(
    exported: Path, openings: Openings
) -> None:
    video = portrait.clip(7.0, (128, 128))
    stages = Stages(exported)
    with openings.of("prepare", video):
        source = stages.prepare([video], json.dumps({}).encode())["SOURCE"]
    assert len(source) > 1000
    assert openings.files == {"prepare": 1}
    assert openings.demuxers == {"prepare": 2}  # its header, and all of it
