"""`python -m lipserve_cli`: the command `lipserve`, of this very Python."""

import sys

from lipserve_cli.main import main

sys.exit(main())
