from __future__ import annotations

from pathlib import Path

import pytest

from lipserve.errors import SetupError
from lipserve_training.data import store
from lipserve_training.train import split
from lipserve_training.train.recipe import Data


def data(**names: object) -> Data:
    return Data.model_validate(names)


def test_held_out_speakers_and_unheard_clips_are_not_trained_on(dataset: Path) -> None:
    entries = store.read_index(dataset)
    chosen = data(hold_out=["cid"], unheard=["ann/1.mp4"])
    assert [entry.clip for entry in split.training_entries(chosen, entries)] == ["ann_0", "ben_0"]
    assert [entry.clip for entry in split.held_out_entries(chosen, entries)] == ["cid_0"]
    assert split.absent(chosen, entries) == []


def test_names_that_no_clip_has_are_told(dataset: Path) -> None:
    chosen = data(hold_out=["cid", "dan"], unheard=["ann/9.mp4"])
    assert split.absent(chosen, store.read_index(dataset)) == ["dan", "ann/9.mp4"]


def test_holding_out_everybody_is_refused(dataset: Path) -> None:
    with pytest.raises(SetupError, match="all 4 clips"):
        split.training_entries(data(hold_out=["ann", "ben", "cid"]), store.read_index(dataset))
