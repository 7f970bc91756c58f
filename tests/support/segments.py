"""Clips in more segments than they would have."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lipserve.tiers import TIERS, Tier


def shorten(patch: pytest.MonkeyPatch, tier: Tier, **length: float) -> None:
    """Let the client cut a tier's clips into segments of `seconds` or `frames`."""
    patch.setitem(TIERS, tier.name, replace(tier, segment=replace(tier.segment, **length)))
