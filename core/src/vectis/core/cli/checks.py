"""What `vectis doctor` checks, one function a question.

Each yields what it found, with what to do about it. None of them stores anything, and only the
transport in use is connected to; it may look at a file of its own.
"""

from __future__ import annotations

import asyncio
import os
import platform
from typing import TYPE_CHECKING, Literal

import attrs

from vectis.core import loader
from vectis.core.absence import configured_transport
from vectis.core.cli.added import added_commands
from vectis.core.cli.application import assemble, import_modules
from vectis.core.cli.group import BUILT_IN
from vectis.core.default import use_hub
from vectis.core.exceptions import TransportError, VectisError
from vectis.core.fitting import CORE
from vectis.core.places import place
from vectis.core.plugins import unknown_names
from vectis.core.safemode import HUB, default_distributions, uninstalled
from vectis.core.settings import PluginsSettings
from vectis.core.topics import topics_in_use, topics_of_handler, unread
from vectis.core.transport import Route

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence

    from vectis.core.hub import Hub
    from vectis.core.plugins import Plugin
    from vectis.core.routing import Offer
    from vectis.core.transport import Finding

__all__ = ["Check", "Status", "examine"]

Status = Literal["ok", "warn", "fail"]

_PACKAGES = ("vectis-core", "attrs", "cattrs", "click", "orjson", "pluggy", "rich")


@attrs.frozen
class Check:
    """What one question came to.

    Args:
        name: What was looked at.
        status: `ok`, `warn` or `fail`.
        message: What was found.
        remedy: What to do; empty when there is nothing to do.
    """

    name: str
    status: Status
    message: str
    remedy: str = ""


def examine(modules: Sequence[str]) -> list[Check]:
    """Look at everything, and go on after what fails.

    Args:
        modules: Imported for their handlers, besides those of `[consumer] modules`.
    """
    checks = list(_environment())
    try:
        assembled = assemble()
    except VectisError as error:
        remedy = "mend the config; the other checks need it"
        return [*checks, Check("config", "fail", str(error), remedy), *_commands()]
    hub = assembled.hub
    before = use_hub(hub)
    try:
        checks += _config(hub)
        checks += (_plugin(hub, plugin) for plugin in hub.plugins)
        for name in uninstalled(hub.plugins):
            missing = f"{HUB} requires it, and it is not installed"
            checks.append(Check(f"plugin of {name}", "warn", missing, f"pip install {name}"))
        if not hub.plugins:
            checks.append(Check("plugins", "warn", "none are installed", "pip install vectis-hub"))
        if assembled.problem is not None:
            remedy = "no hub starts until it is mended or taken from [plugins] require"
            checks.append(Check("require", "fail", str(assembled.problem), remedy))
        checks += _modules((*hub.consumer_settings.modules, *modules))
        for question in _QUESTIONS:
            checks += question(hub)
    finally:
        use_hub(before)
    return [*checks, *_commands()]


def _environment() -> Iterator[Check]:
    from importlib_metadata import version

    system = (
        f"{platform.python_implementation()} {platform.python_version()} on {platform.system()}"
    )
    yield Check("python", "ok", system)
    packages = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
    yield Check("packages", "ok", packages)


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
        remedy = (
            f'mend, uninstall or disable it ([plugins] disable = ["{plugin.name}"]); '
            "until then no worker starts"
        )
        tolerated = plugin.name in hub.consumer_settings.tolerate
        return Check(
            name,
            "warn" if tolerated else "fail",
            f"quarantined: {plugin.reason}" + f" (at {where})" * bool(where),
            "" if tolerated else remedy,
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
            yield Check(f"module {module}", "fail", str(error), remedy)
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
            f"none is enabled, so every emit raises: {', '.join(waiting[:3])} wait for one",
            _get_bus(hub),
        )
    else:
        yield Check("bus", "warn", "none is enabled: emit does nothing", _get_bus(hub))


def _get_bus(hub: Hub) -> str:
    for plugin in hub.plugins:
        if plugin.distribution == "vectis-bus" and plugin.state == "disabled":
            return f"`vectis plugins enable {plugin.name}`: it is {plugin.reason}"
    return "pip install vectis-bus, or another bus"


