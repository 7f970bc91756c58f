"""The library that reads and writes C2PA manifests, held to what LipServe allows it."""

from __future__ import annotations

import io
from collections.abc import Iterable
from io import SEEK_SET
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Self

from lipserve.errors import SetupError
from lipserve.provenance.certificate import USAGES

if TYPE_CHECKING:
    import c2pa

# MP4 files are hashed in pieces of this many KiB, each by itself: memory then does not grow with the file.
_PIECE_KIB = 4096
_STORE_MIB = 8  # of a file in the making, in memory: what is larger goes to the temporary folder
_BUFFER = 1 << 18  # bytes


def context(anchors: Iterable[bytes] = ()) -> c2pa.Context:
    """Return the library's settings: no network, no thumbnails, and hashes of pieces.

    Args:
        anchors: PEM certificates of authorities whose signers are trusted.

    Raises:
        SetupError: the library is not installed, or the system lacks what it is linked with.
    """
    library = load()
    return library.Context.from_dict(
        {
            "version": 1,
            "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False, "verify_after_sign": False},
            "builder": {"thumbnail": {"enabled": False}},
            "core": {
                "merkle_tree_chunk_size_in_kb": _PIECE_KIB,
                "merkle_tree_max_proofs": 5,
                "backing_store_memory_threshold_in_mb": _STORE_MIB,
            },
            "trust": {
                "trust_config": "\n".join(USAGES),
                **({"user_anchors": b"\n".join(anchors).decode()} if anchors else {}),
            },
        }
    )


def load() -> Any:
    """Return the module `c2pa`, imported when it is needed first, or raise SetupError."""
    try:
        import c2pa
    except (ImportError, OSError, RuntimeError) as error:
        raise SetupError(
            f"The package c2pa-python cannot be used on this machine ({error}).",
            "Install it: pip install c2pa-python.",
        ) from error
    return c2pa


class Whole:
    """A file as the library wants it: writes are complete, and the first error of the disk is kept.

    The library reads and writes 8 KiB at a time, and tells of an error of its stream without the reason.

    Args:
        file: open for reading and seeking, perhaps for writing. An unbuffered one has a buffer inside the
            context.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._raw = isinstance(file, io.RawIOBase)
        self._file: Any = file
        if isinstance(file, io.RawIOBase):
            self._file = (io.BufferedRandom if file.writable() else io.BufferedReader)(file, _BUFFER)
        self.failure: OSError | None = None
        self.tell, self.read = self._file.tell, self._file.read

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write what is in the buffer, and leave the file to its owner."""
        try:
            if self._raw:
                self._file.detach()
        except OSError as failure:
            raise self._failed(failure) from failure

    def readinto(self, buffer: Any) -> int:
        try:
            return int(self._file.readinto(buffer))
        except OSError as error:
            raise self._failed(error) from error

    def write(self, data: bytes) -> int:
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            raise self._failed(error) from error
        return len(data)

    def seek(self, offset: int, whence: int = SEEK_SET) -> int:
        try:
            return int(self._file.seek(offset, whence))
        except OSError as error:
            raise self._failed(error) from error

    def flush(self) -> None:
        try:
            self._file.flush()
        except OSError as error:
            raise self._failed(error) from error

    def _failed(self, error: OSError) -> OSError:
        self.failure = self.failure or error
        return error
