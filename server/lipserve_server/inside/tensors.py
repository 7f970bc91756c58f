"""The contract's tensors as numpy arrays."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lipserve.contracts import NUMPY, Model, Tensor

CANARY = "lipserve_canary"
"""Name of the request parameter that asks a model for an empty answer without any work."""


def fits(array: NDArray[Any], spec: Tensor, model: Model) -> bool:
    """Return whether an array has the dtype and shape that the contract gives the model's tensor."""
    dims = (*((-1,) if model.max_batch_size else ()), *spec.dims)
    return (
        array.dtype == NUMPY[spec.dtype]
        and array.ndim == len(dims)
        and all(size in (-1, n) for size, n in zip(dims, array.shape, strict=True))
    )


def smallest(specs: Iterable[Tensor], model: Model) -> dict[str, NDArray[Any]]:
    """Return the smallest arrays that the contract allows: what a canary sends, and what it gets back."""
    batch = (1,) if model.max_batch_size else ()
    arrays: dict[str, NDArray[Any]] = {}
    for spec in specs:
        shape = (*batch, *(max(size, 0) for size in spec.dims))
        text = spec.dtype == "BYTES"
        arrays[spec.name] = np.full(shape, b"", np.object_) if text else np.zeros(shape, NUMPY[spec.dtype])
    return arrays
