"""What a manifest says of a result: C2PA's own words where it has them, and LipServe's beside them."""

from __future__ import annotations

import importlib.metadata
from dataclasses import dataclass
from typing import Any

from lipserve.options import Consent
from lipserve.provenance.certificate import SELF_MADE
from lipserve.report import Report

# IPTC's term for a picture of which an algorithm that learnt from examples has made a part.
COMPOSITE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
NAMESPACE = "org.lipserve"
CONSENT = f"{NAMESPACE}.consent"
ACTIONS = "c2pa.actions.v2"
# Labels by which actions name ingredients.
SOURCE, SPEECH, RESULT = "source", "speech", "result"


@dataclass(frozen=True)
class Facts:
    """What was made of what.

    Attributes:
        report: of the whole result.
        source_sha256: of the source video's file, in hexadecimal.
        speech_sha256: of each file whose sound the result has.
        consent: what the caller told of it.
        self_made: whether the signer's certificate is LipServe's own.
    """

    report: Report
    source_sha256: str
    speech_sha256: tuple[str, ...]
    consent: Consent | None = None
    self_made: bool = False


def definition(facts: Facts) -> dict[str, Any]:
    """Return the manifest of a result: the source is its parent, the speech a component."""
    actions = [
        {"action": "c2pa.opened", "parameters": {"ingredientIds": [SOURCE]}},
        _edited(facts),
    ]
    if facts.report.invisible_mark is not None:
        actions.append(_marked(facts.report.invisible_mark))
    if facts.speech_sha256:
        actions.append({"action": "c2pa.placed", "parameters": {"ingredientIds": list(speeches(facts))}})
    assertions = [_assertion(ACTIONS, {"actions": actions})]
    if facts.consent is not None:
        assertions.append(_assertion(CONSENT, facts.consent.model_dump(mode="json", exclude_none=True)))
    return _manifest(assertions, facts.self_made)


def speeches(facts: Facts) -> tuple[str, ...]:
    """Return the labels of the speeches: speech, speech2, ..."""
    return tuple(f"{SPEECH}{n if n > 1 else ''}" for n in range(1, 1 + len(facts.speech_sha256)))


def passed_on(self_made: bool) -> dict[str, Any]:
    """Return the manifest of a result that somebody else has signed, and that is given on unchanged."""
    actions = [
        {"action": "c2pa.opened", "parameters": {"ingredientIds": [RESULT]}},
        {"action": "c2pa.published", "softwareAgent": _agent()},
    ]
    return _manifest([_assertion(ACTIONS, {"actions": actions})], self_made)


def ingredient(label: str) -> dict[str, Any]:
    """Return one of the files that a result was made of, without its name, which may tell of its owner."""
    title = {SOURCE: "source video", RESULT: "signed result"}.get(label, "speech")
    relationship = "componentOf" if label.startswith(SPEECH) else "parentOf"
    return {"title": title, "relationship": relationship, "label": label}


def _edited(facts: Facts) -> dict[str, Any]:
    report = facts.report
    made = (
        {
            "action": "c2pa.edited",
            "digitalSourceType": COMPOSITE,
            "description": "The mouths of driven faces were made to follow the speech.",
        }
        if report.faces
        else {
            "action": "c2pa.transcoded",
            "description": "No face was driven: the pictures are the source's.",
        }
    )
    action: dict[str, Any] = {
        **made,
        "softwareAgent": _agent(),
        "parameters": {
            "ingredientIds": [SOURCE],
            f"{NAMESPACE}.tier": report.tier,
            f"{NAMESPACE}.weights": report.weights,
            f"{NAMESPACE}.frames": report.frames,
            f"{NAMESPACE}.fps": report.fps,
            f"{NAMESPACE}.source_sha256": facts.source_sha256,
            f"{NAMESPACE}.speech_sha256": list(facts.speech_sha256),
        },
    }
    if report.driven:
        ranges = [{"type": "frame", "frame": {"start": first, "end": last}} for first, last in report.driven]
        action["changes"] = [{"name": "driven frames", "region": ranges}]
    return action


def _marked(number: str) -> dict[str, Any]:
    return {
        "action": "c2pa.watermarked.unbound",
        "description": "The skin around driven mouths carries a number that is not seen.",
        "softwareAgent": _agent(),
        "parameters": {f"{NAMESPACE}.invisible_mark": number},
    }


def _manifest(assertions: list[dict[str, Any]], self_made: bool) -> dict[str, Any]:
    generator = {**_agent(), **({f"{NAMESPACE}.certificate": SELF_MADE} if self_made else {})}
    return {
        "claim_generator_info": [generator],
        "title": "lip-synced video",
        "format": "video/mp4",
        "assertions": assertions,
    }


def _assertion(label: str, data: dict[str, Any]) -> dict[str, Any]:
    # C2PA 2 tells what the signer's tool made from what others only hand in, as the caller's word of consent.
    return {"label": label, "data": data, "created": label == ACTIONS}


def _agent() -> dict[str, str]:
    return {"name": "LipServe", "version": importlib.metadata.version("lipserve")}
