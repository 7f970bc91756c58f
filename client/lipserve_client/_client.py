"""The blocking client."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar, Unpack

import numpy as np
from numpy.typing import NDArray

from lipserve.contracts import DEFAULT_TIER, TierName
from lipserve.cues import CueSource
from lipserve.files.picture import MediaSource
from lipserve.options import Options
from lipserve.options.keywords import DubFields, GenerateFields
from lipserve.quality.cast import FacesResult
from lipserve.quality.results import CheckResult
from lipserve.tiers import DEFAULT_PAINTER
from lipserve_client._async_client import AsyncClient
from lipserve_client._cancel import CancelToken
from lipserve_client._config import DEFAULT_URL, TLS
from lipserve_client._estimate import Estimate
from lipserve_client._fleet import RETRIES, TransportFactory
from lipserve_client._making import OnProgress
from lipserve_client._provenance import Provenance
from lipserve_client._results import DubResult, ModelStatus, ServerHealth
from lipserve_client._stream import BlockingStream, DubStream
from lipserve_client._targets import Target
from lipserve_client._timeline import Range
from lipserve_client._transports import SharedMemory

if TYPE_CHECKING:
    from lipserve_client._jobs import Jobs

T = TypeVar("T")


class Client:
    """Calls LipServe servers, for code that is not asynchronous. Threads may share one.

    Ctrl-C during a call cancels what is in flight, removes what was written, and is raised.

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
        provenance: how results are signed (C2PA). True: with the certificate that LIPSERVE_CERTIFICATE and
            LIPSERVE_PRIVATE_KEY name, else a self-made one. False: they are not.
        jobs: http:// or https:// address of the service for jobs, whose calls are those of `client.jobs`.
            None: LIPSERVE_JOBS_URL, else http://127.0.0.1:8080. It is asked first when a job is sent.
        jobs_key: its API key or token. None: LIPSERVE_JOBS_KEY, else none.

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
        provenance: Provenance | bool = True,
        jobs: str | None = None,
        jobs_key: str | None = None,
    ) -> None:
        self._client = AsyncClient(
            urls,
            shm=shm,
            transport=transport,
            timeout=timeout,
            retries=retries,
            tls=tls,
            concurrency=concurrency,
            headers=headers,
            provenance=provenance,
        )
        self._gateway = jobs, jobs_key, timeout, retries

    @cached_property
    def jobs(self) -> Jobs:
        """The calls of the service for jobs that `jobs` names.

        job = client.jobs.submit("film.mp4", "speech.wav")
        client.jobs.wait(job, output="out.mp4")
        """
        from lipserve_client._jobs import Jobs

        url, key, timeout, retries = self._gateway
        return Jobs(url, key=key, timeout=timeout, retries=retries)

    def dub(
        self,
        video: MediaSource,
        speech: MediaSource | None = None,
        options: Options | None = None,
        *,
        tier: TierName = DEFAULT_TIER,
        source: MediaSource | None = None,
        cues: CueSource | None = None,
        bypass: Sequence[Range] = (),
        background: MediaSource | None = None,
        background_lufs: float | None = None,
        loudness: float | None = None,
        output: Target | None = None,
        on_progress: OnProgress | None = None,
        timeout: float | None = None,
        cancel: CancelToken | None = None,
        **overrides: Unpack[DubFields],
    ) -> DubResult:
        """Return the clip with lips that follow the speech.

        A clip longer than about ten seconds is cut, sent in segments and joined without another encode;
        memory does not grow with its length.

        Args:
            video: a video or a picture: path or bytes.
            speech: any audio file: path or bytes. Its sound, at its own rate, is the sound of the result.
                None: each of the `cues` names its own.
            options: what the clip is to be like.
            **overrides: fields of `Options` as keywords; they win over `options`.
            source: what `prepare` returned for this video, or the path of the file that it was written to.
                None: made here. Where `face` is not among the options, it is the SOURCE's.
            cues: who speaks what, and when: a list of `Cue` (or of dicts with its fields), or the path of a
                JSON file (docs/cues.md). The result is as long as the video; outside of the cues picture and
                sound are the video's own, and what can be copied of it is copied.
            bypass: stretches in which the picture stays untouched: `(start, end)` in seconds, or
                `{"start": s, "end": s}`.
            background: sound under the speech, which steps back while it is heard: a file, or `video` for
                the video's own sound.
            background_lufs: loudness of the background as a whole, LUFS. None: as it is.
            loudness: loudness of the result as a whole, LUFS (EBU R128), peaks held to -1 dB: -23 for
                broadcasting, -14 to -16 for the web. None: as it comes.
            output: where to write the MP4; it appears there whole or not at all. A binary file that is open
                for writing: it is copied there once it is whole. None: returned as bytes.
            on_progress: called with frames done and frames in all.
            timeout: seconds for everything together.
            cancel: gives the call up from another thread.

        Raises:
            InputError: what was given cannot be served; most kinds are noticed before anything is sent, a
                SOURCE of another video or other faces (SourceError) among them.
            ServerError, TransportError, SetupError: see the tree in `lipserve`.
        """
        return drive(
            self._client.dub(
                video,
                speech,
                options,
                tier=tier,
                source=source,
                cues=cues,
                bypass=bypass,
                background=background,
                background_lufs=background_lufs,
                loudness=loudness,
                output=output,
                on_progress=on_progress,
                timeout=timeout,
                cancel=cancel,
                **overrides,
            )
        )

    def dub_stream(
        self,
        video: MediaSource,
        speech: MediaSource | None = None,
        options: Options | None = None,
        *,
        tier: TierName = DEFAULT_TIER,
        source: MediaSource | None = None,
        cues: CueSource | None = None,
        bypass: Sequence[Range] = (),
        background: MediaSource | None = None,
        background_lufs: float | None = None,
        loudness: float | None = None,
        on_progress: OnProgress | None = None,
        timeout: float | None = None,
        cancel: CancelToken | None = None,
        **overrides: Unpack[DubFields],
    ) -> BlockingStream:
        """Return the dubbed clip as a stream of bytes: an MP4 in fragments, which can be played as it comes.

            with open("out.mp4", "wb") as file:
                for chunk in client.dub_stream("video.mp4", "speech.wav"):
                    file.write(chunk)

        The pictures are those of `dub`. The beginning is made first, in short segments. Leaving the loop
        gives the call up. The stream carries no C2PA manifest: it can only be made when the file is whole.

        Args:
            Those of `dub`, but for `output`.

        Returns:
            an object to iterate over, once; after the end its `report` is the clip's.

        Raises:
            the errors of `dub`, from the loop.
        """

        def opened() -> DubStream:
            return self._client.dub_stream(
                video,
                speech,
                options,
                tier=tier,
                source=source,
                cues=cues,
                bypass=bypass,
                background=background,
                background_lufs=background_lufs,
                loudness=loudness,
                on_progress=on_progress,
                timeout=timeout,
                cancel=cancel,
                **overrides,
            )

        return BlockingStream(opened)

    def prepare(
        self,
        video: MediaSource,
        *,
        face: str = "largest",
        timeout: float | None = None,
        cancel: CancelToken | None = None,
    ) -> bytes:
        """Return the SOURCE of a video: what the tier `lipwarp` has to know of its people, a few MB.

        `dub` makes one of its own where it needs one. Kept in a file, a SOURCE serves every speech that this
        video is to speak: it is made once, and is the same for all of them. Only a spread of short stretches
        of the video is sent.

        Args:
            video: path or bytes.
            face: whose, as for `dub`: `largest`, `all`, or the pixel `x,y` that it covers.

        Raises:
            NoFaceError: the video shows none. Others as `dub`.
        """
        return drive(self._client.prepare(video, face=face, timeout=timeout, cancel=cancel))

    def check(
        self,
        video: MediaSource,
        speech: MediaSource | None = None,
        *,
        on_progress: OnProgress | None = None,
        timeout: float | None = None,
        cancel: CancelToken | None = None,
    ) -> CheckResult:
        """Return what can be measured of a video: any video, whoever made it.

        Of every face: when and where it is seen, how its lips agree with the speech and with which offset,
        over all and second by second, its mouth in silence, its sharpness and flicker; and the shots.

        Args:
            video: path or bytes.
            speech: what the lips should follow: path or bytes. None: the video's own sound, where it has one.
            on_progress: called with frames done and frames in all.
            timeout: seconds for everything together.
            cancel: gives the call up from another thread.

        Raises:
            ModelNotFoundError: the server lacks the tier `lipwarp`, whose models measure. Others as `dub`.
        """
        return drive(
            self._client.check(video, speech, on_progress=on_progress, timeout=timeout, cancel=cancel)
        )

    def estimate(
        self,
        video: MediaSource,
        speech: MediaSource,
        options: Options | None = None,
        *,
        tier: TierName = DEFAULT_TIER,
        price_per_hour: float | None = None,
        timeout: float | None = None,
        cancel: CancelToken | None = None,
        **overrides: Unpack[DubFields],
    ) -> Estimate:
        """Return what a call of `dub` would take; nothing of the video or the speech is sent.

        The server is measured: it dubs a few short clips of a portrait that comes with the client, as large
        as the video's pictures. So the answer is of this server, as it is loaded now.

        Args:
            video, speech, options, tier, **overrides: as for `dub`.
            price_per_hour: of the server, in any currency, for the cost.

        Raises:
            InputError: as `dub`, before anything is sent; a price below 0.
        """
        return drive(
            self._client.estimate(
                video,
                speech,
                options,
                tier=tier,
                price_per_hour=price_per_hour,
                timeout=timeout,
                cancel=cancel,
                **overrides,
            )
        )

    def faces(
        self,
        video: MediaSource,
        *,
        on_progress: OnProgress | None = None,
        timeout: float | None = None,
        cancel: CancelToken | None = None,
    ) -> FacesResult:
        """Return who is in a video, and who speaks when, by the video's own sound.

        People get numbers, in the order of appearance, which `dub` takes as `face`. Faces of several shots
        are one person where hair, skin and clothes have the same colours; it is no recognition of faces.

        Args:
            video: path or bytes.
            on_progress: called with frames done and frames in all.
            timeout: seconds for everything together.
            cancel: gives the call up from another thread.

        Raises:
            ModelNotFoundError: the server lacks the tier `lipwarp`, whose models measure. Others as `dub`.
        """
        return drive(self._client.faces(video, on_progress=on_progress, timeout=timeout, cancel=cancel))

    def generate(
        self,
        faces: NDArray[np.uint8],
        speech: NDArray[np.float32],
        *,
        fps: Fraction | int | str = 25,
        frames: NDArray[np.int32] | None = None,
        tracks: NDArray[np.int32] | None = None,
        tier: TierName = DEFAULT_PAINTER,
        timeout: float | None = None,
        cancel: CancelToken | None = None,
        **options: Unpack[GenerateFields],
    ) -> NDArray[np.uint8]:
        """Return face crops [N, S, S, 3] whose lips follow the speech, for callers that cut crops themselves.

        The tiers `wav2lip` and `latentsync` make crops; `lipwarp` moves the pixels of whole pictures.

        Args:
            faces: uint8 [N, S, S, 3] RGB, cut as the tier's weights know them; S is 96 for wav2lip, the
                resolution that the server was exported for (256 or 512) for latentsync. Of wav2lip they are
                aligned, or boxes where the generator's manifest says `framing: box` (docs/export.md).
            speech: float32 [n], 16 kHz mono, -1..1.
            fps: frames a second of the video that the crops are from.
            frames: int32 [N], the frame of each crop; default 0, 1, 2, ...
            tracks: int32 [N], whose face each crop shows (latentsync sees 16 frames of one person at
                once); default one person's.
            **options: `sync_offset_ms`; of latentsync also the other fields of `LatentSyncOptions`.
        """
        return drive(
            self._client.generate(
                faces,
                speech,
                fps=fps,
                frames=frames,
                tracks=tracks,
                tier=tier,
                timeout=timeout,
                cancel=cancel,
                **options,
            )
        )

    def models(self) -> list[ModelStatus]:
        """Return the models of every server."""
        return drive(self._client.models())

    def tiers(self) -> tuple[TierName, ...]:
        """Return the tiers that at least one of the servers has ready; ConnectError where none answers."""
        return drive(self._client.tiers())

    def health(self, *, deep: bool = False) -> list[ServerHealth]:
        """Return the health of every server; with `deep`, after one canary to every model.

        A server that does not answer is a ServerHealth that is not `ok`, not an exception.
        """
        return drive(self._client.health(deep=deep))

    def close(self) -> None:
        """Close the connections; calls in flight are cancelled."""
        drive(self._client.close())

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def drive(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run `coroutine` and return its result; Ctrl-C cancels it, awaits its clean-up, and is raised again.

    Where an event loop runs in this thread already (a notebook), a second thread drives the coroutine.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        with asyncio.Runner() as runner:
            return runner.run(coroutine)
    return _drive_beside(coroutine)


def _drive_beside(coroutine: Coroutine[Any, Any, T]) -> T:
    began = threading.Event()
    running: list[tuple[asyncio.AbstractEventLoop, asyncio.Task[Any]]] = []

    async def start() -> T:
        task = asyncio.current_task()
        assert task is not None
        running.append((asyncio.get_running_loop(), task))
        began.set()
        return await coroutine

    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(asyncio.run, start())
        try:
            return answer.result()
        except KeyboardInterrupt:
            began.wait()
            loop, task = running[0]
            loop.call_soon_threadsafe(task.cancel)
            raise
