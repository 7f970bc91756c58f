from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from lipserve.errors import SetupError
from lipserve_training.data import store


def clip(frames: int = 3) -> tuple[list[np.ndarray], store.Clip]:
    rng = np.random.default_rng(frames)
    pictures = [
        cv2.resize(rng.integers(0, 256, (16, 16, 3), np.uint8), (256, 256), interpolation=cv2.INTER_CUBIC)
        for _ in range(frames)
    ]
    samples = rng.uniform(-1, 1, frames * 640).astype(np.float32)
    meshes = rng.normal(0, 1, (frames, 468, 3)).astype(np.float32)
    images = [store.encode(p) for p in pictures]
    return pictures, store.Clip(images, samples, rng.normal(0, 1, (frames, 4)), meshes)


def entry(name: str) -> store.Entry:
    return store.Entry(
        clip=name, speaker="ann", frames=3, source="a.mp4", sha256="0" * 64, first_frame=0, offset=2, sync=0.5
    )


def test_a_clip_comes_back(tmp_path: Path) -> None:
    pictures, written = clip()
    store.write(tmp_path, "a", written)
    read = store.read(tmp_path, "a")
    np.testing.assert_array_equal(read.lips, written.lips)
    np.testing.assert_array_equal(read.meshes, written.meshes)
    np.testing.assert_allclose(read.samples, written.samples, atol=0.51 / 32767)
    for number, picture in enumerate(pictures):
        assert read.image(number).dtype == np.uint8
        assert cv2.PSNR(read.image(number), picture) > 40  # 41.3: JPEG 97, RGB both ways


def test_a_crop_that_is_stored_larger_than_asked_for_is_made_smaller() -> None:
    picture = cv2.resize(clip()[0][0], (384, 384), interpolation=cv2.INTER_LINEAR)
    large = store.Clip(
        [store.encode(picture)], np.zeros(640, np.float32), np.zeros((1, 4)), np.zeros((1, 468, 3))
    )
    assert large.image(0).shape == (384, 384, 3)
    expected = cv2.resize(picture, (256, 256), interpolation=cv2.INTER_AREA)
    assert cv2.PSNR(large.image(0, 256), expected) > 40
    assert clip()[1].image(0, 300).shape == (256, 256, 3)


def test_the_index_comes_back_sorted(tmp_path: Path) -> None:
    store.write_index(tmp_path, [entry("b"), entry("a")])
    assert store.read_index(tmp_path) == [entry("a"), entry("b")]


@pytest.mark.parametrize("content", ["[]", '[{"clip": "a"}]', "{}", '{"version": 1, "clips": []}'])
def test_the_index_of_another_version_is_refused_with_the_remedy(tmp_path: Path, content: str) -> None:
    (tmp_path / "index.json").write_text(content)
    with pytest.raises(SetupError, match="another version") as caught:
        store.read_index(tmp_path)
    assert caught.value.remedy == "Prepare it again: lipserve train prepare FOLDER -o DATASET."


@pytest.mark.parametrize("content", ["", "[", "3", '{"version": 2, "clips": [{"clip": 3}]}'])
def test_a_damaged_index_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "index.json").write_text(content)
    with pytest.raises(SetupError) as caught:
        store.read_index(tmp_path)
    assert caught.value.remedy


def test_a_clip_that_is_missing_or_cut_short_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="No such file"):
        store.read(tmp_path, "a")
    store.write(tmp_path, "a", clip()[1])
    whole = store.path(tmp_path, "a").read_bytes()
    store.path(tmp_path, "a").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SetupError, match="damaged"):
        store.read(tmp_path, "a")


def test_a_full_disk_is_told_with_its_remedy_and_leaves_nothing_half_written(tmp_path: Path) -> None:
    """The limit of a file's size stands in for a full disk: the kernel refuses the write alike."""
    program = (
        "import resource, sys; from pathlib import Path; from lipserve.errors import StorageError\n"
        "from lipserve_training.data import store\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))\n"
        "try: store.save(Path(sys.argv[1]), bytes(100_000))\n"
        "except StorageError as error: print(error)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program, tmp_path / "clips" / "a.npz"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "the disk is full. Free some space" in ended.stdout
    assert list((tmp_path / "clips").iterdir()) == []


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for act in (lambda: store.make(tmp_path / "file"), lambda: store.save(tmp_path / "file" / "a", b"")):
        with pytest.raises(SetupError, match="cannot be written"):
            act()


def test_half_written_files_are_removed(tmp_path: Path) -> None:
    store.write(tmp_path, "a", clip()[1])
    (tmp_path / "clips" / ".b.npz.123").write_bytes(b"half")
    store.sweep(tmp_path)
    assert [path.name for path in (tmp_path / "clips").iterdir()] == ["a.npz"]
