"""The client for code that is asynchronous; `Client` drives the same."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, nullcontext
from fractions import Fraction
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lipserve.contracts import DEFAULT_TIER, TierName
from lipserve.errors import DeadlineExceededError, NoFaceError, OptionsError
from lipserve.files.picture import MediaSource
from lipserve.options import Options
from lipserve.segments import Span
from lipserve.tiers import DEFAULT_PAINTER
from lipserve_client._cancel import CancelToken
from lipserve_client._clip import Clip, merge_options
from lipserve_client._config import DEFAULT_URL, TLS, parse_urls
from lipserve_client._faces import face_call, faces_of
from lipserve_client._film import Film
from lipserve_client._fleet import Fleet, TransportFactory
from lipserve_client._output import Output
from lipserve_client._prepare import prepare
from lipserve_client._results import ModelStatus, ServerHealth, SyncResult
from lipserve_client._retry import RETRIES
from lipserve_client._run import OnProgress, Run
from lipserve_client._segments import in_thread
from lipserve_client._status import server_health, server_models
from lipserve_client._targets import Target
from lipserve_client._transports import SharedMemory, open_transport


class AsyncClient:
    """Calls LipServe servers from one event loop or several.

    Args:
        urls: host:port of Triton's gRPC port; several (a list, or with commas) share the work, and one that
            fails is put aside for a while. Default 127.0.0.1:8001.
        shm: how large tensors travel: `none` in the messages, `system` through /dev/shm (server on the same
            host and user), `cuda` through GPU memory (same GPU; for `generate`).
        transport: makes another transport for a connection; `shm` is then not looked at.
        timeout: seconds that a call may take as a whole, where the call names none. None: no limit of the
            whole; a single request still has ten minutes.
        retries: how often a request is sent again where that can help (a server that drains, restarts, is
            full, or brings a stage back; a connection that breaks), with growing, jittered pauses; with
            several servers to another one at once, before each pause. By default a server may be away for
            half a minute.
        tls: encrypt, and with a client certificate prove who calls. None: plain text.
        concurrency: segments of one clip in flight at once.
        headers: gRPC metadata of every call, for a gateway's key, say. The value of a name that ends with
            -bin is its bytes, or a text of base64.

    Raises:
        OptionsError: an argument makes no sense. SetupError: this machine lacks a file or a package.
    """

    def __init__(
        self,
        urls: str | Sequence[str] = DEFAULT_URL,
        *,
        shm: SharedMemory = "none",
        transport: TransportFactory | None = None,
        timeout: float | None = None,
        retries: int = RETRIES,
        tls: TLS | None = None,
        concurrency: int = 3,
        headers: Mapping[str, str | bytes] | None = None,
    ) -> None:
        if concurrency < 1:
            raise OptionsError(f"concurrency={concurrency} sends nothing.", "Give 1 or more.")
        self._timeout = _checked(timeout)
        self._concurrency = concurrency
        self._fleet = Fleet(
            parse_urls(urls),
            transport or (lambda connection: open_transport(connection, shm)),
            tls=tls,
            headers=headers,
            retries=retries,
        )

    async def sync(
        self,
        video: MediaSource,
        audio: MediaSource,
        options: Options | None = None,
        *,
        tier: TierName = DEFAULT_TIER,
        source: MediaSource | None = None,
        output: Target | None = None,
        on_progress: OnProgress | None = None,
        timeout: float | None = None,
        cancel: CancelToken | None = None,
        **overrides: Any,
    ) -> SyncResult:
        """Return the clip with lips that follow the speech.

        A clip longer than about ten seconds is cut, sent in segments and joined without another encode;
        memory does not grow with its length.

        Args:
            video: a video or a picture: path or bytes.
            audio: any audio file: path or bytes. Its sound, at its own rate, is the sound of the result.
            options, overrides: the fields of `Options`; overrides win.
            source: what `prepare` returned for this video, or the path of the file that it was written to.
                None: made here. Where `face` is not among the options, it is the SOURCE's.
            output: where to write the MP4; it appears there whole or not at all. A binary file that is open
                for writing: it is copied there once it is whole. None: returned as bytes.
            on_progress: called with frames done and frames in all, from the event loop.
            timeout: seconds for everything together.
            cancel: gives the call up from another thread.

        Raises:
            InputError: what was given cannot be served; most kinds are noticed before anything is sent, a
                SOURCE of another video or other faces (SourceError) among them.
            ServerError, TransportError, SetupError: see the tree in `lipserve_client`.
        """
        asked = merge_options(options, overrides, tier)
        async with self._bounds(timeout, cancel):
            return await self._sync(video, audio, asked, tier, source, output, on_progress)

    async def prepare(
        self,
        video: MediaSource,
        *,
        face: str = "largest",
        timeout: float | None = None,
        cancel: CancelToken | None = None,
    ) -> bytes:
        """Return the SOURCE of a video: what the tier `lipwarp` has to know of its people, a few MB.

        `sync` makes one of its own where it needs one. Kept in a file, a SOURCE serves every speech that this
        video is to speak: it is made once, and is the same for all of them. Only a spread of short stretches
        of the video is sent.

        Args:
            video: path or bytes.
            face: whose, as for `sync`: `largest`, `all`, or the pixel `x,y` that it covers.

        Raises:
            NoFaceError: the video shows none. Others as `sync`.
        """
        async with self._bounds(timeout, cancel):
            film = await in_thread(Film, video)
            prepared = await prepare(self._fleet, film, Span(0, film.info.frames), face)
        if not prepared.source.people:
            raise NoFaceError(
                "No face was found in the video.", "Prepare a video that shows a face from the front."
            )
        return prepared.data

    async def generate(
        self,
        faces: NDArray[np.uint8],
        audio: NDArray[np.float32],
        *,
        fps: Fraction | int | str = 25,
        frames: NDArray[np.int32] | None = None,
        tracks: NDArray[np.int32] | None = None,
        tier: TierName = DEFAULT_PAINTER,
        timeout: float | None = None,
        cancel: CancelToken | None = None,
        **options: Any,
    ) -> NDArray[np.uint8]:
        """Return face crops [N, S, S, 3] whose lips follow the speech, for callers that cut crops themselves.

        The tiers `wav2lip` and `latentsync` make crops; `lipwarp` moves the pixels of whole pictures.

        Args:
            faces: uint8 [N, S, S, 3] RGB, cut as the tier's weights know them; S is 96 for wav2lip, the
                resolution that the server was exported for (256 or 512) for latentsync. Of wav2lip they are
                aligned, or boxes where the generator's manifest says `framing: box` (docs/export.md).
            audio: float32 [n], 16 kHz mono, -1..1.
            fps: frames a second of the video that the crops are from.
            frames: int32 [N], the frame of each crop; default 0, 1, 2, ...
            tracks: int32 [N], whose face each crop shows (latentsync sees 16 frames of one person at
                once); default one person's.
            options: `sync_offset_ms`; of latentsync also the other fields of `LatentSyncOptions`.
        """
        call = face_call(tier, faces, audio, fps=fps, frames=frames, tracks=tracks, **options)
        async with self._bounds(timeout, cancel):
            return faces_of(await self._fleet.infer(call), faces.shape)

    async def _sync(
        self,
        video: MediaSource,
        audio: MediaSource,
        options: Options,
        tier: TierName,
        source: MediaSource | None,
        output: Target | None,
        on_progress: OnProgress | None,
    ) -> SyncResult:
        began = time.perf_counter()
        with Output(output, (video, audio) if source is None else (video, audio, source)) as target:
            clip = await in_thread(Clip, video, audio, options, tier, source)
            run = Run(self._fleet, clip, on_progress)
            await run.make(target, audio, self._concurrency)
            result = await in_thread(target.commit)
        return SyncResult(
            video=result,
            report=run.report(),
            seconds=time.perf_counter() - began,
            request_seconds=tuple(run.request_seconds),
            retries=run.retries,
            prepare_seconds=run.prepare_seconds,
        )

    async def models(self) -> list[ModelStatus]:
        """Return what every server holds."""
        asked = (server_models(connection) for connection in self._fleet.connections)
        return [status for found in await asyncio.gather(*asked) for status in found]

    async def health(self, *, deep: bool = False) -> list[ServerHealth]:
        """Return how every server is; with `deep`, after one canary request through every model.

        A server that does not answer is a ServerHealth that is not `ok`, not an exception.
        """
        asked = (server_health(connection, deep) for connection in self._fleet.connections)
        return list(await asyncio.gather(*asked))

    async def close(self) -> None:
        """End the connections; what is in flight is cancelled."""
        await self._fleet.close()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @asynccontextmanager
    async def _bounds(self, timeout: float | None, cancel: CancelToken | None) -> AsyncIterator[None]:
        limit = _checked(timeout) if timeout is not None else self._timeout
        deadline = asyncio.timeout(limit)
        try:
            with cancel.watch() if cancel else nullcontext():
                async with deadline:
                    yield
        except TimeoutError:
            if not deadline.expired():  # a callback's own, or a network file system's
                raise
            raise DeadlineExceededError(
                f"The call took longer than its {limit:g} s.",
                "Allow a longer timeout, or send a shorter clip.",
            ) from None


def _checked(timeout: float | None) -> float | None:
    if timeout is not None and not timeout > 0:
        raise OptionsError(f"timeout={timeout} leaves no time.", "Give seconds above 0, or None.")
    return timeout
