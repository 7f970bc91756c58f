from __future__ import annotations

from pathlib import Path

import numpy as np

from lipserve import audio
from lipserve_training.data.videos import Video
from lipserve_training.evaluate.run import Subject, speeches


def test_other_clips_lend_their_speech_but_not_the_same_sentence_again(tmp_path: Path) -> None:
    said = {
        "priazn.mpg": "s23",
        "priazn__again.mp4": "s23",
        "bbad1n.mpg": "s22",
        "other.mp4": "other",
        "mute.mp4": "m",
    }
    subjects = []
    for number, (name, speaker) in enumerate(said.items()):
        path = tmp_path / name
        path.write_bytes(audio.wav(np.full(1600, number / 10, np.float32)) if name != "mute.mp4" else b"")
        subjects.append(Subject(Video(path, name, speaker)))
    heard = {
        subject.video.name: sorted(round(float(speech[800]), 1) for speech in speeches(subject, subjects))
        for subject in subjects
    }
    assert heard["priazn.mpg"] == heard["priazn__again.mp4"] == [0.2, 0.3]
    assert heard["bbad1n.mpg"] == [0.0, 0.1, 0.3]
    assert heard["other.mp4"] == [0.0, 0.1, 0.2]
    assert heard["mute.mp4"] == [0.0, 0.1, 0.2, 0.3]
