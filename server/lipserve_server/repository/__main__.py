"""Write the rendered files of model_repository/ into the checkout, or say which are not as they should be.

python -m lipserve_server.repository [--check]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from lipserve_server.repository.models import stale, template, write
from lipserve_server.repository.pbtxt import rendered


def main(arguments: Sequence[str] | None = None) -> int:
    """Write what is stale; with `--check`, only name it, and return 1 where anything is."""
    parser = argparse.ArgumentParser(prog="python -m lipserve_server.repository", description=__doc__)
    parser.add_argument("--check", action="store_true", help="only name the files that would change")
    root, checked = template(), parser.parse_args(arguments).check
    names = stale(root)
    for name in names:
        if checked:
            print(f"model_repository/{name} is not what lipserve/contracts/ says: run `make render`.")
        else:
            write(root / name, rendered()[name].encode())
    return 1 if checked and names else 0


if __name__ == "__main__":
    sys.exit(main())
