"""FID: distance of two sets of images in the features of a user's ONNX network."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as onnxruntime_state

from lipserve.errors import SetupError
from lipserve_export.graphs import runtime

SIDE = 224  # pixels of the faces that the networks see

_NO_GRAPH = (
    onnxruntime_state.Fail,
    onnxruntime_state.InvalidArgument,
    onnxruntime_state.InvalidGraph,
    onnxruntime_state.InvalidProtobuf,
    onnxruntime_state.RuntimeException,
)

Images = NDArray[np.uint8]
Features = NDArray[np.float64]


Network = Callable[[NDArray[np.float32]], NDArray[np.float32]]


def load(path: Path) -> Network:
    """Return a user's network, an ONNX graph: data that ONNX Runtime computes, not a program.

    Raises:
        SetupError: it is none, or has not one input and one output.
    """
    try:
        session = runtime.session(path.read_bytes())
    except (OSError, *_NO_GRAPH) as error:
        raise SetupError(
            f"{path} is not an ONNX network.", "Export one: torch.onnx.export(network, images, FILE)."
        ) from error
    if (len(session.get_inputs()), len(session.get_outputs())) != (1, 1):
        raise SetupError(
            f"{path} has several inputs or outputs.", "Export a network with one input and one output."
        )
    return _checked(session, path)


def extract(network: Network, images: Images) -> Features:
    """Return features [N, D] of faces uint8 [N, S, S, 3] RGB; the network sees them as 224 pixels in 0..1."""
    resized = np.stack([cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR) for image in images])
    out = network(np.ascontiguousarray(resized.transpose(0, 3, 1, 2), np.float32) / np.float32(255))
    return np.asarray(out.reshape(len(images), -1), np.float64)


def frechet(a: Features, b: Features) -> float:
    """Return the Fréchet distance of two sets of features [N, D] (FID: Heusel et al., 2017).

    |mean difference|^2 + Tr(A + B - 2 (A B)^(1/2)) of their covariances.
    """
    shift = a.mean(0) - b.mean(0)
    cov_a, cov_b = (np.atleast_2d(np.cov(x, rowvar=False)) for x in (a, b))
    root = _root(cov_a)
    product = np.linalg.eigvalsh(root @ cov_b @ root).clip(0)
    return float(shift @ shift + np.trace(cov_a) + np.trace(cov_b) - 2 * np.sqrt(product).sum())


def _root(covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    values, vectors = np.linalg.eigh(covariance)
    return np.asarray((vectors * np.sqrt(values.clip(0))) @ vectors.T)


def _checked(session: onnxruntime.InferenceSession, path: Path) -> Network:
    """Return the network with its errors told as the user's."""
    name = session.get_inputs()[0].name

    def run(images: NDArray[np.float32]) -> NDArray[np.float32]:
        try:
            (out,) = runtime.run(session, {name: images}).values()
        except _NO_GRAPH as error:
            raise SetupError(
                f"{path} cannot take faces of {images.shape}: {str(error).splitlines()[-1]}.",
                "A feature network takes float [N, 3, 224, 224].",
            ) from error
        if out.dtype.kind != "f" or len(out) != len(images) or not np.isfinite(out).all():
            raise SetupError(
                f"{path} gave no finite rows.", "Export a network that gives one finite row for each face."
            )
        return out

    return run
