"""A job that comes as a form: its files go to the store as they come, and nothing is kept on a disk here."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from typing import Any

from fastapi import Request
from multipart import MultipartError, MultipartSegment, PushMultipartParser, parse_options_header
from starlette.requests import ClientDisconnect

from lipserve.errors import InputError, LimitError
from lipserve.text import printable
from lipserve_jobs.gateway.bodies import JSON_BYTES, as_object, chunks
from lipserve_jobs.gateway.intake import Intake, Parts
from lipserve_jobs.gateway.shelf import Meta, Shelf
from lipserve_jobs.records import Tenant
from lipserve_jobs.store.keys import file_prefix

_FILE = re.compile(r"video|speech|source|background|cue-[1-9][0-9]{0,3}")
_MOST_PARTS = 1100  # cues have a file each


@dataclass
class Form:
    """What came in a form.

    Attributes:
        fields: of the job, with the files as references. files: their ids.
    """

    fields: dict[str, Any] = field(default_factory=dict)
    files: list[str] = field(default_factory=list)


class Forms:
    """Reads forms."""

    def __init__(self, intake: Intake, shelf: Shelf) -> None:
        self._intake, self._shelf = intake, shelf

    async def read(self, request: Request, tenant: Tenant) -> Form:
        """Return what a form has: its files are in the store.

        Raises:
            InputError: it is no form, or has a part that no job has. LimitError: a file is too large.
        """
        _, options = parse_options_header(request.headers.get("content-type", ""))
        form = Form()
        with self._intake.coming():
            try:
                parser = PushMultipartParser(
                    options.get("boundary", ""), max_segment_count=_MOST_PARTS, strict=True
                )
                with parser:
                    reader = _Reader(self._intake, self._shelf, tenant, form)
                    async for chunk in chunks(request):
                        for event in parser.parse(chunk):
                            await reader.take(event)
                        if parser.closed:
                            break
            except ClientDisconnect:
                await self.discard(tenant, form)
                raise
            except MultipartError as error:
                await self.discard(tenant, form)
                raise InputError(f"The form is damaged: {error}.", "Send multipart/form-data.") from error
            except BaseException:
                await self.discard(tenant, form)
                raise
        return form

    async def discard(self, tenant: Tenant, form: Form) -> None:
        """Remove the files of a form."""
        for file in form.files:
            await self._shelf.remove(tenant.name, file)


class _Reader:
    """Takes what a parser finds, one after another."""

    def __init__(self, intake: Intake, shelf: Shelf, tenant: Tenant, form: Form) -> None:
        self._intake, self._shelf, self._tenant, self._form = intake, shelf, tenant, form
        self._segment: MultipartSegment | None = None
        self._parts: Parts | None = None
        self._text = bytearray()

    async def take(self, event: MultipartSegment | bytes | bytearray | None) -> None:
        if isinstance(event, MultipartSegment):
            self._begin(event)
        elif event is None:
            await self._end()
        elif self._parts is not None:
            await self._parts.add(bytes(event))
        else:
            self._text += event
            if len(self._text) > JSON_BYTES:
                raise LimitError(f"The field request is larger than {JSON_BYTES} bytes.", "Send less.")

    def _begin(self, segment: MultipartSegment) -> None:
        name = segment.name or ""
        self._segment, self._parts = segment, None
        if _FILE.fullmatch(name):
            id = self._shelf.new_id()
            prefix = file_prefix(self._tenant.name, id)
            limit = self._tenant.quota.upload_bytes
            self._parts = Parts(self._intake, self._tenant.name, prefix, limit)
            self._form.files.append(id)
        elif name == "request":
            self._text.clear()
        else:
            raise InputError(
                f"The form has a part {printable(name)[:40]!r}.",
                "Its parts are request, video, speech, source, background and cue-1, cue-2 and so on.",
            )

    async def _end(self) -> None:
        segment, parts, fields = self._segment, self._parts, self._form.fields
        assert segment is not None
        name = segment.name or ""
        if parts is None:
            given = as_object(bytes(self._text))
            doubled = given.keys() & fields.keys()
            if doubled:
                raise InputError(f"{min(doubled)} is given twice.", "Give it once.")
            fields |= given
            return
        await parts.flush()
        id = self._form.files[-1]
        meta = Meta(
            length=parts.offset,
            name=printable(segment.filename or "")[:500],
            media_type=(segment.content_type or "")[:100],
            created=time.time(),
            sha256=parts.sha256,
        )
        await self._shelf.describe(self._tenant.name, id, meta)
        self._shelf.add(self._tenant.name, parts.offset)
        if name in fields:
            raise InputError(f"{name} is given twice.", "Give it once.")
        fields[name] = f"file:{id}"


def settle_cues(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a job, with the files cue-1 and so on as the speeches of its cues."""
    speeches = {name: fields[name] for name in fields if name.startswith("cue-")}
    if not speeches:
        return fields
    rest = {name: value for name, value in fields.items() if name not in speeches}
    cues = rest.get("cues")
    if not isinstance(cues, list) or not all(isinstance(cue, dict) for cue in cues):
        raise InputError("There are files of cues, and no cues.", "Give cues in the field request.")
    cues = [dict(cue) for cue in cues]
    for name, reference in speeches.items():
        number = int(name.removeprefix("cue-"))
        if number > len(cues):
            raise InputError(f"There is a file {name} and no such cue.", "Number the files by the cues.")
        cues[number - 1].setdefault("speech", reference)
    return {**rest, "cues": cues}


def is_form(request: Request) -> bool:
    return request.headers.get("content-type", "").lower().startswith("multipart/form-data")
