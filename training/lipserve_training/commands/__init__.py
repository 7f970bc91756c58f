"""The commands of `lipserve train`, a module each: `add` tells the parser of it, `run` carries it out."""

from __future__ import annotations

import argparse
from typing import TypeAlias

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
