"""The operator's certificate, which signs what the server makes whole. It is read again when it changes."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from lipserve.errors import ConsentError, SetupError
from lipserve.options import Consent, Options
from lipserve.provenance.certificate import (
    CERTIFICATE_VARIABLE,
    KEY_VARIABLE,
    POLICY_VARIABLE,
    Certificate,
    load,
)
from lipserve.provenance.manifest import Facts
from lipserve.provenance.sign import sign
from lipserve.report import Report

CONSENT_VARIABLE = "LIPSERVE_REQUIRE_CONSENT"


@dataclass
class Signing:
    """What an operator wants of results.

    Attributes:
        certificate, private_key: PEM files; None: the server signs nothing.
        warn: a result that cannot be signed is given with a warning. False: its request is refused.
        require_consent: a request without a record of consent is refused.
    """

    certificate: Path | None = None
    private_key: Path | None = None
    warn: bool = False
    require_consent: bool = False
    _held: tuple[tuple[int, ...], Certificate] | None = field(default=None, repr=False)

    @classmethod
    def of(cls, environment: Mapping[str, str] = os.environ) -> Signing:
        """Return what the environment says.

        LIPSERVE_CERTIFICATE and LIPSERVE_PRIVATE_KEY are files, LIPSERVE_PROVENANCE is refuse, warn or off,
        and LIPSERVE_REQUIRE_CONSENT 0 or 1.

        Raises:
            SetupError: one of them makes no sense.
        """
        paths = [environment.get(name, "") for name in (CERTIFICATE_VARIABLE, KEY_VARIABLE)]
        policy = environment.get(POLICY_VARIABLE) or "refuse"
        consent = environment.get(CONSENT_VARIABLE) or "0"
        if policy not in ("refuse", "warn", "off"):
            raise SetupError(f"{POLICY_VARIABLE}={policy} is no policy.", "Set it to refuse, warn or off.")
        if consent not in ("0", "1"):
            raise SetupError(f"{CONSENT_VARIABLE}={consent} is neither 0 nor 1.", "Set it to 0 or 1.")
        if bool(paths[0]) != bool(paths[1]):
            raise SetupError(
                f"Only one of {CERTIFICATE_VARIABLE} and {KEY_VARIABLE} is set.", "Set both, or neither."
            )
        signs = bool(paths[0]) and policy != "off"
        certificate, key = (Path(path) if signs else None for path in paths)
        return cls(certificate, key, policy == "warn", consent == "1")

    def check(self, options: Options) -> None:
        """Refuse a request before any work for it.

        Raises:
            ConsentError: it has no record of consent, and the operator demands one.
            ProvenanceError: its result could not be signed, and the operator wants no such results.
        """
        if self.require_consent and options.consent is None:
            raise ConsentError(
                "This server makes nothing without a record of consent.",
                "Give one: --consent FILE, or the option consent with who, when and purpose.",
            )
        if options.segment is None and not self.warn:
            self._current()

    def sign(
        self, result: bytes, report: Report, video: bytes, audio: bytes, consent: Consent | None
    ) -> bytes:
        """Return a whole result with its manifest. Or as it is, where that is allowed: `report` then warns.

        Raises:
            ProvenanceError: it cannot be signed, and the operator wants no such results.
        """
        try:
            certificate = self._current()
            if certificate is None:
                return result
            signed = io.BytesIO()
            digests = [sha256(media).hexdigest() for media in (video, audio)]
            facts = Facts(report, digests[0], (digests[1],), consent, certificate.self_made)
            sign(io.BytesIO(result), signed, certificate, facts)
            return signed.getvalue()
        except SetupError as error:
            if not self.warn:
                raise
            report.warnings.append(f"The server could not sign the result. {error}")
            return result

    def _current(self) -> Certificate | None:
        """Return the certificate as its files are now, or None where the server signs nothing."""
        if self.certificate is None or self.private_key is None:
            return None
        stamp = tuple(_stamp(path) for path in (self.certificate, self.private_key))
        if self._held is None or self._held[0] != stamp:
            self._held = stamp, load(self.certificate, self.private_key)
        self._held[1].check()
        return self._held[1]


def _stamp(path: Path) -> int:
    """Return what is another number once a file is replaced, as a Secret's are by a change of a link."""
    try:
        found = path.stat()
    except OSError:
        return 0  # reading it tells why
    return hash((found.st_ino, found.st_mtime_ns, found.st_size))
