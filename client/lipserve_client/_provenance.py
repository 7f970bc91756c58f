"""The manifest of a result: signed once, at the end, when the file is whole."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from os import PathLike
from pathlib import Path
from typing import BinaryIO, Literal, get_args

from lipserve.digests import sha256
from lipserve.errors import OptionsError, ProvenanceError, SetupError
from lipserve.files.picture import MediaSource
from lipserve.options import Consent
from lipserve.provenance import verify
from lipserve.provenance.certificate import (
    CERTIFICATE_VARIABLE,
    KEY_VARIABLE,
    POLICY_VARIABLE,
    TIMESTAMP_VARIABLE,
    Certificate,
    load,
)
from lipserve.provenance.manifest import SOURCE, Facts
from lipserve.provenance.manifest import speeches as labels
from lipserve.provenance.self_made import self_made
from lipserve.provenance.sign import countersign, sign
from lipserve.report import Report
from lipserve_client._output import Output

Policy = Literal["refuse", "warn", "off"]


@dataclass(frozen=True)
class Provenance:
    """How results are signed.

    Attributes:
        certificate, private_key: PEM files, both or neither: the certificate chain, the signer's own first,
            and its key, unencrypted. None: a certificate that LipServe makes itself, which says so.
        policy: of a result that cannot be signed: `refuse` (an error; nothing is sent with a certificate that
            has expired), `warn` (a warning in the report), or `off`: nothing is signed. None: `refuse` with a
            certificate that was given, `warn` with a self-made one.
        timestamp_url: address of a time-stamp authority (RFC 3161, http or https), which is asked once for
            each result. Its word keeps one valid once the certificate has expired. None: nobody is asked.
    """

    certificate: str | PathLike[str] | None = None
    private_key: str | PathLike[str] | None = None
    policy: Policy | None = None
    timestamp_url: str | None = None

    def __post_init__(self) -> None:
        if (self.certificate is None) != (self.private_key is None):
            raise OptionsError(
                "Signing needs a certificate and its private key.",
                "Give both, or neither for a self-made certificate.",
            )
        if self.policy not in (None, *get_args(Policy)):
            raise OptionsError(f"{self.policy!r} is no policy of provenance.", "Give refuse, warn or off.")
        if self.timestamp_url is not None and not re.match(r"https?://[!-~]+$", self.timestamp_url):
            raise OptionsError(
                f"{self.timestamp_url!r} is no address of a time-stamp authority.",
                "Give http:// or https://.",
            )

    @classmethod
    def of(cls, wanted: Provenance | bool, environment: Mapping[str, str] = os.environ) -> Provenance:
        """Return what a client was given.

        False is `off`. True takes LIPSERVE_CERTIFICATE, LIPSERVE_PRIVATE_KEY, LIPSERVE_PROVENANCE (refuse,
        warn or off) and LIPSERVE_TIMESTAMP_URL of the environment, where they are set.
        """
        if isinstance(wanted, Provenance):
            return wanted
        if not wanted:
            return cls(policy="off")
        names = CERTIFICATE_VARIABLE, KEY_VARIABLE, POLICY_VARIABLE, TIMESTAMP_VARIABLE
        return cls(*(environment.get(name) or None for name in names))  # type: ignore[arg-type]


class Signing:
    """Signs the result of one call.

    Raises:
        ProvenanceError: the certificate cannot sign, and the policy is `refuse`.
    """

    def __init__(self, wanted: Provenance) -> None:
        self._wanted = wanted
        self._certificate: Certificate | None = None
        self._warnings: list[str] = []
        if wanted.policy != "off":
            with self._policy():
                self._certificate = self._load()

    def finish(
        self,
        output: Output,
        report: Report,
        video: MediaSource,
        speeches: Sequence[MediaSource],
        consent: Consent | None,
    ) -> Report:
        """Sign a result that is written completely, and return its report, with a warning if it is unsigned.

        Args:
            video, speeches: what it was made of.
            consent: what the caller tells.

        Raises:
            ProvenanceError: as above. SetupError, StorageError: the disk is full.
        """
        if self._certificate is not None:
            with self._policy():
                if not self._signed(output, self._certificate):
                    self._sign(output, self._certificate, report, (video, *speeches), consent)
        if not self._warnings:
            return report
        return report.model_copy(update={"warnings": [*report.warnings, *self._warnings]})

    def _load(self) -> Certificate:
        wanted = self._wanted
        if wanted.certificate is None or wanted.private_key is None:
            found = self_made()
        else:
            found = load(wanted.certificate, wanted.private_key)
        found.check()
        return found

    def _signed(self, output: Output, certificate: Certificate) -> bool:
        """Tell whether the server has signed the result: its manifest stays, or is the parent of ours."""
        found = verify.read(output.file)
        if not found.intact:
            return False
        if self._wanted.certificate is not None and found.serial != str(certificate.serial):
            stamp = self._wanted.timestamp_url
            output.rewrite(partial(countersign, certificate=certificate, timestamp_url=stamp))
        return True

    def _sign(
        self,
        output: Output,
        certificate: Certificate,
        report: Report,
        media: Sequence[MediaSource],
        consent: Consent | None,
    ) -> None:
        with ExitStack() as stack:
            video, *speeches = (stack.enter_context(_opened(each)) for each in media)
            facts = Facts(report, sha256(video), tuple(map(sha256, speeches)), consent, certificate.self_made)
            files = dict(zip((SOURCE, *labels(facts)), (video, *speeches), strict=True))
            stamp = self._wanted.timestamp_url
            output.rewrite(
                partial(sign, certificate=certificate, facts=facts, files=files, timestamp_url=stamp)
            )

    @contextmanager
    def _policy(self) -> Iterator[None]:
        """Raise what keeps the result from being signed inside the block, or keep it as a warning."""
        refuse = self._wanted.policy == "refuse" or (
            self._wanted.policy is None and self._wanted.certificate is not None
        )
        try:
            yield
        except SetupError as error:
            if refuse:
                raise
            self._certificate = None
            self._warnings.append(f"The result has no manifest of its provenance. {error}")


@contextmanager
def _opened(media: MediaSource) -> Iterator[BinaryIO]:
    if isinstance(media, bytes):
        yield BytesIO(media)
        return
    try:
        with Path(media).open("rb") as file:
            yield file
    except OSError as error:
        raise ProvenanceError(
            f"{media} cannot be read any more ({error.strerror}).",
            "Leave the input files where they are until the result is made.",
        ) from error


def of_stream(wanted: Provenance) -> list[str]:
    """Return the warnings of a stream: it is handed out before it is whole, so it cannot be signed.

    Raises:
        ProvenanceError: it must be signed.
    """
    if wanted.policy == "off":
        return []
    if wanted.policy == "refuse" or (wanted.policy is None and wanted.certificate is not None):
        raise ProvenanceError(
            "A stream cannot be signed: it is handed out before it is whole.",
            "Write a whole file (dub), or let the policy of provenance be warn or off.",
        )
    return ["The result has no manifest of its provenance: a stream is handed out before it is whole."]
