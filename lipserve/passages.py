"""Stretches of a clip's time of which something is to be told: merged, and put into words."""

from __future__ import annotations


def clock(seconds: float) -> str:
    """Return a time as people say it, to the second: 0:12, 1:02:03."""
    whole = max(0, round(seconds))
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"


def between(begin: float, end: float) -> str:
    """Return a stretch of time in words: "0:03 to 0:07"; "at 0:03" where it is shorter than a second."""
    return f"at {clock(begin)}" if clock(begin) == clock(end) else f"{clock(begin)} to {clock(end)}"
