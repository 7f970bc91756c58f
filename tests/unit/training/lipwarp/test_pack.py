from __future__ import annotations

import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from lipserve.errors import SetupError
from lipserve_training.data import store
from lipserve_training.lipwarp import footage, library, pack


@pytest.fixture(scope="module")
def packed(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pack") / "a.pack"
    kept = pack.write(path, dataset, store.read_index(dataset), 10**7, lambda: None)
    assert kept == store.read_index(dataset)
    return path


def test_a_clip_comes_back_from_either(dataset: Path, packed: Path) -> None:
    assert library.entries(packed) == library.entries(dataset)
    for entry in library.entries(packed):
        own, other = library.read(dataset, entry), library.read(packed, entry)
        assert own.mouths is not None
        assert other.mouths is not None
        assert other.mouths.shape == (12, 144, 144, 3)
        np.testing.assert_allclose(other.samples, own.samples, atol=0.51 / 32767)
        np.testing.assert_allclose(other.points, own.points, atol=0.06)
        np.testing.assert_allclose(other.shapes, own.shapes, atol=1e-6)
        np.testing.assert_allclose(other.lips, own.lips, atol=1e-6)
        crops = [
            cv2.warpAffine(clip.mouths[3], clip.placement, (96, 96), borderMode=cv2.BORDER_REPLICATE)
            for clip in (own, other)
            if clip.mouths is not None
        ]
        assert cv2.PSNR(*crops) > 35
        assert library.read(packed, entry, pictures=False).mouths is None


def test_equal_clips_give_equal_bytes(dataset: Path, packed: Path, tmp_path: Path) -> None:
    pack.write(tmp_path / "b.pack", dataset, store.read_index(dataset), 10**7, lambda: None)
    assert (tmp_path / "b.pack").read_bytes() == packed.read_bytes()


def test_the_speaker_with_most_speech_gives_up_clips_that_do_not_fit(
    dataset: Path, packed: Path, tmp_path: Path
) -> None:
    size = packed.stat().st_size
    kept = pack.write(tmp_path / "b.pack", dataset, store.read_index(dataset), size - 1000, lambda: None)
    assert [entry.speaker for entry in kept] == ["ann", "ben", "cid"]
    assert (tmp_path / "b.pack").stat().st_size <= size - 1000
    with pytest.raises(SetupError, match="No clip fits"):
        pack.write(tmp_path / "c.pack", dataset, store.read_index(dataset), 1000, lambda: None)
    assert not (tmp_path / "c.pack").exists()


@pytest.mark.parametrize("how", ["cut", "text", "empty", "other", "index"])
def test_a_file_that_is_no_pack_is_refused(how: str, packed: Path, tmp_path: Path) -> None:
    path, data = tmp_path / "b.pack", packed.read_bytes()
    if how == "other":
        with zipfile.ZipFile(path, "w") as file:
            file.writestr(store.INDEX, '{"version": 0, "clips": []}')
    elif how == "index":
        with zipfile.ZipFile(path, "w") as file:
            file.writestr(store.INDEX, "[]")
    else:
        path.write_bytes({"cut": data[: len(data) // 2], "text": b"text" * 99, "empty": b""}[how])
    with pytest.raises(SetupError, match="another version" if how == "other" else "is not a packed dataset"):
        library.entries(path)


def test_a_clip_that_is_damaged_is_told(packed: Path, tmp_path: Path) -> None:
    path = tmp_path / "b.pack"
    with zipfile.ZipFile(packed) as whole, zipfile.ZipFile(path, "w") as file:
        file.writestr(store.INDEX, whole.read(store.INDEX))
        file.writestr("ann_0", whole.read("ann_0")[:5000])
    entries = library.entries(path)
    for entry in entries[:2]:
        with pytest.raises(SetupError, match="is not a packed dataset, or is damaged"):
            library.read(path, entry)


def test_a_dataset_is_read_as_one(dataset: Path) -> None:
    entry = library.entries(dataset)[0]
    own, other = footage.read(dataset, entry), library.read(dataset, entry)
    np.testing.assert_array_equal(own.points, other.points)
