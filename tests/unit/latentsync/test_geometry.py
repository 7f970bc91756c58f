"""The alignment, the crop and the paste against a plain re-implementation over the whole frame."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from lipserve.align import Transforms
from lipserve.files.picture import Colour, Picture
from lipserve.latentsync.geometry import POINTS, Reference, bicubic, feather, fit
from lipserve.media import decode, probe
from lipserve.media.yuv import from_rgb, to_rgb
from lipserve.tracking import Tracker, blocks
from lipserve_server.inside.leaves import OnnxLeaves

Doubles = NDArray[np.float64]
ONE, FULL_HD = Fraction(1), (1920, 1080)


def mesh(angle: float, size: float, x: float, y: float, seed: int = 0) -> Doubles:
    """Return a mesh [468, 2] whose brows and nose lie about where a face's do; the rest is anywhere."""
    rng = np.random.default_rng(seed)
    points = rng.normal(0, 1000, (468, 2))
    linear = size * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    for group, place in zip(POINTS, ((-0.2, -0.2), (0.2, -0.2), (0.0, 0.08)), strict=True):
        points[list(group)] = (place + rng.normal(0, 0.02, (len(group), 2))) @ linear.T + [x, y]
    return points


def textured(width: int, height: int, colour: Colour = Colour()) -> Picture:  # noqa: B008
    noise = np.random.default_rng(7).integers(0, 256, (height, width, 3), np.uint8)
    y, u, v = from_rgb(np.asarray(cv2.GaussianBlur(noise, (0, 0), 3), np.uint8), colour)
    half = ((width + 1) // 2, (height + 1) // 2)
    small = (np.asarray(cv2.resize(plane, half, interpolation=cv2.INTER_AREA), np.uint8) for plane in (u, v))
    return Picture(y, *small, colour)


def copied(picture: Picture) -> Picture:
    return Picture(picture.y.copy(), picture.u.copy(), picture.v.copy(), picture.colour)


def plain_transforms(meshes: Doubles, resolution: int) -> Doubles:
    """The published recipe, a frame at a time, by SVD (spec 5.4 and 5.5)."""
    r = resolution / 256 * 2.8
    template = r * np.array([(17, 20), (58, 20), (37.5, 40)])
    carried, out = None, []
    for points in meshes:
        source = np.stack([points[list(group)].mean(0) for group in POINTS])
        c1, c2 = source.mean(0), template.mean(0)
        s1, s2 = np.std(source - c1, ddof=1), np.std(template - c2, ddof=1)
        p, q = (source - c1) / s1, (template - c2) / s2
        u, _, vt = np.linalg.svd(p.T @ q)
        rotation = vt.T @ u.T
        if np.linalg.det(rotation) < 0:
            vt[-1] *= -1
            rotation = vt.T @ u.T
        matrix = np.concatenate([s2 / s1 * rotation, (c2 - s2 / s1 * rotation @ c1)[:, None]], 1)
        bias = q[2] - p[2]
        carried = bias if carried is None else 0.2 * carried + 0.8 * bias
        matrix[:, 2] += carried
        out.append(matrix)
    return np.array(out)


@pytest.mark.parametrize("resolution", [256, 512])
def test_the_fit_is_the_published_one(resolution: int) -> None:
    rng = np.random.default_rng(3)
    meshes = np.array([mesh(*rng.uniform((-3, 40, 0, 0), (3, 900, 1900, 1000)), i) for i in range(50)])
    found = Reference(resolution).transforms(meshes, np.zeros(50, np.int64), ONE, FULL_HD)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, plain_transforms(meshes, resolution), rtol=1e-5, atol=2e-3)


def test_a_triangle_of_the_template_s_shape_lands_on_it() -> None:
    template = 2.8 * np.array([(17, 20), (58, 20), (37.5, 40)])
    turned = (template @ np.array([[0.6, 0.8], [-0.8, 0.6]]) * 1.7 + [300, 200])[None]
    matrix, _ = fit(turned, template)
    np.testing.assert_allclose(turned[0] @ matrix[0, :, :2].T + matrix[0, :, 2], template, atol=1e-9)


def test_a_cut_begins_the_smoothing_anew() -> None:
    meshes = np.array([mesh(0.1 * i, 100 + i, 50 + 3 * i, 80.0, i) for i in range(12)])
    geometry = Reference(256)
    runs = np.repeat([0, 1], 6)
    both = geometry.transforms(meshes, runs, ONE, FULL_HD)
    for part in (slice(0, 6), slice(6, 12)):
        np.testing.assert_array_equal(both[part], geometry.transforms(meshes[part], runs[part], ONE, FULL_HD))
    assert (
        np.abs(both[6:] - geometry.transforms(meshes, np.zeros(12, np.int64), ONE, FULL_HD)[6:]).max() > 1e-3
    )


