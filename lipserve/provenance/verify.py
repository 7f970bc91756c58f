"""Read the manifest of any C2PA file: who signed it, what was made, and whether a byte was changed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO, Literal

from lipserve.errors import InputError
from lipserve.provenance import library
from lipserve.provenance.certificate import SELF_MADE
from lipserve.provenance.formats import HEAD, media_type
from lipserve.provenance.manifest import CONSENT, NAMESPACE
from lipserve.text import printable

State = Literal["trusted", "untrusted", "self-made", "expired", "changed", "invalid", "none"]

# Failures that mean: other bytes than those that were signed.
_OF_BYTES = ("assertion.bmffHash.", "assertion.dataHash.", "assertion.boxesHash.", "assertion.hashedURI.",
             "assertion.collectionHash.", "assertion.multiAssetHash.", "claimSignature.mismatch")  # fmt: skip
_UNTRUSTED, _EXPIRED = "signingCredential.untrusted", "signingCredential.expired"
_GENERATIONS = 32  # of a file's parents that are told of


@dataclass(frozen=True)
class Action:
    """One step of how a file was made.

    Attributes:
        name: C2PA's, such as c2pa.edited.
        tool: program and version that took it, or "".
        source_type: IPTC's term for where the picture comes from, or "".
        frames: first and last of the stretches of frames that it changed.
        parameters: LipServe's own, without its namespace.
    """

    name: str
    tool: str = ""
    source_type: str = ""
    frames: tuple[tuple[int, int], ...] = ()
    parameters: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Verdict:
    """What a file's manifest says, and how far it can be believed.

    Attributes:
        state: `trusted`: unchanged, and an authority that is trusted vouches for the signer; `untrusted`:
            unchanged, and nobody vouches; `self-made`: unchanged, and signed by a certificate that LipServe
            made itself; `expired`: unchanged, but the certificate has expired since, and no time-stamp shows
            when it signed; `changed`: other bytes than those that were signed; `invalid`: the manifest, or
            its certificate, breaks C2PA's rules; `none`: there is no manifest.
        signer: name in the certificate. issuer: who vouches for it. serial: number of the certificate.
        signed_at: what a time-stamp authority says, or "".
        tool: program that made the manifest.
        ingredients: titles of what it was made of.
        consent: what LipServe was told of it, or None.
        problems: C2PA's codes of what is wrong, with their explanations.
    """

    state: State
    signer: str = ""
    issuer: str = ""
    serial: str = ""
    signed_at: str = ""
    tool: str = ""
    actions: tuple[Action, ...] = ()
    ingredients: tuple[str, ...] = ()
    consent: dict[str, str] | None = None
    problems: tuple[str, ...] = ()

    @property
    def intact(self) -> bool:
        """Whether every byte is as it was signed, by a certificate that has not expired."""
        return self.state in ("trusted", "untrusted", "self-made")


def verify(path: str | PathLike[str], anchors: Iterable[bytes] = ()) -> Verdict:
    """Return what the manifest of a file says: `read`, of a path.

    Raises:
        InputError: there is no such file.
    """
    try:
        with Path(path).open("rb") as file:
            return read(file, anchors)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "no file's name"
        raise InputError(f"{path} cannot be read: {reason}.", "Give a file.") from error


def read(file: BinaryIO, anchors: Iterable[bytes] = ()) -> Verdict:
    """Return what the manifest of an open file says.

    Args:
        anchors: PEM certificates of authorities that are trusted.

    Raises:
        InputError: `anchors` are no certificates.
    """
    c2pa, trusted = library.load(), [_checked(anchor) for anchor in anchors]
    file.seek(0)
    kind = media_type(file.read(HEAD))
    if kind is None:
        return Verdict("none")
    file.seek(0)
    whole = library.Whole(file)
    try:
        with whole, library.context(trusted) as context, c2pa.Reader(kind, whole, context=context) as reader:
            return _verdict(json.loads(reader.json()))
    except c2pa.C2paError.ManifestNotFound:
        return Verdict("none")
    except c2pa.C2paError as error:
        if whole.failure is not None:
            raise whole.failure from error
        return Verdict("invalid", problems=(printable(str(error)),))


def _checked(anchor: bytes) -> bytes:
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    try:
        found = x509.load_pem_x509_certificates(anchor)
    except ValueError as error:
        raise InputError(
            "What is to be trusted holds no PEM certificates.", "Give certificates of authorities as PEM."
        ) from error
    return b"".join(made.public_bytes(Encoding.PEM) for made in found)


def _verdict(store: dict[str, Any]) -> Verdict:
    manifest = store["manifests"][store["active_manifest"]]
    signature = manifest.get("signature_info") or {}
    statuses = [status for status in store.get("validation_status", []) if isinstance(status, dict)]
    signer = _text(signature.get("common_name")) or _text(signature.get("issuer"))
    return Verdict(
        state=_state(store.get("validation_state"), [_text(s.get("code")) for s in statuses], signer),
        signer=signer,
        issuer=_text(signature.get("issuer")),
        serial=_text(signature.get("cert_serial_number")),
        signed_at=_text(signature.get("time")),
        tool=_tool((manifest.get("claim_generator_info") or [{}])[0]),
        actions=tuple(map(_action, _actions(store["manifests"], manifest))),
        ingredients=tuple(_text(part.get("title")) for part in manifest.get("ingredients", [])),
        consent=_consent(store["manifests"], manifest),
        problems=tuple(f"{_text(s.get('code'))}: {_text(s.get('explanation'))}" for s in statuses),
    )


def _state(validated: Any, codes: list[str], signer: str) -> State:
    if any(code.startswith(_OF_BYTES) for code in codes):
        return "changed"
    if validated == "Trusted":
        return "trusted"
    if validated != "Valid":
        return "expired" if set(codes) <= {_EXPIRED, _UNTRUSTED} and _EXPIRED in codes else "invalid"
    return "self-made" if SELF_MADE in signer else "untrusted"


def _line(manifests: dict[str, Any], manifest: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the manifests of a file and of those that it was made from, the oldest first."""
    line = [manifest]
    while len(line) < _GENERATIONS:
        parents = [part for part in line[0].get("ingredients", []) if part.get("relationship") == "parentOf"]
        parent = manifests.get(parents[0].get("active_manifest")) if parents else None
        if parent is None:
            break
        line.insert(0, parent)
    return line


