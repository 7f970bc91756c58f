"""The blocking client of a gateway."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from os import PathLike
from typing import Any, Unpack

from lipserve.contracts import DEFAULT_TIER, TierName
from lipserve.cues import CueSource
from lipserve.files.picture import MediaSource
from lipserve.options import Options
from lipserve.options.keywords import DubFields
from lipserve.quality.cast import FacesResult
from lipserve.quality.results import CheckResult
from lipserve_client._blocking import iterate
from lipserve_client._cancel import CancelToken
from lipserve_client._client import drive
from lipserve_client._config import TLS
from lipserve_client._estimate import Estimate
from lipserve_client._fleet import RETRIES
from lipserve_client._jobs.async_jobs import AsyncJobs
from lipserve_client._jobs.records import Batch, Job, Kind, Priority, State, Usage
from lipserve_client._jobs.results import Measured
from lipserve_client._jobs.uploads import OnUpload
from lipserve_client._making import OnProgress
from lipserve_client._results import DubResult
from lipserve_client._targets import Target
from lipserve_client._timeline import Range


class Jobs:
    """Sends jobs to a service that makes them while nobody waits (docs/jobs/quickstart.md).

        jobs = Jobs("http://127.0.0.1:8080")
        job = jobs.submit("film.mp4", "speech.wav")
        jobs.wait(job, output="out.mp4")  # or later, from another machine: jobs.wait(job.id, ...)

    Threads may share one. Nothing is kept open between calls. A call that waits goes on while the service
    restarts; Ctrl-C ends the waiting, not the job.

    Args:
        url: of the gateway. None: the environment's LIPSERVE_JOBS_URL, else http://127.0.0.1:8080.
        key: API key, or a token that the service accepts. None: the environment's LIPSERVE_JOBS_KEY, else
            none.
        timeout: seconds that a call may take as a whole, where the call names none. None: no limit.
        retries: how often a call is made again where that can help (a gateway that is full or restarts, a
            connection that breaks), with growing, jittered pauses. No job is made twice by that.
        tls: certificates of an https:// address. None: those that the system trusts.

    Raises:
        OptionsError: an argument makes no sense. SetupError: this machine lacks a file.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        key: str | None = None,
        timeout: float | None = None,
        retries: int = RETRIES,
        tls: TLS | None = None,
    ) -> None:
        self._jobs = AsyncJobs(url, key=key, timeout=timeout, retries=retries, tls=tls)

    def submit(
        self,
        video: MediaSource,
        speech: MediaSource | None = None,
        options: Options | None = None,
        *,
        kind: Kind = "dub",
        tier: TierName = DEFAULT_TIER,
        source: MediaSource | None = None,
        cues: CueSource | None = None,
        bypass: Sequence[Range] = (),
        background: MediaSource | None = None,
        background_lufs: float | None = None,
        loudness: float | None = None,
        priority: Priority = "normal",
        webhook: str | None = None,
        result: str | None = None,
        name: str | None = None,
        metadata: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
        on_upload: OnUpload | None = None,
        timeout: float | None = None,
        cancel: CancelToken | None = None,
        **overrides: Unpack[DubFields],
    ) -> Job:
        """Send a job, and return it as soon as the service has it; from then on it needs nobody.

        Files are sent first: each once, and large ones in parts, so that a broken connection costs one part.

        Args:
            video, speech, source, background: a path, bytes, the address of a file that the service is to
                fetch (https:// or s3://), or what `upload` returned.
            options, tier, cues, bypass, background_lufs, loudness, **overrides: as for `Client.dub`.
            kind: `dub`; or what measures, whose findings `measured` gives: `faces`, `check`, `estimate`.
            priority: among your own jobs: `high`, `normal` or `low`.
            webhook: address that is told when the job has ended (docs/jobs/quickstart.md).
            result: where else the result is put: a presigned https:// address for PUT, or s3://.
            name: that people see. None: the video's.
            metadata: your own, given back as it is: 16 entries of at most 200 characters.
            idempotency_key: a second job with the same key and files within a day is the first one. None: a
                new key for each call, so that a connection that breaks makes no second job.
            on_upload: called with bytes sent and bytes in all.
            timeout: seconds for sending everything.
            cancel: gives the call up from another thread; a job that was accepted goes on.

        Raises:
            InputError: what was given cannot be served, or the key is not right.
            LimitError: a quota is used up. ConnectError: no gateway answers.
        """
        return drive(
            self._jobs.submit(
                video,
                speech,
                options,
                kind=kind,
                tier=tier,
                source=source,
                cues=cues,
                bypass=bypass,
                background=background,
                background_lufs=background_lufs,
                loudness=loudness,
                priority=priority,
                webhook=webhook,
                result=result,
                name=name,
                metadata=metadata,
                idempotency_key=idempotency_key,
                on_upload=on_upload,
                timeout=timeout,
                cancel=cancel,
                **overrides,
            )
        )

    def upload(
        self,
        file: MediaSource,
        *,
        on_upload: OnUpload | None = None,
        timeout: float | None = None,
        cancel: CancelToken | None = None,
    ) -> str:
        """Send a file that several jobs are to use, and return its reference, which `submit` takes.

        A file that no job uses is removed after a day.
        """
        return drive(self._jobs.upload(file, on_upload=on_upload, timeout=timeout, cancel=cancel))

    def get(self, job: Job | str) -> Job:
        """Return a job as it is now.

        Args:
            job: or its id; so for every call.

        Raises:
            InputError: there is no such job.
        """
        return drive(self._jobs.get(job))

    def list(
        self,
        *,
        state: State | None = None,
        kind: Kind | None = None,
        batch: Batch | str | None = None,
        limit: int | None = None,
    ) -> Iterator[Job]:
        """Yield your jobs, the newest first; pages are fetched as they are needed.

        Args:
            state, kind, batch: only such.
            limit: at most so many.
        """
        left, after = limit, None
        while left is None or left > 0:
            found, after = drive(self._jobs.page(left, after, state=state, kind=kind, batch=batch))
            yield from found
            left = None if left is None else left - len(found)
            if after is None:
                return

    def events(self, job: Job | str) -> Iterator[Job]:
        """Yield a job as it is, then after every change, until it has ended.

        for job in jobs.events(id):
            print(job.state, job.frames_done, "of", job.frames)
        """
        return iterate(lambda: self._jobs.events(job))

    def ended(
        self,
        job: Job | str,
        *,
        on_progress: OnProgress | None = None,
        timeout: float | None = None,
        cancel: CancelToken | None = None,
    ) -> Job:
        """Wait until a job of any kind has ended, however, and return it.

        Args:
            as those of `wait`.

        Raises:
            DeadlineExceededError: it has not ended by then.
        """
        return drive(self._jobs.ended(job, on_progress=on_progress, timeout=timeout, cancel=cancel))

    def wait(
        self,
        job: Job | str,
        *,
        output: Target | None = None,
        on_progress: OnProgress | None = None,
        timeout: float | None = None,
        cancel: CancelToken | None = None,
    ) -> DubResult:
        """Wait until a job of the kind `dub` is done, and return its result, as `Client.dub` does.

        Args:
            output: where to write the MP4; it appears there whole or not at all. A binary file that is open
                for writing: it is copied there once it is whole. None: returned as bytes.
            on_progress: called with frames done and frames in all.
            timeout: seconds for everything together; the job goes on.
            cancel: ends the waiting from another thread; the job goes on.

        Raises:
            the error that the job failed by; CancelledError: it was cancelled; ConnectError: the gateway
            stays away; DeadlineExceededError: it is not done by then.
        """
        return drive(
            self._jobs.wait(job, output=output, on_progress=on_progress, timeout=timeout, cancel=cancel)
        )

    def measured(
        self,
        job: Job | str,
        *,
        on_progress: OnProgress | None = None,
        timeout: float | None = None,
        cancel: CancelToken | None = None,
    ) -> Measured:
        """Wait until a job that measures is done, and return what `Client` returns of the same call.

        That is FacesResult, CheckResult or Estimate, by the job's kind.

        Args:
            on_progress, timeout, cancel: as for `wait`.

        Raises:
            as `wait`; OptionsError: it is a job of the kind `dub`.
        """
        return drive(self._jobs.measured(job, on_progress=on_progress, timeout=timeout, cancel=cancel))

    def sheet(self, job: Job | str) -> bytes:
        """Return the contact sheet of a job that is done, a PNG: source and result side by side, or faces."""
        return drive(self._jobs.sheet(job))

    def cancel(self, job: Job | str) -> Job:
        """End a job at once, and return it; one that has ended stays as it is."""
        return drive(self._jobs.cancel(job))

    def retry(self, job: Job | str) -> Job:
        """Begin a job anew that failed or was cancelled; what of it is made already is kept."""
        return drive(self._jobs.retry(job))

    def erase(self, job: Job | str) -> None:
        """Cancel a job, and remove it with everything that belongs to it: files, result, report."""
        drive(self._jobs.erase(job))

    def batch(
        self,
        rows: Iterable[Mapping[str, Any]] | str | PathLike[str],
        *,
        name: str = "",
        idempotency_key: str | None = None,
        on_upload: OnUpload | None = None,
        timeout: float | None = None,
        cancel: CancelToken | None = None,
    ) -> Batch:
        """Send many jobs together, all or none; `list(batch=...)` yields them.

            jobs.batch({"video": "host.mp4", "speech": speech, "name": speech} for speech in speeches)

        Args:
            rows: at most 10,000 jobs, with the fields of docs/jobs/api.md; media as for `submit`, and a file
                that many rows name is sent once. Or the path of a manifest, CSV or one JSON object a line;
                files in it are relative to it.
            name: that people see.
            idempotency_key: a second batch with the same key and content within a day is the first one.
            on_upload, timeout, cancel: as for `submit`.

        Raises:
            InputError: a row cannot be served; its line is named, and nothing is accepted.
        """
        return drive(
            self._jobs.batch(
                rows,
                name=name,
                idempotency_key=idempotency_key,
                on_upload=on_upload,
                timeout=timeout,
                cancel=cancel,
            )
        )

    def get_batch(self, batch: Batch | str) -> Batch:
        """Return a batch as it is now."""
        return drive(self._jobs.get_batch(batch))

    def wait_batch(
        self,
        batch: Batch | str,
        *,
        on_progress: OnProgress | None = None,
        timeout: float | None = None,
        cancel: CancelToken | None = None,
    ) -> Batch:
        """Wait until every job of a batch has ended, however, and return it.

        Args:
            on_progress: called with jobs that have ended and jobs in all.
            timeout, cancel: as for `wait`.
        """
        return drive(self._jobs.wait_batch(batch, on_progress=on_progress, timeout=timeout, cancel=cancel))

    def as_ended(self, batch: Batch | str) -> Iterator[Job]:
        """Yield each job of a batch once it has ended, however; the ends of all jobs end it.

        for job in jobs.as_ended(batch):
            if job.state == "done":
                jobs.wait(job, output=f"{job.name}.mp4")
        """
        return iterate(lambda: self._jobs.as_ended(batch))

    def cancel_batch(self, batch: Batch | str) -> Batch:
        """Cancel every job of a batch that has not ended."""
        return drive(self._jobs.cancel_batch(batch))

    def erase_batch(self, batch: Batch | str) -> None:
        """Cancel a batch, and remove it with its jobs and all that belongs to them, as `erase` does."""
        drive(self._jobs.erase_batch(batch))

    def estimate(
        self,
        video: MediaSource,
        speech: MediaSource,
        options: Options | None = None,
        *,
        tier: TierName = DEFAULT_TIER,
        on_upload: OnUpload | None = None,
        timeout: float | None = None,
        cancel: CancelToken | None = None,
        **overrides: Unpack[DubFields],
    ) -> Estimate:
        """Return what a dub would take of the service's servers, the time in the queue left out.

        Args:
            video, speech, options, tier, **overrides: as for `submit`.
        """
        return drive(
            self._jobs.estimate(
                video,
                speech,
                options,
                tier=tier,
                on_upload=on_upload,
                timeout=timeout,
                cancel=cancel,
                **overrides,
            )
        )

    def faces(
        self,
        video: MediaSource,
        *,
        on_upload: OnUpload | None = None,
        on_progress: OnProgress | None = None,
        timeout: float | None = None,
        cancel: CancelToken | None = None,
    ) -> FacesResult:
        """Return who is in a video, and who speaks when, as `Client.faces` does."""
        return drive(
            self._jobs.faces(
                video, on_upload=on_upload, on_progress=on_progress, timeout=timeout, cancel=cancel
            )
        )

    def check(
        self,
        video: MediaSource,
        speech: MediaSource | None = None,
        *,
        on_upload: OnUpload | None = None,
        on_progress: OnProgress | None = None,
        timeout: float | None = None,
        cancel: CancelToken | None = None,
    ) -> CheckResult:
        """Return what can be measured of a video, as `Client.check` does."""
        return drive(
            self._jobs.check(
                video, speech, on_upload=on_upload, on_progress=on_progress, timeout=timeout, cancel=cancel
            )
        )

    def tiers(self) -> tuple[TierName, ...] | None:
        """Return the tiers that the service's servers have; None: not known, as no worker was there yet.

        A job of another tier is refused: ModelNotFoundError.
        """
        return drive(self._jobs.tiers())

    def usage(self) -> Usage:
        """Return what was used in this month, and what may be used."""
        return drive(self._jobs.usage())