def _transport(hub: Hub) -> Iterator[Check]:
    chosen = hub.hub_settings.transport
    why = (
        f"chosen by {hub.config.origin('hub', 'transport')}"
        if chosen and not hub.routing.chose_a_bus
        else "the only one that offers"
    )
    route = Route("service", _some_topic(hub))
    try:
        offer = hub.routing.offer(route)
    except TransportError as error:
        yield Check("transport", "fail", str(error), "publishing raises until this is settled")
        return
    if offer is not None:
        said = f": {offer.carrier.describe}" if offer.carrier.describe else ""
        yield Check("transport", "ok", f"{offer.plugin}, {why}{said}")
        for plugin in hub.plugins:
            if plugin.name == offer.plugin and (problem := _reason(hub, plugin)):
                remedy = "until then publishing and consuming fail"
                yield Check("transport", "fail", f"{offer.plugin}: {problem}", remedy)
                break
        else:
            yield from _examined(hub, offer)
    elif chosen and not hub.routing.chose_a_bus:
        yield Check(
            "transport",
            "fail",
            f"{chosen}, {why}, does not offer to carry anything",
            "see why below, or choose another one",
        )
    elif problem := configured_transport(hub):
        yield Check("transport", "fail", problem, "until then publishing raises")
    else:
        for plugin in hub.plugins:
            if plugin.state == "disabled" and hub.config.mentions(plugin.name):
                unused = f"{plugin.name} is configured, and {plugin.reason}"
                remedy = f"`vectis plugins enable {plugin.name}`, or remove its settings"
                yield Check("transport", "warn", unused, remedy)
        yield Check(
            "transport",
            "warn",
            "none is available: publish returns None and does nothing, silently",
            'configure one, such as [sqlite] path = "events.db"',
        )
    for plugin in hub.plugins:
        if offer is None or plugin.name != offer.plugin:
            yield from _declined(hub, plugin, route)


def _examined(hub: Hub, offer: Offer) -> Iterator[Check]:
    """Let the transport connect, and yield what it found."""
    if offer.carrier.examine is None:
        return
    try:
        findings = asyncio.run(_found(offer.carrier.examine(topics_in_use(hub))))
    except TransportError as error:
        yield Check("transport", "fail", str(error), "until then publishing and consuming fail")
        return
    for finding in findings:
        yield Check(offer.plugin, finding.status, finding.message, finding.remedy)


async def _found(findings: Awaitable[Sequence[Finding]]) -> Sequence[Finding]:
    return await findings


def _declined(hub: Hub, plugin: Plugin, route: Route) -> Iterator[Check]:
    if plugin.state != "loaded" or "vectis_emit" not in plugin.hooks:
        return
    if hub.routing.is_bus(plugin.name):
        return  # the bus is asked too, and is not meant
    if hub.hub_settings.transport not in (None, plugin.name) and not hub.routing.chose_a_bus:
        yield Check("transport", "ok", f"{plugin.name} stands back for [hub] transport")
        return
    reason = _reason(hub, plugin) or _unset(plugin)
    yield Check("transport", "ok", f"{plugin.name} declined: {reason}")


def _reason(hub: Hub, plugin: Plugin) -> str | None:
    """Return why a plugin cannot do its work, by its own account."""
    try:
        return hub.unavailable(plugin)
    except Exception as error:
        return f"and failed to say why: {type(error).__name__}: {error}"


def _unset(plugin: Plugin) -> str:
    """Return a guess for a transport that does not say why it declines."""
    unset = (
        [
            field.alias or field.name
            for field in attrs.fields(type(plugin.settings))
            if getattr(plugin.settings, field.name) is None
        ]
        if plugin.settings is not None
        else []
    )
    if not unset:
        return "it does not say why"
    return f"it does not say why; not set in [{plugin.name}]: {', '.join(unset)}"


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


def _overrides(hub: Hub) -> Iterator[Check]:
    known = {subscription.id for subscription in hub.subscriptions}
    absent = {plugin.name for plugin in hub.plugins if plugin.state != "loaded"}
    for name in hub.config.handlers():
        if name not in known and name.partition(":")[0] not in absent:
            yield Check(
                "handlers",
                "warn",
                f"{hub.config.origin('handlers', name)}: no handler is called {name!r}",
                "`vectis handlers` lists the names",
            )


_QUESTIONS: tuple[Callable[[Hub], Iterator[Check]], ...] = (
    _bus,
    _transport,
    _topics,
    _group,
    _overrides,
)


def _commands() -> Iterator[Check]:
    for command in added_commands(BUILT_IN):
        if command.refused:
            yield Check(
                f"command {command.name}",
                "warn",
                f"{command.distribution} brings it, and it is left out: {command.refused}",
                "rename it there, or uninstall that distribution",
            )


def _some_topic(hub: Hub) -> str:
    named = [*hub.topics, *(known.topic for known in hub.catalogue if known.topic)]
    return named[0] if named else "vectis.doctor"
