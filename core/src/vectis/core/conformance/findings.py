"""What a check of a plugin finds: the rules, and one finding for each breach of them."""

from __future__ import annotations

from typing import Literal

import attrs

from vectis.core.redact import ended

__all__ = ["RULES", "Finding", "Rule", "not_checked"]

Rule = Literal["import", "hooks", "settings", "handlers", "shutdown"]

RULES: dict[Rule, str] = {
    "import": "importing it does nothing but define things",
    "hooks": "it loads, and its hooks are ones that are called",
    "settings": "its docstring tells every key of its settings",
    "handlers": "its handlers keep within the budget",
    "shutdown": "nothing is left behind after shutdown",
}
"""Every rule in words, in the order in which they are checked."""


@attrs.frozen
class Finding:
    """One thing that was found.

    Args:
        rule: Which rule it is about.
        text: What is wrong, and where; or what could not be checked.
        advice: What to do about it.
        fault: False for what could not be checked or is only good to know.
    """

    rule: Rule
    text: str
    advice: str
    fault: bool = True

    def __str__(self) -> str:
        return f"{self.rule}: {ended(self.text)} {self.advice}"


def not_checked(rule: Rule) -> Finding:
    """Return that nothing is known about a rule, because the plugin could not be loaded or used."""
    text = "this could not be checked, because of what is said of its loading and its hooks"
    return Finding(rule, text, "Mend that, and check again", fault=False)
