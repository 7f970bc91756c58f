"""The operator's certificate on the server: read again when it changes; refusing or warning."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from lipserve.errors import ConsentError, ProvenanceError, SetupError
from lipserve.files.picture import Colour, Picture
from lipserve.media.encode import VideoWriter
from lipserve.options import Consent, Options
from lipserve.provenance.self_made import make
from lipserve.provenance.verify import read
from lipserve.report import Report
from lipserve_server.inside.signing import Signing

ALLOWED = Consent(who="Ada", when=date(2026, 11, 30), purpose="a talk")


@pytest.fixture(scope="module")
def film() -> bytes:
    file = io.BytesIO()
    with VideoWriter(file, 64, 48, Fraction(25), Colour()) as writer:
        planes = (np.full(size, 90, np.uint8) for size in ((48, 64), (24, 32), (24, 32)))
        writer.write(Picture(*planes, Colour()))
    return file.getvalue()


@pytest.fixture
def report() -> Report:
    return Report(
        tier="lipwarp", weights="w", width=64, height=48, fps=25, frames=1, seconds=0.04, faces=1,
        faceless_frames=0, driven=[(0, 0)], detector_calls=1, stage_seconds={},
    )  # fmt: skip


@pytest.fixture
def place(tmp_path: Path) -> Callable[..., dict[str, str]]:
    """Return what puts a certificate where the environment says, as the kubelet does: by a link."""

    def write(ends: int = 9) -> dict[str, str]:
        version = tmp_path / str(len(list(tmp_path.iterdir())))
        version.mkdir()
        begins = datetime.now(UTC) - timedelta(days=30)
        (version / "tls.pem").write_bytes(make(begins, timedelta(days=30 + ends)))
        (tmp_path / "new").symlink_to(version)
        (tmp_path / "new").replace(tmp_path / "data")
        path = str(tmp_path / "data/tls.pem")
        return {"LIPSERVE_CERTIFICATE": path, "LIPSERVE_PRIVATE_KEY": path}

    return write


def test_without_a_certificate_nothing_is_signed(film: bytes, report: Report) -> None:
    signing = Signing.of({})
    signing.check(Options())
    assert signing.sign(film, report, b"v", b"s", None) is film
    assert report.warnings == []


def test_a_changed_certificate_is_used_without_a_restart(
    film: bytes, report: Report, place: Callable[..., dict[str, str]]
) -> None:
    signing = Signing.of(place())
    first, second = (read(io.BytesIO(signing.sign(film, report, b"v", b"s", ALLOWED))) for _ in range(2))
    assert first.serial == second.serial
    assert first.actions[1].frames == ((0, 0),)
    assert first.consent == {"who": "Ada", "when": "2026-11-30", "purpose": "a talk", "record": ""}
    place()
    assert read(io.BytesIO(signing.sign(film, report, b"v", b"s", None))).serial != first.serial


def test_an_expired_certificate_is_refused_early_or_a_warning(
    film: bytes, report: Report, place: Callable[..., dict[str, str]]
) -> None:
    environment = place(ends=-1)
    with pytest.raises(ProvenanceError, match="expired"):
        Signing.of(environment).check(Options())
    warns = Signing.of({**environment, "LIPSERVE_PROVENANCE": "warn"})
    warns.check(Options())
    assert warns.sign(film, report, b"v", b"s", None) is film
    assert "could not sign the result" in report.warnings[0]
    off = Signing.of({**environment, "LIPSERVE_PROVENANCE": "off"})
    off.check(Options())
    assert off.sign(film, report, b"v", b"s", None) is film


def test_a_secret_that_is_away_is_told(place: Callable[..., dict[str, str]]) -> None:
    environment = place()
    signing = Signing.of(environment)
    signing.check(Options())
    os.unlink(Path(environment["LIPSERVE_CERTIFICATE"]).parent)
    with pytest.raises(ProvenanceError, match="cannot be read: No such file"):
        signing.check(Options())


def test_an_operator_can_demand_a_record_of_consent() -> None:
    signing = Signing.of({"LIPSERVE_REQUIRE_CONSENT": "1"})
    with pytest.raises(ConsentError, match="without a record of consent"):
        signing.check(Options())
    signing.check(Options(consent=ALLOWED))


@pytest.mark.parametrize(
    "environment",
    [
        {"LIPSERVE_CERTIFICATE": "a"},
        {"LIPSERVE_PRIVATE_KEY": "a"},
        {"LIPSERVE_PROVENANCE": "maybe"},
        {"LIPSERVE_REQUIRE_CONSENT": "yes"},
    ],
)
def test_an_environment_that_makes_no_sense_is_refused(environment: dict[str, str]) -> None:
    with pytest.raises(SetupError, match=next(iter(environment))):
        Signing.of(environment)
