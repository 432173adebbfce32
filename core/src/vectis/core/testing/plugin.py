"""The pytest plugin: fixtures for tests of plugins and applications. It comes with core.

pytest imports this module in every run in an environment with core, so it imports nothing but
pytest until a test asks for a fixture. What the fixtures give is in the other modules.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from vectis.core.hub import Hub
    from vectis.core.testing.captured import Captured

__all__ = ["captured", "hub", "make_hub"]


@pytest.fixture
def captured() -> Captured:
    """What the hubs of this test emit, publish and set aside: `vectis.core.testing.Captured`."""
    from vectis.core.testing.captured import Captured

    return Captured()


@pytest.fixture
def make_hub(captured: Captured) -> Iterator[Callable[..., Hub]]:
    """A function that makes isolated hubs, with the arguments of `isolated_hub`.

    The last one made is the default hub until the test ends, so that `event_bus` and
    `publish_event` use it. Handlers that were marked or subscribed outside of the test, in modules
    that are no plugins, are not among its own. Hubs are shut down in the end.
    """
    from vectis.core import marks
    from vectis.core.blocking import run_alone
    from vectis.core.default import use_hub
    from vectis.core.testing.isolated import isolated_hub

    made: list[Hub] = []

    def make(*names: str, observers: tuple[object, ...] = (), **options: Any) -> Hub:
        made.append(isolated_hub(*names, observers=(captured, *observers), **options))
        use_hub(made[-1])
        return made[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(marks, "registry", marks.Registry())
        before = use_hub(None)
        try:
            yield make
            for one in reversed(made):
                run_alone(one.shutdown())
        finally:
            use_hub(None)
    use_hub(before)


@pytest.fixture
def hub(make_hub: Callable[..., Hub]) -> Hub:
    """An isolated hub with the bus, the memory transport and no other plugin."""
    return make_hub()
