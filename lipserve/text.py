"""Untrusted text, made safe to print."""

from __future__ import annotations

import unicodedata

_HIDDEN = frozenset(
    {"Cc", "Cf", "Cs", "Zl", "Zp"}
)  # control, format, half of a pair, breaks of lines, paragraphs
_KEPT = frozenset("\n\t\u200c\u200d")  # the joiners belong to the spelling of some scripts


def printable(text: str) -> str:
    """Return a text without what a terminal would act on, or would show in another order than it is.

    Control characters (so no escape sequence begins), invisible formatting such as a change of direction, and
    code points that no encoding can write are left out.
    """
    if text.isprintable():
        return text
    return "".join(c for c in text if c in _KEPT or unicodedata.category(c) not in _HIDDEN)


def counted(count: int, what: str) -> str:
    """Return a number of things in words: 1 frame, 2 frames, 0 frames."""
    return f"{count} {what}{'' if count == 1 else 's'}"
