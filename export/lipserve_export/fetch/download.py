"""Download of one file over HTTPS, with known size and sha256."""

from __future__ import annotations

import errno
import http.client
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from lipserve.errors import SetupError
from lipserve_export.fetch.files import file_sha256

_SECONDS = 30  # without a byte
_CHUNK = 1 << 20
_STEPS = 20  # lines of progress in one download
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_AGAIN = "Run it again: it goes on from there."


@dataclass(frozen=True)
class Source:
    """The URL of a published file, with its size and sha256."""

    url: str
    bytes: int
    sha256: str


def download(source: Source, path: Path, say: Callable[[str], None]) -> None:
    """Make `path` the file of `source`: whole and of the right sha256, or not there at all.

    What has come so far lies in `<path>.part`, and a later call goes on from there. A file that is there
    already is checked, and never written over.

    Raises:
        SetupError: no network, no such file, another file, a broken connection, a full disk.
    """
    if path.exists():
        if file_sha256(path) != source.sha256:
            raise SetupError(
                f"{path} exists and is another file.", "Move it away, or give another folder with -o."
            )
        say(f"{path} is there already, and is what it must be")
        return
    part = path.with_name(f"{path.name}.part")
    have = _begun(part, source)
    if have < source.bytes:
        _receive(source, part, have, say)
    found = file_sha256(part)
    if found != source.sha256:
        part.unlink()
        raise SetupError(
            f"The file from {source.url} has the sha256 {found}, not {source.sha256}. It was deleted.",
            "A proxy or another machine on the way may have changed it. Try another network.",
        )
    part.replace(path)


def _begun(part: Path, source: Source) -> int:
    """Return how many bytes an earlier call left, its folder made and the room for the rest checked."""
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        have = part.stat().st_size if part.exists() else 0
        room = shutil.disk_usage(part.parent).free
    except OSError as error:
        raise _unwritable(part, error) from error
    if have > source.bytes:
        part.unlink()
        have = 0
    if room < source.bytes - have:
        coming = (source.bytes - have) / 1e9
        raise SetupError(
            f"{part.parent} has room for {room / 1e9:.1f} GB; the download needs {coming:.1f} GB.",
            "Free some space, or give another folder with -o.",
        )
    return have


def _receive(source: Source, part: Path, have: int, say: Callable[[str], None]) -> None:
    with _opened(source, have) as response:
        if response.status != http.HTTPStatus.PARTIAL_CONTENT:
            have = 0  # the server starts anew, and so does the file
        _check_length(source, have, response)
        try:
            with part.open("ab" if have else "wb") as file:
                for chunk in _chunks(response, source, have, say):
                    file.write(chunk)
        except OSError as error:
            raise _unwritable(part, error) from error
    if part.stat().st_size < source.bytes:
        raise _broken(source, part.stat().st_size)


def _opened(source: Source, have: int) -> Any:
    headers = {"User-Agent": "lipserve-export", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    request = urllib.request.Request(source.url, headers=headers)
    try:
        return urllib.request.build_opener(_OnlyHttps).open(request, timeout=_SECONDS)
    except urllib.error.HTTPError as error:
        error.close()
        raise _answered(source.url, error.code) from error
    except (OSError, http.client.HTTPException) as error:
        raise SetupError(
            f"{source.url} cannot be reached: {getattr(error, 'reason', error)}.",
            "Check the network (HTTPS_PROXY is honoured), or download the file on another machine and copy "
            "it.",
        ) from error


class _OnlyHttps(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        if not newurl.startswith("https://"):
            raise urllib.error.URLError(f"it leads to {newurl}, which is not HTTPS")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _answered(url: str, status: int) -> SetupError:
    if status in (401, 403):
        remedy = "The publisher asks for a login now: download the file in a browser, and bring it."
    elif status in (404, 410):
        remedy = "The publisher has taken it away or moved it."
    else:
        remedy = "Try again later."
    return SetupError(f"{url} answers {status}.", remedy)


def _check_length(source: Source, have: int, response: Any) -> None:
    length = response.headers.get("Content-Length")
    span = response.headers.get("Content-Range", "")
    if (length and length != str(source.bytes - have)) or (have and not span.startswith(f"bytes {have}-")):
        raise SetupError(
            f"{source.url} offers {span or length} bytes, and the pinned file has {source.bytes}.",
            "The publisher has changed the file: use a version of LipServe that pins the new one.",
        )


def _chunks(response: Any, source: Source, have: int, say: Callable[[str], None]) -> Iterator[bytes]:
    """Yield what comes, never more than the file has, and tell how far it is."""
    reported = have * _STEPS // source.bytes
    while have < source.bytes:
        try:
            chunk = response.read(min(_CHUNK, source.bytes - have))
        except (OSError, http.client.HTTPException) as error:
            raise _broken(source, have) from error
        if not chunk:
            return
        yield chunk
        have += len(chunk)
        if have * _STEPS // source.bytes > reported:
            reported = have * _STEPS // source.bytes
            say(f"{have / 1e6:,.0f} of {source.bytes / 1e6:,.0f} MB")


def _broken(source: Source, have: int) -> SetupError:
    return SetupError(f"The connection to {source.url} broke after {have} of {source.bytes} bytes.", _AGAIN)


def _unwritable(path: Path, error: OSError) -> SetupError:
    if error.errno in _FULL:
        return SetupError(f"The disk of {path} is full.", f"Free some space. {_AGAIN}")
    return SetupError(f"{path} cannot be written: {error.strerror}.", "Give another folder with -o.")