def _assertions(manifest: dict[str, Any], label: str) -> Iterator[dict[str, Any]]:
    for assertion in manifest.get("assertions", []):
        if str(assertion.get("label", "")).startswith(label) and isinstance(assertion.get("data"), dict):
            yield assertion["data"]


def _actions(manifests: dict[str, Any], manifest: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for each in _line(manifests, manifest):
        for data in _assertions(each, "c2pa.actions"):
            yield from data.get("actions", [])


def _action(action: dict[str, Any]) -> Action:
    own = f"{NAMESPACE}."
    ranges = [
        (part["frame"].get("start", 0), part["frame"].get("end", 0))
        for change in action.get("changes") or []
        for part in change.get("region", [])
        if part.get("frame")
    ]
    return Action(
        name=_text(action.get("action")),
        tool=_tool(action.get("softwareAgent")),
        source_type=_text(action.get("digitalSourceType")).rpartition("/")[2],
        frames=tuple(ranges),
        parameters={
            name.removeprefix(own): _text(value) if isinstance(value, str) else value
            for name, value in (action.get("parameters") or {}).items()
            if name.startswith(own)
        },
    )


def _consent(manifests: dict[str, Any], manifest: dict[str, Any]) -> dict[str, str] | None:
    for each in reversed(_line(manifests, manifest)):
        for data in _assertions(each, CONSENT):
            return {_text(name): _text(value) for name, value in data.items()}
    return None


def _tool(agent: Any) -> str:
    if isinstance(agent, str):
        return _text(agent)
    agent = agent or {}
    return f"{_text(agent.get('name'))} {_text(agent.get('version'))}".strip()


def _text(value: Any) -> str:
    return "" if value is None else printable(str(value))
