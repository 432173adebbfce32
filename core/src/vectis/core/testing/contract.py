"""The contract of a transport as a class of tests: subclass it, and pass.

A transport that passes can stand under the hub and the worker. It needs pytest, and nothing else of
Vectis runs: the tests talk to the transport itself. What a transport need not be able to do is a
flag of `Features`; everything else is not optional.
"""

from __future__ import annotations

import sys

import pytest

_PARTS = ("crash", "groups", "life", "publishing", "readers", "reading", "tools")
_MODULES = [f"vectis.core.testing._contract_{part}" for part in _PARTS]
# A failing assertion then shows its values, as in a test file.
pytest.register_assert_rewrite(*(name for name in _MODULES if name not in sys.modules))

from vectis.core.testing._contract_groups import GroupContract  # noqa: E402 - after the line above
from vectis.core.testing._contract_life import LifeContract  # noqa: E402
from vectis.core.testing._contract_publishing import PublishingContract  # noqa: E402
from vectis.core.testing._contract_readers import ReaderContract  # noqa: E402
from vectis.core.testing._contract_reading import ReadingContract  # noqa: E402
from vectis.core.testing._contract_tools import (  # noqa: E402
    Features,
    Member,
    Transport,
    close,
    publish,
    until_shared,
)

__all__ = [
    "Features",
    "Member",
    "Transport",
    "TransportContract",
    "close",
    "publish",
    "until_shared",
]


class TransportContract(
    PublishingContract, ReadingContract, ReaderContract, GroupContract, LifeContract
):
    """The tests. Override `transport`, and say in `features` what yours can do.

    Topics and groups have names of their own in every test, so a broker that keeps them is fine.

    Example:
        >>> from vectis.core.testing import MemoryTransport
        >>> from vectis.core.testing.contract import TransportContract
        >>> class TestMemory(TransportContract):
        ...     def transport(self, folder):
        ...         return MemoryTransport()
        >>> TestMemory().test_two_runs_of_the_event_loop_one_after_the_other(None)
    """
