"""The record of a person's consent, which travels with a request and into the manifest of its result."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any

from pydantic import AfterValidator, Field, ValidationError

from lipserve.options.fields import Strict, refused
from lipserve.text import printable


def _said(text: str) -> str:
    if not printable(text).strip():
        raise ValueError("it says nothing")
    return printable(text)


_Name = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_said)]
_Purpose = Annotated[str, Field(min_length=1, max_length=1000), AfterValidator(_said)]


FORM = (
    "file with a record of consent, JSON with who, when, purpose and perhaps record; it goes into the "
    "result's manifest"
)


class Consent(Strict):
    """Who allowed the dub, when, and what for. LipServe writes it down and proves nothing of it.

    Attributes:
        who: the person whose face is changed, or who may decide for them.
        when: the day on which they allowed it.
        purpose: what for.
        record: where the consent itself is kept: a number, an address; "" for nowhere.
    """

    who: _Name
    when: date
    purpose: _Purpose
    record: Annotated[str, Field(max_length=500), AfterValidator(printable)] = ""

    def __init__(self, **fields: Any) -> None:
        """Hold the record to its form; OptionsError names the first field that is wrong."""
        try:
            super().__init__(**fields)
        except ValidationError as error:
            raise refused(error, "consent.", f"Give as consent: {FORM}.") from error


TRIAL = Consent(
    who="nobody: a clip of LipServe's own", when=date(2026, 1, 1), purpose="a test of the service"
)
"""The record of clips that LipServe brings itself, for servers that demand one."""
