"""Files for a gateway: small ones at once, large ones in parts (tus), which outlive a broken connection."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import mimetypes
import os
import re
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import PurePath
from typing import BinaryIO, TypeGuard

import httpx

from lipserve.errors import InputError, InternalError, LipServeError
from lipserve.files.picture import MediaSource
from lipserve.files.source import describe, open_file
from lipserve_client._cancel import in_thread
from lipserve_client._jobs.http import Pauses, Session, decoded

OnUpload = Callable[[int, int], None]
"""Called with bytes sent and bytes in all."""

AT_ONCE = 16 << 20  # bytes; what is larger goes in parts of this size
_STEP = 256 << 10  # bytes after which it is told how far it is
_REFERENCE = re.compile(r"file:[0-9a-f]{32}|(?:https?|s3)://.+", re.DOTALL)
_ID = re.compile(r"[0-9a-f]{32}")
_TUS = {"tus-resumable": "1.0.0"}


def is_reference(source: MediaSource) -> TypeGuard[str]:
    """Tell whether a source is an address, or the reference of a file that was sent: these are not read."""
    return isinstance(source, str) and _REFERENCE.fullmatch(source) is not None


class Uploads:
    """Sends files, each once, and returns what a request calls them.

    Args:
        on_upload: told of all files together.
        known: whether the gateway is to know the same file again if it is sent again.
    """

    def __init__(self, session: Session, on_upload: OnUpload | None = None, known: bool = False) -> None:
        self._session, self._told, self._with_digest = session, on_upload, known
        self._known: dict[str | bytes, str] = {}
        self._sizes: dict[str | bytes, int] = {}
        self._sent = self._shown = 0

    def expect(self, sources: Iterable[tuple[MediaSource, type[LipServeError]]]) -> None:
        """Look at files before anything is sent; each error is raised where one cannot be read."""
        for source, error in sources:
            if not is_reference(source):
                with open_file(source, error) as file:
                    self._sizes[_same(source)] = file.seek(0, os.SEEK_END)

    async def reference(self, source: MediaSource, error: type[LipServeError] = InputError) -> str:
        """Send a file, unless it was sent already, and return its reference; an address is its own."""
        if is_reference(source):
            return source
        key = _same(source)
        if key not in self._known:
            with open_file(source, error) as file:
                size = self._sizes.setdefault(key, file.seek(0, os.SEEK_END))
                name = "" if isinstance(source, bytes) else PurePath(os.fspath(source)).name
                if size <= AT_ONCE:
                    id = await self._whole(file, name)
                else:
                    id = await self._parts(file, size, name, describe(source))
                self._sent += size
            self._known[key] = f"file:{id}"
        return self._known[key]

    async def _whole(self, file: BinaryIO, name: str) -> str:
        content = _Body(await in_thread(_read, file, 0, AT_ONCE), self._tell)
        headers = {"content-type": _type(name), **content.headers}
        answer = await self._session.call(
            "POST", "/v1/files", content=content, headers=headers, params={"name": name}
        )
        return _id(decoded(answer.content).get("id"))

    async def _parts(self, file: BinaryIO, size: int, name: str, described: str) -> str:
        headers = {**_TUS, "upload-length": str(size)}
        metadata = {"filename": name, "filetype": _type(name)}
        if self._with_digest:
            metadata["sha256"] = await in_thread(_sha256, file)
        headers["upload-metadata"] = ",".join(f"{key} {_base64(text)}" for key, text in metadata.items())
        made = await self._session.call("POST", "/v1/files", headers=headers)
        id = _id(made.headers.get("location", "").rstrip("/").rpartition("/")[2])
        offset, pauses = 0, Pauses(self._session.gateway.retries)
        while offset < size:
            content = await in_thread(_read, file, offset, min(AT_ONCE, size - offset))
            if not content:
                raise InputError(f"{described} became shorter while it was sent.", "Send it again.")
            try:
                reached = await self._part(id, offset, content)
            except LipServeError as error:
                if error.retryable:
                    pause = pauses.after(error, True)
                    if pause is None:
                        raise
                    await asyncio.sleep(pause)
                answer = await self._session.call("HEAD", f"/v1/files/{id}", headers=_TUS)
                reached = _offset(answer)
                if reached == offset and not error.retryable:
                    raise
            if reached > offset:
                pauses = Pauses(self._session.gateway.retries)
            offset = reached
        return id

    async def _part(self, id: str, offset: int, part: bytes) -> int:
        content = _Body(part, lambda count: self._tell(offset + count))
        headers = {
            **_TUS,
            **content.headers,
            "upload-offset": str(offset),
            "content-type": "application/offset+octet-stream",
        }
        answer = await self._session.once("PATCH", f"/v1/files/{id}", content=content, headers=headers)
        return _offset(answer)

    def _tell(self, count: int) -> None:
        """Tell how much has been sent, of this file so much; what is sent again is not told again."""
        done = self._sent + count
        if self._told is not None and done > self._shown:
            self._shown = done
            self._told(done, max(sum(self._sizes.values()), done))


class _Body:
    """Bytes as a body that tells how far it is, from its beginning each time that it is sent."""

    def __init__(self, content: bytes, tell: Callable[[int], None]) -> None:
        self._content, self._tell = content, tell
        self.headers = {"content-length": str(len(content))}

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for at in range(0, len(self._content), _STEP):
            step = self._content[at : at + _STEP]
            yield step
            self._tell(at + len(step))


def _same(source: MediaSource) -> str | bytes:
    """Return what tells whether two sources are one: the content, or the file's path."""
    return source if isinstance(source, bytes) else os.path.realpath(source)


def _sha256(file: BinaryIO) -> str:
    file.seek(0)
    return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]


def _type(name: str) -> str:
    """Return the media type that a file's name promises: browsers play files by it."""
    return mimetypes.guess_type(name)[0] or "application/octet-stream"


def _base64(text: str) -> str:
    return base64.b64encode(text.encode(errors="replace")).decode()


def _read(file: BinaryIO, offset: int, count: int) -> bytes:
    file.seek(offset)
    return file.read(count)


def _id(id: object) -> str:
    if not isinstance(id, str) or not _ID.fullmatch(id):
        raise InternalError(
            "The gateway's answer does not name the file.", "Is this the address of a gateway?"
        )
    return id


def _offset(answer: httpx.Response) -> int:
    text = answer.headers.get("upload-offset", "")
    if not text.isdecimal():
        raise InternalError("The gateway does not tell how much of a file it has.", "Is it of this version?")
    return int(text)
