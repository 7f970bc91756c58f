"""A folder with the results of one batch, and what is known of them: a second run goes on from there."""

from __future__ import annotations

import hashlib
import json
import mimetypes
import re
import uuid
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any, Self

from lipserve.errors import InputError, OptionsError
from lipserve.text import printable
from lipserve_client._jobs import Job
from lipserve_client._targets import explained

RECORD = ".lipserve-batch.jsonl"
_NO_FILE = re.compile(r'[/\\:*?"<>|]')
_LONGEST = 150  # bytes of a name: file systems take 255, with its ending
_MEDIA = ("video/", "image/", "audio/")


class Folder:
    """A folder, whose record has a line for all that is known: the sending, the batch, the file of each job.

    Attributes:
        path: of the folder.
        key: idempotency key under which the manifest was, or is to be, sent.
        batch: id of the batch; None: it was not sent, as far as is known.
    """

    def __init__(self, path: Path, manifest: str | None) -> None:
        self.path, self._manifest = path, manifest
        self.key = uuid.uuid4().hex
        self.batch: str | None = None
        self._files: dict[str, str] = {}
        self._taken: set[str] = set()

    @classmethod
    def of_manifest(cls, path: Path, manifest: Path) -> Self:
        """Open the folder of a manifest; what of it was sent already is known then.

        Raises:
            InputError: the folder has the results of something else, or the manifest cannot be read.
            SetupError: it cannot be written.
        """
        try:
            digest = hashlib.sha256(manifest.read_bytes()).hexdigest()
        except OSError as error:
            raise InputError(
                f"The manifest {str(manifest)!r} cannot be read: {error.strerror}.", "Check the path."
            ) from error
        return cls(path, digest)._opened()

    @classmethod
    def of_batch(cls, path: Path, batch: str) -> Self:
        """Open the folder of a batch that was sent; errors as those of `of_manifest`."""
        folder = cls(path, None)._opened()
        if folder.batch not in (None, batch):
            raise folder._another()
        folder.sent(batch)
        return folder

    def sent(self, batch: str) -> None:
        """Write down which batch it is."""
        if self.batch is None:
            self.batch = batch
            self._add({"batch": batch})

    def file(self, job: Job, ending: str) -> Path:
        """Return the file of a job's result: always the same, and of no other job."""
        if job.id not in self._files:
            stem = _stem(job)
            names = (f"{stem}{ending}", f"{stem}-{job.id}{ending}")
            name = next(name for name in names if not self._used(name))
            self._add({"job": job.id, "file": name})
            self._keep(job.id, name)
        return self.path / self._files[job.id]

    def _used(self, name: str) -> bool:
        return name.casefold() in self._taken or (self.path / name).exists()

    def _keep(self, job: str, name: str) -> None:
        self._files[job] = name
        self._taken.add(name.casefold())

    def _opened(self) -> Self:
        with explained(self.path):
            self.path.mkdir(exist_ok=True)
            record = self.path / RECORD
            text = record.read_text(encoding="utf-8") if record.exists() else ""
        for line in text.splitlines():
            self._read(line)
        if not text:
            self._add({"manifest": self._manifest, "key": self.key})
        elif not text.endswith("\n"):  # who wrote it last was cut off
            self._append("\n")
        return self

    def _read(self, line: str) -> None:
        try:
            known = json.loads(line)
        except ValueError:
            return
        match known:
            case {"key": str(key), "manifest": manifest}:
                self.key = key
                if self._manifest not in (None, manifest):
                    raise self._another()
            case {"batch": str(batch)}:
                self.batch = batch
            case {"job": str(job), "file": str(name)} if PurePath(name).name == name:
                self._keep(job, name)

    def _add(self, known: Mapping[str, Any]) -> None:
        self._append(json.dumps(known) + "\n")

    def _append(self, text: str) -> None:
        with explained(self.path), (self.path / RECORD).open("a", encoding="utf-8") as record:
            record.write(text)

    def _another(self) -> OptionsError:
        return OptionsError(
            f"{self.path} has the results of another batch, or of a manifest that has changed.",
            "Give another folder; `--show ID` fetches a batch that was sent.",
        )


def _stem(job: Job) -> str:
    """Return the name of a job as the name of a file without its ending; its id, where it has none."""
    name = " ".join(printable(job.name).split())
    if (mimetypes.guess_type(name)[0] or "").startswith(_MEDIA):
        name = PurePath(name).stem
    name = _NO_FILE.sub("_", name).strip(". ")
    return name.encode()[:_LONGEST].decode(errors="ignore").strip(". ") or job.id