def test_eight_frames_of_warm_up_are_as_good_as_all() -> None:
    meshes = np.array([mesh(0.1 * (i % 3), 100, 50 + 3 * i, 80.0, i) for i in range(40)])
    runs = np.zeros(40, np.int64)
    whole = Reference(256).transforms(meshes, runs, ONE, FULL_HD)
    late = Reference(256).transforms(meshes[20:], runs[20:], ONE, FULL_HD)
    apart = np.abs(late - whole[20:]).max((1, 2))
    assert apart[0] > 1e-3
    assert apart[8:].max() < 1e-5  # pixels: 0.2 ** 8 = 2.6e-6 of the bias


def test_oblong_pixels_are_made_square() -> None:
    meshes = mesh(0.2, 100, 300, 200)[None]
    square = Reference(256).transforms(meshes, np.zeros(1, np.int64), ONE, FULL_HD)[0]
    wide = Reference(256).transforms(meshes, np.zeros(1, np.int64), Fraction(4, 3), FULL_HD)[0]
    np.testing.assert_allclose(wide @ [75, 50, 1], square @ [100, 50, 1], atol=1e-3)


def sampled(plane: NDArray[Any], x: Doubles, y: Doubles, outside: float | None) -> Doubles:
    """Bilinear; beyond the border lies `outside`, blended in by coverage, or (None) the border itself."""
    total = np.zeros(x.shape)
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    for dy in (0, 1):
        for dx in (0, 1):
            column, row = left + dx, top + dy
            share = (1 - np.abs(x - column)) * (1 - np.abs(y - row))
            inside = (column >= 0) & (column < plane.shape[1]) & (row >= 0) & (row < plane.shape[0])
            value = plane[row.clip(0, plane.shape[0] - 1), column.clip(0, plane.shape[1] - 1)]
            total += share * (value if outside is None else np.where(inside, value, outside))
    return total


def at(matrix: NDArray[Any], width: int, height: int) -> tuple[Doubles, Doubles]:
    """Return where the pixels of a width x height grid land."""
    y, x = np.mgrid[:height, :width].astype(float)
    m = matrix.astype(np.float64)
    return m[0, 0] * x + m[0, 1] * y + m[0, 2], m[1, 0] * x + m[1, 1] * y + m[1, 2]


def inverted(matrix: NDArray[Any]) -> Doubles:
    return np.asarray(np.linalg.inv(np.vstack([matrix.astype(np.float64), [0, 0, 1]]))[:2])


