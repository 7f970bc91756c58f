"""Write the Grafana dashboards of the chart, or list the stale ones.

python -m observe.dashboards [--check]
"""

from __future__ import annotations

import sys
from pathlib import Path

from observe.autoscaling import AUTOSCALING
from observe.clients import CLIENTS
from observe.gpu import GPU
from observe.jobs import JOBS
from observe.overview import OVERVIEW
from observe.stages import STAGES

FOLDER = Path(__file__).resolve().parents[1] / "helm/lipserve/files/dashboards"
DASHBOARDS = (OVERVIEW, GPU, STAGES, AUTOSCALING, CLIENTS, JOBS)


def main(arguments: list[str]) -> int:
    """Return 1 where `--check` finds a file that is not what the code gives."""
    if arguments not in ([], ["--check"]):
        print(__doc__)
        return 2
    made = {FOLDER / f"{board.uid}.json": board.to_json() for board in DASHBOARDS}
    held = {path: path.read_text() for path in FOLDER.glob("*.json")}
    if arguments:
        stale = sorted(path.name for path in made.keys() | held.keys() if made.get(path) != held.get(path))
        if stale:
            print(f"Stale: {', '.join(stale)}. Run `python -m observe.dashboards`.")
        return int(bool(stale))
    FOLDER.mkdir(parents=True, exist_ok=True)
    for path in held.keys() - made.keys():
        path.unlink()
    for path, text in made.items():
        path.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
