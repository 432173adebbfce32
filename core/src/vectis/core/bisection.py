"""Find which of many things make a test fail, in few runs of it.

Nothing here knows of plugins or commands: a test is a function of the things that are present.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

__all__ = ["Culprits", "find"]


@attrs.frozen
class Culprits:
    """What was found; each statement was seen in a run, none is only concluded.

    Args:
        names: With these present, and none of the others, the test fails. When there are several,
            it passes without any one of them.
        others_fail: Whether it fails with all the others as well, so that there are more culprits.
    """

    names: tuple[str, ...]
    others_fail: bool


def find(suspects: Sequence[str], fails: Callable[[Collection[str]], bool]) -> Culprits:
    """Find the culprits among suspects, of which all together fail and none at all passes.

    One culprit takes log2(n) runs and two that make sure; each further one that is needed in
    combination takes log2(n) more. No combination is run twice.

    Args:
        suspects: All of them; the failure is sought in what comes first.
        fails: Tells whether the test fails with these of them present.

    Example:
        >>> from vectis.core.bisection import find
        >>> runs = []
        >>> def fails(present):
        ...     runs.append(present)
        ...     return "f" in present
        >>> find("abcdefgh", fails)
        Culprits(names=('f',), others_fail=False)
        >>> len(runs)
        5
        >>> find("abcdefgh", lambda present: {"b", "g"} <= set(present)).names
        ('b', 'g')
    """
    seen = {frozenset(suspects): True, frozenset[str](): False}

    def failing(present: Collection[str]) -> bool:
        key = frozenset(present)
        if key not in seen:
            seen[key] = fails([name for name in suspects if name in key])
        return seen[key]

    found: list[str] = []
    pool = list(suspects)  # with those found it fails; those found alone pass
    while not failing(found):
        passes, fail = 0, len(pool)
        while fail - passes > 1:
            middle = (passes + fail) // 2
            if failing([*found, *pool[:middle]]):
                fail = middle
            else:
                passes = middle
        found.append(pool[fail - 1])
        del pool[fail - 1 :]
    for name in list(found):
        # One found early may be needless beside those found later, when failures are not additive.
        if len(found) > 1 and failing([other for other in found if other != name]):
            found.remove(name)
    rest = [name for name in suspects if name not in found]
    ordered = tuple(name for name in suspects if name in found)
    return Culprits(ordered, others_fail=bool(rest) and failing(rest))
