"""The interface of leaf models, independent of the runtime behind it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from numpy.typing import NDArray


class Leaves(Protocol):
    """Runs a leaf model: arrays in, arrays out, by the tensor names of its contract.

    The batch is at most the contract's `max_batch_size`. `outputs` names those that are wanted; None is all.
    FEATURES, which only go into another leaf, may come back as something that is no array: hand them on
    as they are.
    """

    def __call__(
        self, model: str, inputs: dict[str, NDArray[Any]], outputs: Sequence[str] | None = None
    ) -> dict[str, NDArray[Any]]: ...
