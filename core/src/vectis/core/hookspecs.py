"""The whole contract between Vectis and its plugins: every hook, on this one page.

A plugin implements any of these with `from vectis.core import hookimpl`. It asks only for the
arguments that it needs, by name. Three kinds of hook:

Assembly
    Called once while the hub is put together, in plain code. `async def` is refused. An
    implementation that raises quarantines its own plugin, and everything else goes on.
Transport
    Asked for an offer, in plain code, never once an event. `async def` is refused. Making an offer
    does no I/O; None declines. One offer wins; several for one route are an error unless
    `[hub] transport` picks one by its plugin's name.
Lifecycle
    Sync or async. *Guards* fail closed: an error stops the operation and names the plugin, unless
    `[plugins] fail_open` lists it. *Observers* cannot stop anything: an error is isolated, logged
    and counted. A lifecycle hook that nobody implements costs nothing.

`added` above a hook says which version brought it, and `deprecated` would say what is on its way
out: nothing is simply taken away or renamed, see `vectis.core.hookhistory`.

Within one hook the order of calls is pluggy's: the plugin registered last comes first, `tryfirst`
and `trylast` move it; only `vectis_startup` begins with the one registered first. Wrappers
(`wrapper=True`, `hookwrapper=True`) would see coroutines instead of results and are refused; the
`around` hooks are there for that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pluggy

from vectis.core.hookhistory import added

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractAsyncContextManager

    from vectis.core.catalogue import Catalogue
    from vectis.core.dead_letter import DeadLetter
    from vectis.core.events import Event
    from vectis.core.hub import Hub
    from vectis.core.message import Delivery, Message, Receipt
    from vectis.core.outcome import DeliveryOutcome, HandlerFailure, Outcome
    from vectis.core.subscription import Subscription
    from vectis.core.transport import Carrier, Consumer, Route
    from vectis.core.worker.status import WorkerStatus

__all__ = ["ASSEMBLY", "GUARDS", "LIFECYCLE", "TRANSPORT", "hookimpl", "hookspec"]

hookspec = pluggy.HookspecMarker("vectis")
hookimpl = pluggy.HookimplMarker("vectis")


# ---------------------------------------------------------------- assembly


@added("0.1.0")
@hookspec
def vectis_settings() -> type | None:
    """Return the attrs class of this plugin's table in the config.

    The table has the plugin's name. Every attribute is a key and has one environment variable
    `VECTIS_<TABLE>_<KEY>`. The settings are then at `hub.settings("<plugin>")`.
    """


@added("0.1.0")
@hookspec
def vectis_register_events(catalogue: Catalogue) -> None:
    """Add event classes to the catalogue, with `catalogue.register(OrderCreated)`."""


@added("0.1.0")
@hookspec
def vectis_register_handlers(hub: Hub) -> None:
    """Subscribe handlers that a mark cannot express, such as ones that depend on settings.

    Plain ones are simpler with `@handles` and `@on_event`, which are collected without this hook.
    """


@added("0.1.0")
@hookspec
def vectis_unavailable(hub: Hub) -> str | None:
    """Say why this plugin cannot do its work as configured, such as `aiokafka is not installed`.

    None when it can. `vectis doctor` shows it, and `[plugins] require` makes it a start-up error.
    It may look at files, and connects to nothing.
    """


# ---------------------------------------------------------------- transport


@added("0.1.0")
@hookspec
def vectis_subscribe(
    route: Route, subscription: Subscription, hub: Hub
) -> Callable[[], None] | None:
    """Take a subscription over and return the callable that undoes it, or None to decline."""


@added("0.1.0")
@hookspec
def vectis_emit(route: Route, hub: Hub) -> Carrier | None:
    """Offer a carrier for a route, or None to decline.

    Scope `process`: its `send` takes an event to the handlers and returns the outcome.
    Scope `service`: its `send` takes a message to the topic `route.name` and returns the receipt.
    """


@added("0.1.0")
@hookspec
def vectis_consume(topics: Sequence[str], group: str | None, hub: Hub) -> Consumer | None:
    """Offer a consumer that reads these topics as a member of the group, or None to decline.

    With the group None a *reader* is asked for: it belongs to no group, holds every partition of
    the topics, and cannot commit.
    """


# ---------------------------------------------------------------- lifecycle


@added("0.1.0")
@hookspec
def vectis_startup(hub: Hub) -> None:
    """Guard. The hub starts: before its first emit, publish or delivery. Open what you need."""


@added("0.1.0")
@hookspec
def vectis_before_emit(event: Event, hub: Hub) -> Event | None:
    """Guard. An event is about to be emitted: no handler has run yet.

    Raise `EventCancelled` to veto it without any side effect, return an event to replace it (the
    next guard sees the new one), or return None to let it pass.
    """


@added("0.1.0")
@hookspec
def vectis_around_emit(event: Event, hub: Hub) -> AbstractAsyncContextManager[Any]:
    """Guard on entry. Return an async context manager to hold around the handlers.

    It sees their error on exit, and cannot swallow it.
    """


@added("0.1.0")
@hookspec
def vectis_after_emit(event: Event, outcome: Outcome, hub: Hub) -> None:
    """Observer. An emit ended, also a cancelled one: `outcome.status` tells."""


@added("0.1.0")
@hookspec
def vectis_handler_error(failure: HandlerFailure, hub: Hub) -> None:
    """Observer. A handler failed, on the bus or in the worker; `failure.will_retry` tells."""


@added("0.1.0")
@hookspec
def vectis_before_publish(message: Message, hub: Hub) -> Message | None:
    """Guard. A message is about to leave: it is not sent yet.

    Raise `EventCancelled` to veto it, return a message to replace it (the next guard sees the new
    one), or return None to let it pass. The publisher of a vetoed one gets a `HookError`.
    """


@added("0.1.0")
@hookspec
def vectis_around_publish(message: Message, hub: Hub) -> AbstractAsyncContextManager[Any]:
    """Guard on entry. Return an async context manager to hold around the sending."""


@added("0.1.0")
@hookspec
def vectis_after_publish(
    message: Message, receipt: Receipt | None, error: BaseException | None, hub: Hub
) -> None:
    """Observer. A message was acknowledged (`receipt`) or not (`error`).

    When a guard stopped it, `error` is a `HookError`, whose `plugin` and `veto` tell who and
    whether on purpose.
    """


@added("0.1.0")
@hookspec
def vectis_around_consume(
    delivery: Delivery, subscription: Subscription, hub: Hub
) -> AbstractAsyncContextManager[Any]:
    """Guard on entry. Return an async context manager to hold around one attempt of one handler."""


@added("0.1.0")
@hookspec
def vectis_after_consume(delivery: Delivery, outcome: DeliveryOutcome, hub: Hub) -> None:
    """Observer. A delivery is finished: handled, skipped, or set aside as a dead letter."""


@added("0.1.0")
@hookspec
def vectis_dead_letter(letter: DeadLetter, hub: Hub) -> None:
    """Observer. A dead letter was written, durably."""


@added("0.1.0")
@hookspec
def vectis_worker_status(status: WorkerStatus, hub: Hub) -> None:
    """Observer. What the worker is doing, about every second and once at its end."""


@added("0.1.0")
@hookspec
def vectis_shutdown(hub: Hub) -> None:
    """Observer. The hub closes: after its last delivery. Close what you opened."""


ASSEMBLY = (
    "vectis_settings",
    "vectis_register_events",
    "vectis_register_handlers",
    "vectis_unavailable",
)
TRANSPORT = ("vectis_subscribe", "vectis_emit", "vectis_consume")
LIFECYCLE = (
    "vectis_startup",
    "vectis_before_emit",
    "vectis_around_emit",
    "vectis_after_emit",
    "vectis_handler_error",
    "vectis_before_publish",
    "vectis_around_publish",
    "vectis_after_publish",
    "vectis_around_consume",
    "vectis_after_consume",
    "vectis_dead_letter",
    "vectis_worker_status",
    "vectis_shutdown",
)
GUARDS = frozenset(
    {
        "vectis_startup",
        "vectis_before_emit",
        "vectis_around_emit",
        "vectis_before_publish",
        "vectis_around_publish",
        "vectis_around_consume",
    }
)
