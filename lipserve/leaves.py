"""What a leaf model looks like to the code that calls it: the seam to whatever runs the networks."""

from __future__ import annotations

from typing import Any, Protocol

from numpy.typing import NDArray


class Leaves(Protocol):
    """Runs a leaf model: arrays in, arrays out, by the tensor names of its contract.

    The batch is at most the contract's `max_batch_size`.
    """

    def __call__(self, model: str, inputs: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]: ...
