"""One object out of what the chart renders."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

Object = dict[str, Any]


@pytest.fixture(scope="session")
def made(render: Callable[..., list[Object]]) -> Callable[..., Object]:
    """Return the object of a kind and a name, which is there exactly once."""

    def find(kind: str, name: str, values: Object | None = None, **options: Any) -> Object:
        objects = render(values or {}, **options)
        (found,) = [x for x in objects if x["kind"] == kind and x["metadata"]["name"] == name]
        return found

    return find


@pytest.fixture(scope="session")
def names(render: Callable[..., list[Object]]) -> Callable[..., list[str]]:
    """Return the names of the objects of a kind."""

    def find(kind: str, values: Object | None = None) -> list[str]:
        return [x["metadata"]["name"] for x in render(values or {}) if x["kind"] == kind]

    return find


@pytest.fixture(scope="session")
def server_pod(made: Callable[..., Object]) -> Callable[..., Object]:
    """Return the spec of the server's pods."""

    def spec(values: Object | None = None, **options: Any) -> Object:
        pod: Object = made("Deployment", "lipserve", values, **options)["spec"]["template"]["spec"]
        return pod

    return spec
