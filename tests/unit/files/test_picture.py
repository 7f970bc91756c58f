"""Sizes of pictures that are refused, and what is said of them."""

from __future__ import annotations

import pytest

from lipserve.errors import LimitError, LipServeError, VideoError
from lipserve.files.picture import MAX_SIDE, check_size


@pytest.mark.parametrize("size", [(0, 0), (0, 48), (MAX_SIDE, 1), (1, MAX_SIDE), (6000, 6000)])
def test_a_size_within_bounds_passes(size: tuple[int, int]) -> None:
    check_size(*size)


@pytest.mark.parametrize(
    ("size", "error", "words"),
    [
        ((MAX_SIDE + 1, 16), LimitError, "The picture is 8193x16 pixels"),
        ((MAX_SIDE, MAX_SIDE), LimitError, "The picture is 8192x8192 pixels"),
        ((0, 65535), VideoError, "The file does not state the size of its picture"),
        ((65535, 0), VideoError, "The file does not state the size of its picture"),
    ],
)
def test_a_size_beyond_them_is_refused(size: tuple[int, int], error: type[LipServeError], words: str) -> None:
    with pytest.raises(LipServeError, match=words) as refusal:
        check_size(*size)
    assert type(refusal.value) is error
