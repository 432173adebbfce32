"""The checks of a plugin as tests: subclass `PluginConformance` and name the plugin.

Needs pytest's ways of finding tests and nothing of pytest itself; the plugin has to be installed,
`pip install -e .` is enough. What is checked, and how, is `vectis.core.conformance`'s.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from vectis.core.conformance import check_plugin

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vectis.core.conformance import Finding, Rule

__all__ = ["PluginConformance"]


class PluginConformance:
    """Tests that an installed plugin conforms, one for each rule.

    Attributes:
        plugin: The plugin's name, as its entry point is called.
        config: Tables of the config that it needs to work.
        call: Whether its handlers are called with made-up events of their event classes; they do
            then what they do.
        budget: Seconds that a handler on the bus may take, and that one of the worker may keep the
            event loop from everything else.

    Example:
        >>> from vectis.core.testing.conformance import PluginConformance
        >>> class TestTheBus(PluginConformance):
        ...     plugin = "bus"
        >>> TestTheBus().test_its_hooks_are_ones_that_are_called()
    """

    plugin: ClassVar[str]
    config: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    call: ClassVar[bool] = True
    budget: ClassVar[float] = 0.1
    _found: ClassVar[tuple[Finding, ...] | None] = None

    def test_importing_it_does_nothing_but_define_things(self) -> None:
        """Neither output nor threads, files, network or changes of the process."""
        self._check("import")

    def test_its_hooks_are_ones_that_are_called(self) -> None:
        """It loads, and no function only looks like a hook."""
        self._check("hooks")

    def test_its_docstring_tells_every_key_of_its_settings(self) -> None:
        """Every key stands below `Args:`."""
        self._check("settings")

    def test_its_handlers_keep_within_the_budget(self) -> None:
        """As far as they can be called."""
        self._check("handlers")

    def test_nothing_is_left_behind_after_shutdown(self) -> None:
        """No task, thread, file or socket."""
        self._check("shutdown")

    def _check(self, rule: Rule) -> None:
        cls = type(self)
        if cls._found is None:  # two processes for all of the tests, and not for each
            cls._found = check_plugin(
                cls.plugin, config=cls.config, call=cls.call, budget=cls.budget
            )
        faults = [str(found) for found in cls._found if found.rule == rule and found.fault]
        if faults:
            raise AssertionError(
                "\n".join([f"the plugin {cls.plugin!r} does not conform:", *faults])
            )
