"""The tiers that are evaluated: those that need no GPU."""

from __future__ import annotations

from lipserve.tiers import LIPWARP, WAV2LIP

JUDGED = (WAV2LIP, LIPWARP)
"""In the order of tables and sheets."""

TIERS = tuple(tier.name for tier in JUDGED)

GIVEN = WAV2LIP
"""The tier whose generator a user's checkpoint may take the place of."""
