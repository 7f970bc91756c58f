"""Objects that callers name, at a real server of the S3 protocol."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from lipserve.errors import FetchError, LimitError
from lipserve_jobs.outside.buckets import is_listed
from lipserve_jobs.outside.fetch import fetch, put
from tests.support.s3 import S3Server

FILM = bytes(range(256)) * 80_000  # more than one part of a write


def _fetched(server: S3Server, address: str, limit: int = 1 << 30, *buckets: str) -> bytes:
    async def run() -> bytes:
        chunks = fetch(address, limit, None, buckets=buckets or ("lipserve",), endpoint=server.endpoint)
        return b"".join([chunk async for chunk in chunks])

    return asyncio.run(run())


def test_an_object_goes_out_and_comes_back(s3: S3Server, tmp_path: Path) -> None:
    (tmp_path / "film").write_bytes(FILM)
    address = "s3://lipserve/made/film.mp4"
    asyncio.run(put(address, tmp_path / "film", buckets=("lipserve/made/",), endpoint=s3.endpoint))
    assert _fetched(s3, address) == FILM


def test_an_object_above_the_limit_is_refused(s3: S3Server) -> None:
    (s3.folder / "lipserve/film").write_bytes(FILM)
    with pytest.raises(LimitError, match="20480000 bytes; 1000 are accepted"):
        _fetched(s3, "s3://lipserve/film", 1000)


def test_an_object_that_is_not_there_is_refused(s3: S3Server) -> None:
    with pytest.raises(FetchError, match="There is no s3://lipserve/none"):
        _fetched(s3, "s3://lipserve/none")


@pytest.mark.parametrize("address", ["s3://lipserve", "s3://lipserve/", "s3://lipserve/a/../b", "s3:///a"])
def test_an_address_without_an_object_is_refused(s3: S3Server, address: str) -> None:
    with pytest.raises(FetchError, match=r"names no object|not on the list"):
        _fetched(s3, address)


def test_a_bucket_that_is_not_listed_is_refused(s3: S3Server, tmp_path: Path) -> None:
    (s3.folder / "other").mkdir()
    (s3.folder / "other/film").write_bytes(FILM)
    with pytest.raises(FetchError, match="not on the list of allowed ones"):
        _fetched(s3, "s3://other/film")
    (tmp_path / "film").write_bytes(FILM)
    with pytest.raises(FetchError, match="not on the list of allowed ones"):
        asyncio.run(put("s3://other/new", tmp_path / "film", buckets=("lipserve",), endpoint=s3.endpoint))
    assert not (s3.folder / "other/new").exists()


def test_keys_without_the_right_to_it_are_refused(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another")
    with pytest.raises(FetchError, match="may not use s3://lipserve/film"):
        _fetched(s3, "s3://lipserve/film")


def test_a_list_has_buckets_and_prefixes() -> None:
    assert is_listed("films", "a/b", ("films",))
    assert is_listed("films", "in/a", ("other", "films/in/"))
    assert not is_listed("films", "inner/a", ("films/in/",))
    assert not is_listed("films2", "a", ("films",))
    assert not is_listed("films", "a", ())
