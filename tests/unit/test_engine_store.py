"""The key of plans: what it is made of, and that every part of it tells."""

from __future__ import annotations

import hashlib

import pytest

from lipserve.engine_store import EngineKey, models_digest

GRAPHS = [hashlib.sha256(name).hexdigest() for name in (b"a", b"b", b"c")]


def test_the_key_names_gpu_tensorrt_and_models() -> None:
    key = EngineKey.of("sm80", "tensorrt", "10.13.3.9", GRAPHS)
    digest = hashlib.sha256("\n".join(sorted(GRAPHS)).encode()).hexdigest()[:12]
    assert str(key) == f"sm80-trt10.13.3-{digest}"
    assert EngineKey.parse(str(key)) == key
    assert str(EngineKey.of("sm120", "tensorrt_rtx", "1.7.1.116", GRAPHS)) == f"sm120-rtx1.7.1-{digest}"


def test_the_order_of_graphs_does_not_count_and_each_of_them_does() -> None:
    assert models_digest(reversed(GRAPHS)) == models_digest(GRAPHS)
    assert models_digest(GRAPHS[:2]) != models_digest(GRAPHS)
    assert models_digest([*GRAPHS[:2], GRAPHS[2][::-1]]) != models_digest(GRAPHS)


@pytest.mark.parametrize(
    ("capability", "version", "same"),
    [
        ("sm80", "10.13.3.11", True),  # the fourth part does not decide
        ("sm80", "10.13.4", False),
        ("sm86", "10.13.3", False),
    ],
)
def test_gpu_and_version_count(capability: str, version: str, same: bool) -> None:
    key = EngineKey.of("sm80", "tensorrt", "10.13.3.9", GRAPHS)
    assert (EngineKey.of(capability, "tensorrt", version, GRAPHS) == key) is same


@pytest.mark.parametrize(
    "name",
    ["", "lost+found", "sm80-trt10.13.3", "sm80-trt10.13-0123456789ab", ".sm80-trt10.13.3-0123456789ab"],
)
def test_what_is_no_key_is_none(name: str) -> None:
    assert EngineKey.parse(name) is None
