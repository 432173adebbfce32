"""Whether a plugin behaves as its host may expect: checked in processes of their own.

`vectis plugins check NAME` and `vectis.core.testing.conformance` show what `check_plugin` finds.
What the loader refuses anyway, and quarantines a plugin for, is found here as well, by the loader.
"""

from __future__ import annotations

from vectis.core.conformance.checking import check_plugin
from vectis.core.conformance.findings import RULES, Finding, Rule

__all__ = ["RULES", "Finding", "Rule", "check_plugin"]
