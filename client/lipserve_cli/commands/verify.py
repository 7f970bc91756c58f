"""`lipserve verify`: who made a file, of what, and whether a byte was changed since."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from lipserve.errors import OptionsError
from lipserve.provenance.verify import Action, State, Verdict, verify

EXIT_NOT_INTACT = 1

_EXAMPLES = """\
examples:
  lipserve verify out.mp4
  lipserve verify photo.jpg --trust authorities.pem
      trust signers that these authorities vouch for
  lipserve verify out.mp4 --json

exit codes:
  0 every byte is as it was signed
  1 changed, damaged, without a manifest, or of an expired certificate
  2 there is no such file
"""

_SAID: dict[State, str] = {
    "trusted": "unchanged: every byte is as it was signed. Somebody that you trust vouches for the signer",
    "untrusted": "unchanged: every byte is as it was signed. Nobody that you trust vouches for the signer",
    "self-made": "unchanged: every byte is as it was signed. The certificate is self-made by LipServe and "
    "unverified: nobody vouches for the signer",
    "expired": "EXPIRED: every byte is as it was signed, but the certificate has expired since, and no "
    "time-stamp shows when it signed",
    "changed": "CHANGED: these are not the bytes that were signed",
    "invalid": "INVALID: the manifest, or its certificate, breaks the rules of C2PA",
    "none": "NO MANIFEST: nothing in the file tells who made it",
}

_STEPS = {
    "c2pa.created": "created",
    "c2pa.opened": "a source was opened",
    "c2pa.edited": "edited",
    "c2pa.transcoded": "encoded anew",
    "c2pa.placed": "other material was put in",
    "c2pa.published": "passed on",
}
_SOURCES = {
    "compositeWithTrainedAlgorithmicMedia": "AI has made a part of it",
    "trainedAlgorithmicMedia": "AI has made it",
    "digitalCapture": "a camera has taken it",
}


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Read the C2PA manifest of a video, a picture or a sound file: who signed it, what was made of what, "
        "which frames, with whose consent, and whether its bytes are unchanged. Nothing is sent anywhere."
    )
    parser.epilog = _EXAMPLES
    parser.add_argument("file", metavar="FILE", help="file to read, LipServe's or any other with a manifest")
    parser.add_argument(
        "--trust",
        action="append",
        default=[],
        metavar="PEM",
        help="file with certificates of authorities that you trust; repeatable",
    )
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    verdict = verify(arguments.file, [_anchors(path) for path in arguments.trust])
    if arguments.json:
        print(json.dumps({**asdict(verdict), "intact": verdict.intact}, indent=2))
    else:
        print("\n".join(rows(verdict)))
    return 0 if verdict.intact else EXIT_NOT_INTACT


def rows(verdict: Verdict) -> list[str]:
    """Return what a verdict says, as lines for people."""
    lines = [_SAID[verdict.state]]
    if verdict.signer:
        vouched = "" if verdict.issuer in ("", verdict.signer) else f", of {verdict.issuer}"
        lines.append(f"signed by:  {verdict.signer}{vouched}")
        lines.append(f"signed at:  {verdict.signed_at or 'not stated: no time-stamp authority was asked'}")
    if verdict.tool:
        lines.append(f"made with:  {verdict.tool}")
    if verdict.ingredients:
        lines.append(f"made of:    {', '.join(verdict.ingredients)}")
    for action in verdict.actions:
        lines.extend(_step(action))
    if verdict.signer:
        lines.append(f"consent:    {_consent(verdict.consent)}")
    if not verdict.intact:
        # That nobody vouches for a signer comes last: it is no change of the file.
        problems = sorted(verdict.problems, key=lambda problem: "untrusted" in problem)
        lines.extend(f"problem:    {problem}" for problem in problems)
    return lines


def _step(action: Action) -> list[str]:
    by = f" by {action.tool}" if action.tool else ""
    lines = [f"step:       {_named(action.name, _STEPS)}{by}"]
    if action.source_type:
        lines.append(f"  {'origin:':<15} {_named(action.source_type, _SOURCES)}")
    if action.frames:
        spans = ", ".join(f"{first} to {last}" for first, last in action.frames[:20])
        more = f" and {len(action.frames) - 20} more stretches" if len(action.frames) > 20 else ""
        lines.append(f"  {'driven frames:':<15} {spans}{more}")
    for name, value in sorted(action.parameters.items()):
        shown = ", ".join(map(str, value)) if isinstance(value, list) else value
        lines.append(f"  {f'{name}:'.replace('_', ' '):<15} {shown}")
    return lines


def _named(term: str, words: dict[str, str]) -> str:
    """Return a term of C2PA or IPTC in plain words, with the term itself."""
    return f"{words[term]} ({term})" if term in words else term


def _consent(consent: dict[str, str] | None) -> str:
    if consent is None:
        return "no record"
    record = f" (record: {consent['record']})" if consent.get("record") else ""
    return f"{consent.get('who')}, on {consent.get('when')}, for: {consent.get('purpose')}{record}"


def _anchors(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "no file's name"
        raise OptionsError(f"{path} cannot be read: {reason}.", "Give a PEM file of certificates.") from error
