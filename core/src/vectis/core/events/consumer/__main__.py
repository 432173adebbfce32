"""The worker as a process: `vectis consume`, under the name that applications know."""

import sys

from vectis.core.cli import main

raise SystemExit(main(["consume", *sys.argv[1:]]))
