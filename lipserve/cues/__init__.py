"""Cues: who speaks what, and when. Several speeches, faces and stretches of one video in one call."""

from lipserve.cues.cue import Cue, CueSheet, Stretch
from lipserve.cues.plan import plan
from lipserve.cues.read import CueSource, read

__all__ = ["Cue", "CueSheet", "CueSource", "Stretch", "plan", "read"]
