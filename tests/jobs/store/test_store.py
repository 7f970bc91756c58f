"""The object store: a folder, and a real server of the S3 protocol."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from lipserve.errors import SetupError, StorageError
from lipserve_jobs.store import Store
from tests.support.s3 import S3Server

LARGE = bytes(range(251)) * 50_000  # 12.5 MB: three parts of S3


@pytest.fixture(params=["folder", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "folder":
        return Store.open(str(tmp_path / "store"))
    server: S3Server = request.getfixturevalue("s3")
    return Store.open("s3://lipserve/prefix", server.endpoint)


async def _chunks(data: bytes, size: int = 70_000) -> AsyncIterator[bytes]:
    for at in range(0, len(data), size):
        yield data[at : at + size]


def test_what_was_written_is_read(store: Store, tmp_path: Path) -> None:
    async def test() -> None:
        await store.write("a/small", b"content")
        size, digest = await store.write_stream("a/large", _chunks(LARGE))
        assert (size, digest) == (len(LARGE), hashlib.sha256(LARGE).hexdigest())
        assert await store.read("a/small") == b"content"
        assert await store.size("a/large") == len(LARGE)
        assert b"".join([chunk async for chunk in store.stream("a/large")]) == LARGE
        assert b"".join([chunk async for chunk in store.stream("a/large", 10, 70)]) == LARGE[10:70]
        assert b"".join([chunk async for chunk in store.stream("a/large", len(LARGE) - 5)]) == LARGE[-5:]
        await store.fetch("a/large", tmp_path / "copy")
        assert (tmp_path / "copy").read_bytes() == LARGE

    asyncio.run(test())


def test_nothing_is_told_as_nothing(store: Store) -> None:
    async def test() -> None:
        assert await store.read("none") is None
        assert await store.size("none") is None
        await store.remove("none")
        await store.remove_all("none/")
        with pytest.raises(StorageError, match="none"):
            _ = [chunk async for chunk in store.stream("none")]

    asyncio.run(test())


def test_a_stream_that_breaks_leaves_no_object(store: Store) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield LARGE
        raise ConnectionResetError("the caller has left")

    async def test() -> None:
        with pytest.raises((StorageError, ConnectionResetError)):
            await store.write_stream("broken/object", broken())
        assert await store.size("broken/object") is None
        assert [found.key async for found in store.list("broken/")] == []

    asyncio.run(test())


def test_objects_are_listed_and_removed_by_prefix(store: Store) -> None:
    async def test() -> None:
        for name in ("x/1", "x/2", "xy/3"):
            await store.write(name, b"12345")
        found = {each.key: each.size async for each in store.list("x/")}
        assert found == {"x/1": 5, "x/2": 5}
        await store.remove_all("x/")
        assert [each.key async for each in store.list("x/")] == []
        assert await store.size("xy/3") == 5

    asyncio.run(test())


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SetupError, match="cannot be a store"):
        Store.open(str(tmp_path / "file" / "store"))


def test_a_store_that_is_away_for_a_while_is_waited_for(s3: S3Server) -> None:
    store = Store.open("s3://lipserve", s3.endpoint)

    async def test() -> None:
        await store.write("before", b"1")
        s3.kill()
        writing = asyncio.create_task(store.write("after", b"2"))
        await asyncio.sleep(0.5)
        assert not writing.done()
        await asyncio.to_thread(s3.start)
        await asyncio.wait_for(writing, 60)
        assert await store.read("after") == b"2"

    asyncio.run(test())
