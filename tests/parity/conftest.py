"""The public face networks, and real faces to run them on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
import cv2
import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from skimage.data import astronaut

from lipserve.errors import SetupError
from lipserve_export.faces.detector import yunet
from lipserve_export.faces.landmarks import face_landmarks
from lipserve_export.fetch.files import FACE_MESH, YUNET, from_wheel, mediapipe_wheel, shipped_file
from lipserve_export.fetch.shipped import load
from lipserve_export.lipwarp.renderer import lip_renderer
from lipserve_export.lipwarp.renderer_network import LipRenderer
from lipserve_export.wav2lip.generator import random_generator, wav2lip_generator
from lipserve_export.wav2lip.network import VARIANTS

Image = NDArray[np.uint8]

# One face each, of 10 to 75 % of the height, and where it is: x, y, side of a square in the frame.
CLIPS = {
    "LatentSync__demo1_video.mp4": (510, 580, 300),
    "LipNet__bbaf2n.mpg": (30, 40, 190),
    "LivePortrait__s13.mp4": (300, 50, 130),
    "LivePortrait__s18.mp4": (640, 70, 350),
    "Syncnet_FCN__example.avi": (0, 0, 210),
    "video-retalking__2.mp4": (190, 190, 430),
}
PORTRAIT = "portrait"
PORTRAIT_FACE = (150, 40, 150)


@pytest.fixture(scope="session")
def wheel() -> Path:
    try:
        return mediapipe_wheel(None, lambda line: None)
    except SetupError as error:
        pytest.skip(f"no mediapipe wheel: {error}")


@pytest.fixture(scope="session")
def mesh_file(wheel: Path) -> bytes:
    return from_wheel(wheel, FACE_MESH)


@pytest.fixture(scope="session", params=[PORTRAIT, *CLIPS])
def picture(request: pytest.FixtureRequest, shared_data: Callable[[str], Path]) -> Image:
    """RGB [H, W, 3]: the portrait, or the tenth frame of a clip."""
    if request.param == PORTRAIT:
        image: Image = astronaut()
        return image
    return frame(shared_data(f"video/{request.param}"), 10)


@pytest.fixture(scope="session", params=[PORTRAIT, *CLIPS])
def face(request: pytest.FixtureRequest, shared_data: Callable[[str], Path]) -> Image:
    """RGB [S, S, 3]: a square around the face of a picture."""
    if request.param == PORTRAIT:
        (x, y, side), image = PORTRAIT_FACE, astronaut()
    else:
        (x, y, side), image = CLIPS[request.param], frame(shared_data(f"video/{request.param}"), 10)
    crop: Image = image[y : y + side, x : x + side]
    return crop


def frame(path: Path, number: int) -> Image:
    with av.open(str(path)) as container:
        for index, decoded in enumerate(container.decode(video=0)):
            if index == number:
                return decoded.to_ndarray(format="rgb24").astype(np.uint8)
    raise AssertionError(f"{path.name} has no frame {number}")


def letterboxed(image: Image, side: int = 640) -> Image:
    """Scale to fit, top left, the rest black: what the detector's contract asks for."""
    scale = min(1.0, side / max(image.shape[:2]))
    if scale < 1:
        image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA).astype(np.uint8)
    canvas = np.zeros((side, side, 3), np.uint8)
    canvas[: image.shape[0], : image.shape[1]] = image
    return canvas


def resized(image: Image, side: int) -> Image:
    return cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA).astype(np.uint8)


@pytest.fixture(scope="session")
def letterbox() -> Callable[[Image], Image]:
    return letterboxed


@pytest.fixture(scope="session")
def resize() -> Callable[[Image, int], Image]:
    return resized


@pytest.fixture(scope="session")
def yunet_graph() -> onnx.ModelProto:
    return yunet(shipped_file(YUNET.name).read_bytes())


@pytest.fixture(scope="session")
def mesh_graph(mesh_file: bytes) -> onnx.ModelProto:
    return face_landmarks(mesh_file)


@pytest.fixture(scope="session")
def generator_graph() -> onnx.ModelProto:
    return wav2lip_generator(random_generator(VARIANTS["compressed"], 1247))


@pytest.fixture(scope="session")
def renderer() -> LipRenderer:
    return load(shipped_file("lip_renderer.safetensors"), LipRenderer())[0]


@pytest.fixture(scope="session")
def renderer_graph(renderer: LipRenderer) -> onnx.ModelProto:
    return lip_renderer(renderer)


@pytest.fixture(scope="session", params=["yunet", "mesh", "generator", "renderer"])
def leaf_graph(request: pytest.FixtureRequest) -> onnx.ModelProto:
    graph: onnx.ModelProto = request.getfixturevalue(f"{request.param}_graph")
    return graph
