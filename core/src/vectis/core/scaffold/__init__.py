"""`vectis new-plugin`: a complete distribution with one of everything, whose tests pass as it is.

The files are templates in this package, filled in by `string.Template`; nothing is fetched.
"""

from __future__ import annotations

from vectis.core.scaffold.naming import Names
from vectis.core.scaffold.writing import NEEDS, new_plugin

__all__ = ["NEEDS", "Names", "new_plugin"]
