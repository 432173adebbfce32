"""What `vectis doctor` checks, one function a question.

Each yields what it found, with what to do about it. None of them stores anything, and only the
transport in use is connected to; it may look at a file of its own.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from vectis.core import loader
from vectis.core.absence import way_to_a_bus
from vectis.core.cli.added import added_commands
from vectis.core.cli.application import assemble, import_modules
from vectis.core.cli.check import Check, briefly
from vectis.core.cli.group import BUILT_IN
from vectis.core.cli.letter_checks import backlog, letters
from vectis.core.cli.transport_checks import consumed_topics, transport
from vectis.core.cli.version_checks import versions
from vectis.core.default import use_hub
from vectis.core.exceptions import ConfigError, TransportError, VectisError
from vectis.core.fitting import CORE
from vectis.core.letters.scan import dead_letter_topics, known_topics
from vectis.core.misnamed import misnamed
from vectis.core.obtaining import installing
from vectis.core.places import place
from vectis.core.plugins import unknown_names
from vectis.core.safemode import HUB, default_distributions, uninstalled
from vectis.core.settings import PluginsSettings
from vectis.core.topics import topics_of_handler, unread
from vectis.core.transport import Route
from vectis.core.worker.loops import loop_factory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from vectis.core.hub import Hub
    from vectis.core.plugins import Plugin

__all__ = ["examine"]


def examine(modules: Sequence[str]) -> list[Check]:
    """Look at everything, and go on after what fails.

    Args:
        modules: Imported for their handlers, besides those of `[consumer] modules`.
    """
    try:
        assembled = assemble()
    except VectisError as error:
        remedy = f"{error.remedy or 'that first'}: the other checks need the config"
        return [*versions(()), Check("config", "fail", str(error), remedy), *_commands()]
    hub = assembled.hub
    before = use_hub(hub)
    checks = list(versions(hub.plugins))
    try:
        checks += _config(hub)
        checks += (_plugin(hub, plugin) for plugin in hub.plugins)
        for name in uninstalled(hub.plugins):
            missing = f"{HUB} requires it, and it is not installed"
            checks.append(Check(f"plugin of {name}", "warn", missing, installing(name)))
        if not hub.plugins:
            get = installing(*sorted(default_distributions() - {CORE}))
            checks.append(Check("plugins", "warn", "none are installed", get))
        if assembled.problem is not None:
            remedy = "mend that, or take it out of [plugins] require; until then no hub starts"
            checks.append(Check("require", "fail", str(assembled.problem), remedy))
        checks += _modules((*hub.consumer_settings.modules, *modules))
        checks += _bus(hub)
        carrying = list(transport(hub))
        checks += carrying
        for question in _QUESTIONS:
            checks += question(hub)
        if all(check.status != "fail" for check in carrying):
            checks += _standing(hub)
    finally:
        use_hub(before)
    return [*checks, *_commands()]


def _config(hub: Hub) -> Iterator[Check]:
    if hub.config.path is not None:
        by = " (VECTIS_CONFIG)" if os.environ.get("VECTIS_CONFIG") else ""
        yield Check("config", "ok", f"{hub.config.path}{by}")
    else:
        yield Check(
            "config", "ok", "no file: neither vectis.toml nor [tool.vectis] from here upwards"
        )
    if hub.config.safe_mode:
        spared = ", ".join(sorted(default_distributions() - {CORE}))
        yield Check(
            "safe mode",
            "warn",
            f"VECTIS_SAFE_MODE is set: only the default plugins are loaded, those of {spared}",
            "unset it to start as configured; `vectis plugins bisect` finds the plugin at fault",
        )
    for warning in hub.config.warnings(plugin.name for plugin in hub.plugins):
        yield Check("config", "warn", warning, "correct or remove it")
    named = hub.config.table("plugins", PluginsSettings)
    for warning in unknown_names(hub.plugins, hub.config, named, hub.consumer_settings.tolerate):
        yield Check("config", "warn", warning, "correct or remove it")


def _plugin(hub: Hub, plugin: Plugin) -> Check:
    name = f"plugin {plugin}"
    if plugin.state == "disabled":
        return Check(name, "ok", f"{plugin.reason}; it was not imported")
    if plugin.state == "quarantined":
        where = place(plugin.cause, plugin.module) if plugin.cause else ""
        tolerated = plugin.name in hub.consumer_settings.tolerate
        return Check(
            name,
            "warn" if tolerated else "fail",
            "quarantined"
            + ", so no worker starts" * (not tolerated)
            + f": {briefly(plugin.reason)}"
            + f" (at {where})" * bool(where),
            plugin.remedy,
        )
    handlers = sum(subscription.plugin == plugin.name for subscription in hub.subscriptions)
    unmarked = loader.unmarked_hooks(plugin.object)
    if unmarked or not (plugin.hooks or handlers):
        return Check(
            name,
            "warn",
            f"loaded, {plugin.reason}; "
            + (
                f"without @hookimpl, so never called: {', '.join(unmarked)}"
                if unmarked
                else "it has no hooks and no handlers, so it does nothing"
            ),
            "write @hookimpl above them"
            if unmarked
            else "mark functions of the entry point with @handles, @on_event or @hookimpl",
        )
    counts = f"loaded, {plugin.reason}; hooks: {len(plugin.hooks)}, handlers: {handlers}"
    if plugin.outdated:
        remedy = "it works until then; upgrade it, or tell its authors"
        return Check(name, "warn", f"{counts}; {'; '.join(plugin.outdated)}", remedy)
    return Check(name, "ok", counts)


def _modules(modules: Sequence[str]) -> Iterator[Check]:
    for module in modules:
        try:
            import_modules([module])
        except VectisError as error:
            remedy = "mend it, or correct [consumer] modules or --module"
            yield Check(f"module {module}", "fail", briefly(error), remedy)
        else:
            yield Check(f"module {module}", "ok", "imported")


def _bus(hub: Hub) -> Iterator[Check]:
    waiting = [s.id for s in hub.subscriptions if s.scope == "process" and s.enabled]
    try:
        offer = hub.routing.offer(Route("process", "vectis.doctor"))
    except TransportError as error:
        yield Check("bus", "fail", str(error), "until then every emit raises")
        return
    if offer is not None:
        yield Check("bus", "ok", f"{offer.carrier.describe}, by plugin {offer.plugin}")
    elif waiting:
        yield Check(
            "bus",
            "fail",
            f"none is enabled, so every emit raises: {', '.join(waiting[:3])} "
            f"{'waits' if len(waiting) == 1 else 'wait'} for one",
            way_to_a_bus(hub),
        )
    else:
        yield Check("bus", "warn", "none is enabled: emit does nothing", way_to_a_bus(hub))


def _topics(hub: Hub) -> Iterator[Check]:
    consuming = [s for s in hub.subscriptions if s.scope == "service"]
    for warning in unread(hub):
        yield Check("topics", "warn", warning, "add it there, or move the handler elsewhere")
    if not consuming or hub.consumer_settings.topics:
        return
    lost = [s for s in consuming if not topics_of_handler(hub, s)]
    for subscription in lost:
        kind = subscription.pattern
        yield Check(
            "topics",
            "fail",
            f"no topic is known for {kind}, which {subscription.id} handles: no worker starts",
            f'name it in @on_event("{kind}", topic="..."), in [topics] "..." = ["{kind}"], '
            "or in the catalogue of a plugin",
        )
    if not lost:
        topics = {source.topic for s in consuming for source in topics_of_handler(hub, s)}
        yield Check("topics", "ok", f"the worker reads {', '.join(sorted(topics))}")


def _group(hub: Hub) -> Iterator[Check]:
    group = hub.consumer_settings.group
    if group is not None:
        yield Check("consumer group", "ok", f"{group} ({hub.config.origin('consumer', 'group')})")
    elif any(s.scope == "service" for s in hub.subscriptions):
        yield Check(
            "consumer group",
            "warn",
            "not set: no worker starts without one",
            '[consumer] group = "shop", or VECTIS_CONSUMER_GROUP',
        )


def _event_loop(hub: Hub) -> Iterator[Check]:
    try:
        loop_factory(hub.consumer_settings.event_loop)
    except ConfigError as error:
        yield Check("event loop", "fail", str(error))


def _standing(hub: Hub) -> Iterator[Check]:
    group, topics = hub.consumer_settings.group, known_topics(hub)
    if group is None or not topics or hub.routing.for_topic(topics[0]) is None:
        return
    yield from backlog(hub, group, consumed_topics(hub))
    yield from letters(hub, group, dead_letter_topics(topics))


def _overrides(hub: Hub) -> Iterator[Check]:
    for warning in misnamed(hub):
        yield Check("handlers", "warn", warning, "`vectis handlers` lists the names")


def _starting(hub: Hub) -> Iterator[Check]:
    starts = [one.plugin_name for one in hub.lifecycle.implementations("vectis_startup")]
    if starts:
        said = f"vectis_startup of {', '.join(starts)} was not called: nothing is started here"
        yield Check("start-up", "ok", said)


_QUESTIONS: tuple[Callable[[Hub], Iterator[Check]], ...] = (
    _starting,
    _topics,
    _group,
    _event_loop,
    _overrides,
)


def _commands() -> Iterator[Check]:
    for command in added_commands(BUILT_IN):
        if command.refused:
            yield Check(
                f"command {command.name}",
                "warn",
                f"{command.distribution} brings it, and it is left out: {command.refused}",
                f"rename it there, or `pip uninstall {command.distribution.partition(' ')[0]}`",
            )
