"""The hub: one assembled application, with its settings, plugins, catalogue and routes.

It decides who carries what, and calls the lifecycle hooks around it. It carries nothing itself:
the bus runs handlers, transports move messages. It belongs to no event loop.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import attrs

from vectis.core import loader
from vectis.core.absence import way_to_a_transport
from vectis.core.assembly import assemble, choose, not_assembled, not_yet
from vectis.core.blocking import background, refuse_inside_loop, run_here
from vectis.core.bulk import publish_many
from vectis.core.catalogue import Catalogue
from vectis.core.emission import called_by_emit, prepare
from vectis.core.events.event import Event
from vectis.core.exceptions import PluginError, TransportError
from vectis.core.forks import ForkSafeLock
from vectis.core.lifecycle import Lifecycle
from vectis.core.marks import subscription
from vectis.core.publication import Publication
from vectis.core.routing import Routing
from vectis.core.settings import Config, ConsumerSettings, HubSettings, PluginsSettings
from vectis.core.starting import Once
from vectis.core.subscription import APP, DEFAULT_PRIORITY
from vectis.core.subscriptions import Subscriptions
from vectis.core.trial import note

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence
    from types import TracebackType

    from vectis.core.composer import Key
    from vectis.core.emission import Send
    from vectis.core.marks import Mark
    from vectis.core.message import Receipt
    from vectis.core.outcome import HandlerFailure, Outcome
    from vectis.core.plugins import Plugin
    from vectis.core.subscription import Handler, Subscription
    from vectis.core.transport import Consumer

__all__ = ["Hub"]

T = TypeVar("T")

_BOUND = 1024  # event types kept prepared; types come from code, this only stops a leak


class Hub:
    """One assembled application: discovers plugins, emits events, publishes messages.

    The functions of `vectis.core.events` use one default hub. Make your own for tests, for several
    in one process, and in frameworks.

    Args:
        config: A `Config`, a mapping of tables, or None to find the file and read the environment.
        plugins: Further plugins by name: modules, classes or objects.
        discover: Whether installed plugins are looked for.
        observers: Objects with lifecycle hooks of the program's own. They are no plugins: the
            config neither lists nor disables them.

    Attributes:
        member: Which of several workers with the same config this process is, from 1; None when no
            supervisor has started it. For what must not be the same in two of them.

    Raises:
        ConfigError: A setting of Vectis's own tables cannot be used.
        PluginError: `[plugins] require` names a plugin that is missing or broken, or a hook of an
            observer does not fit.

    Example:
        >>> import asyncio
        >>> from vectis.core import Event, Hub
        >>> async def main():
        ...     async with Hub({"bus": {"budget_ms": 50}}) as hub:
        ...         hub.subscribe("order.*", lambda event: print(event.data["order_id"]))
        ...         await hub.emit(Event("order.created", {"order_id": 7}))
        >>> asyncio.run(main())
        7
    """

    def __init__(
        self,
        config: Config | Mapping[str, Mapping[str, Any]] | None = None,
        *,
        plugins: Mapping[str, Any] | None = None,
        discover: bool = True,
        observers: Iterable[object] = (),
    ) -> None:
        self._lock = ForkSafeLock()
        self._in_background = False  # whether producers may be open on that loop
        self._sends: dict[str, Send] = {}
        self.member: int | None = None
        self.owner = APP  # while a plugin registers, its name
        self.config = _config(config)
        self.hub_settings = self.config.table("hub", HubSettings)
        self.consumer_settings = self.config.table("consumer", ConsumerSettings)
        settings = self.config.table("plugins", PluginsSettings)
        self.topics = self.config.topics()
        self.catalogue = Catalogue()
        self.plugins = choose(
            self.config, self.hub_settings, settings, plugins or {}, look=discover
        )
        self.manager = loader.plugin_manager()
        self.routing = Routing(self, self.manager, self.hub_settings.transport)
        self._placed = Subscriptions(self.config, self.routing, self._changed, self._lock)
        self.publication = Publication(self)
        self.startup = Once(not_assembled)
        assemble(self, settings)
        loader.add_observers(observers, self.manager)
        self.lifecycle = Lifecycle(self.manager, settings.fail_open)
        # A plugin with a shutdown hook alone needs the start as well: without it nothing ends.
        self._starts = self.lifecycle.implemented("vectis_startup", "vectis_shutdown")
        self.startup = Once(lambda: self.lifecycle.start(self), done=not self._starts)

    # ------------------------------------------------------------ plugins

    def settings(self, plugin: str) -> Any:
        """Return the settings of a plugin, an instance of the class its `vectis_settings` returned.

        Raises:
            PluginError: No such plugin is loaded, or it has no settings.
        """
        for known in self.plugins:
            if known.name == plugin and known.settings is not None:
                return known.settings
        raise PluginError(f"there are no settings of a plugin {plugin!r}; see `vectis plugins`")

    def unavailable(self, plugin: Plugin) -> str | None:
        """Say why a plugin cannot do its work: quarantined, disabled, or by its own account."""
        if plugin.state != "loaded":
            return plugin.reason
        reason: str | None = loader.call_own(self.manager, plugin, "vectis_unavailable", self)
        return reason

    # ------------------------------------------------------------ subscriptions

    @property
    def subscriptions(self) -> tuple[Subscription, ...]:
        """Every subscription, in the order made; those the operator disabled included."""
        return tuple(self._placed)

    def subscribe(
        self,
        pattern: str | type,
        handler: Handler,
        *,
        priority: int = DEFAULT_PRIORITY,
        once: bool = False,
        timeout: float | None = None,
        required: bool = False,
    ) -> Subscription:
        """Run a handler inside every emit of a matching event.

        Args:
            pattern: An event type, a pattern such as `order.*`, or an event class for its type.
            handler: Called with the event, or with an instance of the event class that annotates
                its parameter; `async def` or plain.
            priority: Lower runs earlier, ties in subscription order.
            once: Run for the first matching event only.
            timeout: Seconds after which it is cancelled and counts as failed.
            required: Its error is the emitter's.

        Returns:
            The subscription, for `unsubscribe`.

        Raises:
            SubscriptionError: The pattern is none, or the handler cannot be called with an event.
        """
        made = subscription(
            "process",
            pattern,
            handler,
            plugin=self.owner,
            priority=priority,
            once=once,
            timeout=timeout,
            required=required,
        )
        return self.place(made)

    def on_event(
        self,
        event_type: str | type,
        handler: Handler,
        *,
        topic: str | None = None,
        batch: int | None = None,
    ) -> Subscription:
        """Let the worker call a handler with the type and payload of every delivery of a type.

        Args:
            event_type: The event type, or the event class of it.
            handler: Called with the event type and the payload, or with what annotates its only
                parameter, an event class or `Delivery`; `async def` or plain.
            topic: The topic it arrives on, when neither the catalogue nor `[topics]` says so.
            batch: Call it with a list of up to so many payloads instead, each of another key.
        """
        return self.place(
            subscription(
                "service", event_type, handler, plugin=self.owner, topic=topic, batch=batch
            )
        )

    def adopt(self, handler: Handler, mark: Mark) -> None:
        """Subscribe a marked function of the application; a plugin's own is the plugin's."""
        owner = self._owner_of(handler)
        known = self._placed.knows(handler, mark)
        if not known and (owner is None or owner.state == "loaded"):
            self.place(mark.subscription(handler, owner.name if owner else APP))

    def take(self, made: Subscription) -> Subscription:
        """Take a subscription made on `event_bus`; one of a plugin's function is the plugin's.

        Returns:
            The subscription as it is in force; of a plugin that is not loaded, nothing is.
        """
        owner = self._owner_of(made.handler)
        if owner is not None:
            made = attrs.evolve(made, plugin=owner.name)
            if owner.state != "loaded":
                return made
        return self.place(made)

    def _owner_of(self, handler: Handler) -> Plugin | None:
        module = getattr(handler, "__module__", None)
        return next((plugin for plugin in self.plugins if plugin.owns(module)), None)

    def place(self, made: Subscription) -> Subscription:
        """Take a subscription that was made elsewhere, and let the operator's config have its say.

        Returns:
            The subscription as it is in force.
        """
        placed = self._placed.place(made)
        note(lambda: self._placed.remove(placed))
        return placed

    def unsubscribe(self, subscription: Subscription | str, handler: Handler | None = None) -> bool:
        """Stop a subscription: `unsubscribe(subscription)` or `unsubscribe(pattern, handler)`.

        An emit that is under way still runs the handlers that it began with.

        Returns:
            False when there was no such subscription any more.
        """
        return self._placed.remove(subscription, handler)

    def _changed(self) -> None:
        # A new dict rather than clear(): an emit in another thread may be reading the old one.
        self._sends = {}
        self.routing.forget()

    # ------------------------------------------------------------ emit

    def emit(self, event: Event) -> Coroutine[Any, Any, Outcome]:
        """Run every matching handler, in priority order, before this returns.

        Args:
            event: What happened.

        Returns:
            The outcome, once awaited: who ran, what failed, who was skipped.

        Raises:
            TypeError: What was given is no event.
            EventCancelled: A guard or a handler stopped the event.
            HookError: A guard failed, so nothing was done.
            EmitLoopError: Handlers emit in a circle; the chain is shown.
            TransportError: Handlers are subscribed and no bus plugin is there to run them.
            Exception: What a `required` handler raised.
        """
        # The hot path: one look-up, and the bus's own coroutine.
        try:
            send = self._sends[event.type]
        except KeyError:
            pass  # what is wrong is told without it
        except AttributeError:
            raise _no_event(event) from None
        else:
            return send(event)
        return self._prepare(event.type)(event)

    def _prepare(self, event_type: str) -> Send:
        if not self.startup.done:
            return self._start_then_emit
        with self._lock:
            send = prepare(self, event_type)
            if len(self._sends) >= _BOUND:
                self._sends = {}
            self._sends[event_type] = send
        return send

    async def _start_then_emit(self, event: Event) -> Outcome:
        await self.startup()
        return await prepare(self, event.type)(event)

    _start_then_emit.__qualname__ = "event_bus.emit"  # for whoever forgets to await

    def emit_sync(self, event: Event) -> Outcome:
        """Emit without an event loop; handlers run in the calling thread. Otherwise as `emit`.

        Raises:
            RuntimeError: The calling thread runs an event loop: await `emit` there.
        """
        refuse_inside_loop("emit")
        if not isinstance(event, Event):
            raise _no_event(event)
        if not hasattr(self, "lifecycle"):
            raise not_yet()
        functions, needs_loop = called_by_emit(self, event.type)
        return run_here(lambda: self.emit(event), functions, needs_loop=needs_loop)

    async def handler_failed(self, failure: HandlerFailure) -> None:
        """Tell `vectis_handler_error`; called by a bus, and raises an endless loop of emits."""
        await self.lifecycle.observe("vectis_handler_error", {"failure": failure, "hub": self})

    # ------------------------------------------------------------ publish and consume

    async def publish(
        self,
        topic: str,
        event_type: str,
        payload: dict[str, Any],
        key: Key = None,
        *,
        event_id: str | None = None,
        source: str | None = None,
        user_id: Any = None,
        version: int | None = None,
    ) -> Receipt | None:
        """Hand an event to the transport between processes, and return when it is stored.

        Args:
            topic: The topic's name.
            event_type: The event type.
            payload: The event's data: what JSON can hold, and Decimal, UUID and datetime.
            key: What the order is kept for; None for no order.
            event_id: Makes a retry the same event; a new UUID unless given.
            source: Who says so; `[hub] source` unless given.
            user_id: On whose behalf.
            version: Which version of the type the payload is of; the newest one that is known here
                unless given.

        Returns:
            The receipt, or None when nobody configured a transport, or aiokafka is missing: an
            application runs in development without a broker. `[plugins] require` makes it an error.

        Raises:
            EncodeError: The payload is not JSON; the path inside it is named.
            PublishError: It was not acknowledged, or the transport that is configured cannot be
                used; `fate` tells what is known.
            HookError: A guard failed, so nothing was sent.
        """
        # Encoded first: what production would refuse is refused in development too.
        message, event_id = self.publication.composer.new_message(
            topic, event_type, payload, key, event_id, source, user_id, version
        )
        return await self.publication.carry(message, event_id)

    async def publish_many(
        self, topic: str, events: Iterable[Mapping[str, Any]]
    ) -> list[Receipt] | None:
        """Publish many events to one topic, in the order given, a thousand at a time.

        When none of a thousand is acknowledged, or one cannot be written, those after it are not
        sent; those that an iterator still holds stay in it.

        Args:
            topic: The topic's name.
            events: Mappings with `event_type` and `payload`, and if wanted `key`, `event_id`,
                `source`, `user_id` and `version`, as in `publish`; any number, also from a
                generator.

        Returns:
            One receipt for each, or None when no transport is available.

        Raises:
            PublishError: Some were not acknowledged, or the iterable failed when something had been
                sent; `results` has a receipt or an error for each that was taken from it, and for
                each of a list.
        """
        if isinstance(events, Mapping | str | bytes) or not isinstance(events, Iterable):
            raise TypeError(
                "publish_many takes a list of mappings, such as "
                '[{"event_type": "order.created", "payload": {...}}], '
                f"not a {type(events).__name__}"
            )
        return await publish_many(self.publication, topic, events)

    def publish_sync(self, *args: Any, **kwargs: Any) -> Receipt | None:
        """Publish without an event loop; takes, returns and raises what `publish` does.

        Raises:
            RuntimeError: The calling thread runs an event loop: await `publish` there. Or Python is
                ending and starts no thread any more.
        """
        refuse_inside_loop("publish")
        return self.run_in_background(self.publish(*args, **kwargs))

    def run_in_background(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the background loop; what it opens there is closed with the rest."""
        self._in_background = True
        return background.run(coroutine)

    def consumer(self, topics: Sequence[str], group: str | None) -> tuple[str, Consumer]:
        """Return the transport's name and its consumer for these topics.

        Args:
            topics: The topics to read.
            group: The consumer group; None for a reader, which belongs to none.

        Raises:
            TransportError: No transport is configured.
        """
        offered = self.routing.consumer(topics, group)
        if offered is None:
            raise TransportError(
                f"no transport offers to consume {', '.join(topics)}: {way_to_a_transport(self)}"
            )
        return offered

    # ------------------------------------------------------------ start and end

    async def close_producers(self) -> None:
        """Flush and close producers; the next publish opens them anew."""
        if self._in_background:
            await background.also(self.publication.close)
        else:
            await self.publication.close()

    async def shutdown(self) -> None:
        """Run the shutdown hooks and close producers. A hub that is used again starts again.

        A start that is under way is waited for; two calls at once run the hooks once.
        """
        try:
            if self._starts:
                # First, so that a last message of a hook does not leave a producer open.
                await self.startup.undo(
                    lambda: self.lifecycle.observe("vectis_shutdown", {"hub": self})
                )
                self._changed()
        finally:
            await self.close_producers()

    async def __aenter__(self) -> Hub:
        await self.startup()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.shutdown()


def _config(given: Config | Mapping[str, Mapping[str, Any]] | None) -> Config:
    if given is None:
        return Config.load()
    return given if isinstance(given, Config) else Config.of(given)


def _no_event(given: object) -> TypeError:
    return TypeError(
        f"emit takes an Event, not {type(given).__name__}: write emit(Event(type=..., data=...))"
    )
