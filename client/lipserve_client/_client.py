"""The client for code that is not asynchronous."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lipserve.contracts import DEFAULT_TIER, TierName
from lipserve.files.picture import MediaSource
from lipserve.options import Options
from lipserve.tiers import DEFAULT_PAINTER
from lipserve_client._async_client import AsyncClient
from lipserve_client._cancel import CancelToken
from lipserve_client._config import DEFAULT_URL, TLS
from lipserve_client._drive import drive
from lipserve_client._fleet import TransportFactory
from lipserve_client._results import ModelStatus, ServerHealth, SyncResult
from lipserve_client._retry import RETRIES
from lipserve_client._run import OnProgress
from lipserve_client._targets import Target
from lipserve_client._transports import SharedMemory


class Client:
    """Calls LipServe servers; arguments as `AsyncClient`. Threads may share one.

    Ctrl-C during a call cancels what is in flight, removes what was written, and is raised.
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
        self._client = AsyncClient(
            urls,
            shm=shm,
            transport=transport,
            timeout=timeout,
            retries=retries,
            tls=tls,
            concurrency=concurrency,
            headers=headers,
        )

    def sync(
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
        """See `AsyncClient.sync`."""
        return drive(
            self._client.sync(
                video,
                audio,
                options,
                tier=tier,
                source=source,
                output=output,
                on_progress=on_progress,
                timeout=timeout,
                cancel=cancel,
                **overrides,
            )
        )

    def prepare(
        self,
        video: MediaSource,
        *,
        face: str = "largest",
        timeout: float | None = None,
        cancel: CancelToken | None = None,
    ) -> bytes:
        """See `AsyncClient.prepare`."""
        return drive(self._client.prepare(video, face=face, timeout=timeout, cancel=cancel))

    def generate(
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
        """See `AsyncClient.generate`."""
        return drive(
            self._client.generate(
                faces,
                audio,
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
        """See `AsyncClient.models`."""
        return drive(self._client.models())

    def health(self, *, deep: bool = False) -> list[ServerHealth]:
        """See `AsyncClient.health`."""
        return drive(self._client.health(deep=deep))

    def close(self) -> None:
        """See `AsyncClient.close`."""
        drive(self._client.close())

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