def plain_crop(picture: Picture, transform: Transforms, resolution: int) -> NDArray[np.uint8]:
    """Sample each channel where the crop's pixel lies, then to RGB, grey where there is no picture."""
    extent = (210 * resolution // 256, 280 * resolution // 256)
    x, y = at(inverted(transform), *extent)
    planes = [sampled(picture.y, x, y, None)]
    planes += [sampled(plane, x / 2, (y - 0.5) / 2, None) for plane in (picture.u, picture.v)]
    inside = sampled(np.ones(picture.y.shape), x, y, 0.0)[..., None]
    image = to_rgb(*(np.rint(plane).astype(np.uint8) for plane in planes), picture.colour)
    grey = np.rint(inside * image + (1 - inside) * 127).astype(np.uint8)
    return np.asarray(cv2.resize(grey, (resolution, resolution), interpolation=cv2.INTER_LANCZOS4), np.uint8)


def plain_feather(transform: Transforms, extent: tuple[int, int], width: int, height: int) -> Doubles:
    """Steps 3 to 5 of the reference's restore over the whole frame, loops where the paper has loops."""
    covered = sampled(np.ones(extent[::-1]), *at(transform, width, height), 0.0)
    padded = np.pad(covered, ((1, 0), (1, 0)), constant_values=np.inf)
    once = np.minimum.reduce([padded[1:, 1:], padded[:-1, 1:], padded[1:, :-1], padded[:-1, :-1]])
    w = int(np.sqrt(once.sum())) // 20
    low, high = (w, w - 1) if w else (1, 1)
    padded = np.pad(once, ((low, high), (low, high)), constant_values=np.inf)
    windows = np.lib.stride_tricks.sliding_window_view(padded, low + high + 1, axis=0).min(-1)
    inner = np.lib.stride_tricks.sliding_window_view(windows, low + high + 1, axis=1).min(-1)
    sigma = 0.3 * (w - 1) + 0.8
    tap = np.exp(-0.5 * (np.arange(-w, w + 1) / sigma) ** 2)
    tap /= tap.sum()
    for axis in (0, 1):
        wide = np.pad(inner, [(w, w) if axis == a else (0, 0) for a in (0, 1)], mode="reflect")
        inner = np.lib.stride_tricks.sliding_window_view(wide, 2 * w + 1, axis=axis) @ tap
    return np.asarray(inner * once)


def places(width: int, height: int) -> list[Transforms]:
    """Faces inside a picture, past each of its borders, turned, tiny and larger than it."""
    spots = [(0.1, 0.45, 0.5, 0.4), (0.6, 0.3, 0.4, 0.5), (-0.3, 0.5, 0.05, 0.2), (0.0, 0.5, 0.95, 0.9)]
    spots += [(2.0, 0.2, 0.6, 0.6), (0.0, 0.05, 0.5, 0.5), (0.2, 1.8, 0.5, 0.5)]
    meshes = [mesh(a, s * height, x * width, y * height) for a, s, x, y in spots]
    return list(Reference(256).transforms(np.array(meshes), np.arange(len(meshes)), ONE, FULL_HD))


@pytest.mark.parametrize("size", [(200, 151), (333, 250)])
@pytest.mark.parametrize("colour", [Colour(), Colour("bt601", True, "smpte170m", "smpte170m")])
def test_a_crop_is_the_plain_one(size: tuple[int, int], colour: Colour) -> None:
    picture = textured(*size, colour)
    for transform in places(*size):
        found = Reference(256).crop(picture, transform).astype(int)
        assert found.shape == (256, 256, 3)
        apart = np.abs(found - plain_crop(picture, transform, 256))
        assert apart.mean() < 0.12
        assert (
            apart.max() <= 5
        )  # an 8-bit plane rounded the other way, in a colour matrix and a Lanczos filter


def test_outside_the_picture_a_crop_is_grey() -> None:
    gone = np.array([[1, 0, 5000], [0, 1, 5000]], np.float32)
    for colour in (Colour(), Colour("bt601"), Colour(full_range=True)):
        assert (Reference(256).crop(textured(100, 100, colour), gone) == 127).all()
    picture = textured(64, 48)
    picture.y[:], picture.u[:], picture.v[:] = 235, 128, 128
    corner = Reference(256).crop(picture, np.array([[1, 0, 20.5], [0, 1, 20.5]], np.float32))
    across = [int(v) for v in corner[40, :40, 0]]  # a crop's column is 256/210 of a pixel
    assert across[:20] == [127] * 20
    assert across[32:] == [255] * 8


def test_the_feather_is_the_plain_one() -> None:
    for width, height in ((200, 151), (333, 250)):
        for transform in places(width, height):
            found = feather(transform, (width, height), (210, 280))
            plain = plain_feather(transform, (210, 280), width, height)
            assert np.abs(found - plain).max() < 0.02
            assert np.abs(found - plain).mean() < 1e-4


def test_the_feather_of_the_spec_s_example() -> None:
    """A face of 200 x 267 pixels: w_edge 11, eroded by 22, blurred by 23 with a deviation of 3.8."""
    transform = np.array([[210 / 200, 0, -50], [0, 280 / 267, -50]], np.float32)
    soft = feather(transform, (300, 350), (210, 280))
    row = soft[180]
    inside = np.flatnonzero(row > 0)
    left = round(50 / 1.05) + 1
    assert abs(inside[0] - left) <= 1
    assert np.flatnonzero(row == row.max())[0] - inside[0] == pytest.approx(22, abs=1)
    step = np.diff(row[inside[0] : inside[0] + 22])
    assert step.max() == pytest.approx(1 / (3.8 * np.sqrt(2 * np.pi)), rel=0.02)


def plain_paste(
    picture: Picture, face: NDArray[np.uint8], transform: Transforms, weight: float
) -> list[Doubles]:
    height, width = picture.y.shape
    image = torch.from_numpy(face.transpose(2, 0, 1)[None].astype(np.float32))
    tall = torch.nn.functional.interpolate(image, (280, 210), mode="bicubic", antialias=True)
    rgb = np.ascontiguousarray(tall[0].clamp(0, 255).numpy().transpose(1, 2, 0))
    soft = weight * plain_feather(transform, (210, 280), width, height)
    rows = np.arange(0, height, 2)
    sparse = (soft[rows] + soft[np.minimum(rows + 1, height - 1)])[:, ::2] / 2
    forward = transform.astype(np.float64)
    chroma = forward @ np.array([[2, 0, 0], [0, 2, 0.5], [0, 0, 1.0]])
    out = []
    for plane, channel, matrix, share in zip(
        (picture.y, picture.u, picture.v),
        from_rgb(rgb, picture.colour),
        (forward, chroma, chroma),
        (soft, sparse, sparse),
        strict=True,
    ):
        new = sampled(channel, *at(matrix, *plane.shape[::-1]), None)
        out.append(share * new + (1 - share) * plane)
    return out


@pytest.mark.parametrize("size", [(201, 151), (260, 180)])
@pytest.mark.parametrize("weight", [1.0, 0.4])
def test_a_paste_is_the_plain_one_and_leaves_the_rest_to_the_bit(
    size: tuple[int, int], weight: float
) -> None:
    picture, geometry = textured(*size), Reference(256)
    face = np.random.default_rng(2).integers(0, 256, (16, 16, 3), np.uint8)
    face = np.asarray(cv2.resize(face, (256, 256), interpolation=cv2.INTER_CUBIC), np.uint8)
    for transform in places(*size):
        result = copied(picture)
        geometry.paste(result, face, transform, weight)
        soft = plain_feather(transform, (210, 280), *size)
        assert (result.y == picture.y)[soft == 0].all()
        assert (result.y != picture.y)[soft > 0.5].mean() > 0.8
        plain = plain_paste(picture, face, transform, weight)
        for found, wanted in zip((result.y, result.u, result.v), plain, strict=True):
            apart = np.abs(found - wanted)
            assert apart.mean() < 0.27  # rounding alone is 0.25
            assert apart.max() < 1


def test_nothing_is_pasted_with_weight_zero_or_off_the_picture() -> None:
    picture, face = textured(160, 120), np.full((256, 256, 3), 255, np.uint8)
    for transform, weight in (
        (places(160, 120)[0], 0.0),
        (np.array([[1, 0, 5e6], [0, 1, 0]], np.float32), 1),
    ):
        result = copied(picture)
        Reference(256).paste(result, face, transform, weight)
        for found, source in zip(
            (result.y, result.u, result.v), (picture.y, picture.u, picture.v), strict=True
        ):
            np.testing.assert_array_equal(found, source)


@pytest.mark.parametrize(("length", "new"), [(256, 210), (256, 280), (512, 420), (512, 560)])
def test_bicubic_is_torch_s(length: int, new: int) -> None:
    image = np.random.default_rng(0).uniform(0, 255, (1, 1, length, 4)).astype(np.float32)
    wanted = torch.nn.functional.interpolate(
        torch.from_numpy(image), (new, 4), mode="bicubic", antialias=True
    )
    np.testing.assert_allclose(bicubic(length, new) @ image[0, 0], wanted[0, 0], atol=0.01)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    ["LatentSync__demo1_video.mp4", "LipNet__lbax4n.mpg", "SadTalker__WDA_AlexandriaOcasioCortez_000.mp4"],
)
def test_a_real_face_is_cut_as_the_mask_expects_and_comes_back(
    shared_data: Callable[[str], Path], exported: Path, name: str
) -> None:
    path = str(shared_data(f"video/{name}"))
    info = probe.probe(path)
    tracker = Tracker(OnnxLeaves(exported), info.fps, info.pixel_aspect, "largest", None)
    pictures: list[Picture] = []
    for block in blocks(decode.read(path, info, 0, 8, threads=1), 0):
        tracker.add(block, len(pictures))
        pictures += [copied(picture) for picture in block]
    meshes = np.array(tracker.tracks[0].landmarks)
    geometry = Reference(256)
    transforms = geometry.transforms(
        meshes, np.zeros(8, np.int64), info.pixel_aspect, (info.width, info.height)
    )
    picture, transform = pictures[-1], transforms[-1]
    square = np.array([[256 / 210, 0], [0, 256 / 280]])
    places_ = (meshes[-1, :, :2] / [float(info.pixel_aspect), 1]) @ transform[:, :2].T + transform[:, 2]
    lips, chin = places_[[13, 14]].mean(0) @ square, places_[152] @ square
    assert 110 < lips[0] < 146
    assert 145 < lips[1] < 180
    assert 200 < chin[1] < 243  # the mask ends there
    assert (
        np.abs(geometry.crop(picture, transform).astype(int) - plain_crop(picture, transform, 256)).mean()
        < 0.6
    )
    result = copied(picture)
    geometry.paste(result, geometry.crop(picture, transform), transform)
    soft = plain_feather(transform, (210, 280), *picture.y.shape[::-1])
    error = (result.y.astype(float) - picture.y)[soft > 0]
    psnr = 10 * np.log10(255**2 / np.mean(error**2))
    print(f"{name}: {psnr:.1f} dB where it was pasted")
    assert psnr > 34
