"""Finds handlers over the budget, and handlers that block the event loop while they block it.

The ticker's thread keeps a coarse clock, `now`, so that a handler costs a comparison instead of a
clock read. When it ticked during a handler, that handler is judged. The clock is parked after a
second, by setting `now` to 0; the next emit wakes it. Code in C that holds the interpreter lock
stops the thread as well: such a handler is named when it returns.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections import Counter
from threading import Lock, get_ident
from time import perf_counter
from typing import TYPE_CHECKING

from vectis.core.forks import after_fork
from vectis.core.heartbeat import Heartbeat, frames_of, text_of_frames
from vectis_bus.ticker import ticker

if TYPE_CHECKING:
    from types import FrameType

    from vectis.core.subscription import Subscription

__all__ = ["DISPATCH", "Watchdog"]

DISPATCH = "<vectis_bus dispatch>"
"""The file name of generated dispatch code: how it is found in a stack."""

logger = logging.getLogger("vectis.bus")

_TICKS = 10  # to a budget: a handler's start is known to a tenth of it
_AWAKE = 1.0  # seconds until the clock is parked again
_QUIET = 60.0  # seconds between two warnings about one handler

_ADVICE = "longer work belongs in a consumer (@on_event) or a workflow"


class Watchdog:
    """Judges handlers by one budget.

    Args:
        budget: Seconds that a handler may take.

    Attributes:
        now: The coarse clock: `perf_counter` seconds at the last tick, 0.0 while parked.
        overruns: How often each handler, by `plugin:name`, took longer than the budget.
    """

    def __init__(self, budget: float) -> None:
        self.budget = budget
        self.overruns: Counter[str] = Counter()
        self._period = budget / _TICKS
        self._stood_still = (0.0, 0.0)
        self._warned: dict[tuple[str, bool], tuple[float, int]] = {}
        self._hearts: dict[int, Heartbeat] = {}
        self._ticks = 0
        self._ticked = self._until = 0.0
        self._stop()
        after_fork(self._stop)

    def _stop(self) -> None:
        # In the child of a fork the thread has stayed in the parent, and so have other loops.
        self.now = 0.0
        self._lock = Lock()
        self._hearts.clear()

    def wake(self) -> float:
        """Let the clock run, and return it; called by the first emit after a pause."""
        self._listen()
        with self._lock:
            now = perf_counter()
            self._start(now)
        ticker.tick(self, self._period)
        return now

    def judge(self, suspects: tuple[Subscription, ...], since: float, *, exact: bool) -> float:
        """Warn when a handler took longer than the budget, and return the coarse clock.

        Args:
            suspects: The handlers that ended since the last tick that was seen; it was the last of
                them, unless the clock itself had stood still.
            since: When it started, in `perf_counter` seconds.
            exact: False when `since` is the coarse clock, up to a tick before the real start.
        """
        took = perf_counter() - since - (0.0 if exact else self._period)
        if took > self.budget:
            began, ended = self._stood_still
            if ended - max(began, since) > self.budget / 2:
                self.judge_stalled(suspects, took)
            else:
                self._over(suspects[-1].id, f"handler {suspects[-1]} took {took * 1000:.0f} ms")
        with self._lock:
            if self.now:
                # The last tick may be long ago: whoever comes next is not to pay for it.
                self.now = now = perf_counter()
                return now
        return self.wake()

    def judge_stalled(self, suspects: tuple[Subscription, ...], took: float) -> None:
        """Warn that one of these handlers, which one is not known, held the interpreter lock."""
        ids = ", ".join(subscription.id for subscription in suspects)
        one = f"handler {suspects[0]}" if len(suspects) == 1 else f"one of the handlers {ids}"
        self._over(ids, f"{one} took {took * 1000:.0f} ms without letting any thread run")

    def _over(self, name: str, what: str) -> None:
        self.overruns[name] += 1
        self._warn(name, what)

    def _warn(self, name: str, what: str, *, stack: str = "") -> None:
        now = perf_counter()
        key = (name, bool(stack))  # a stack tells more than the warning that came before it
        with self._lock:
            last, left_out = self._warned.get(key, (-_QUIET, 0))
            if now - last < _QUIET:
                self._warned[key] = (last, left_out + 1)
                return
            self._warned[key] = (now, 0)
            if stack:
                self._warned[name, False] = (now, 0)  # all has been said
        more = f" ({left_out} more since the last warning)" if left_out else ""
        logger.warning(
            "%s, over the budget of %g ms%s: %s%s", what, self.budget * 1000, more, _ADVICE, stack
        )

    def _listen(self) -> None:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return  # emit_sync without a loop: nothing to block
        if id(loop) not in self._hearts or self._hearts[id(loop)].loop() is not loop:
            self._hearts[id(loop)] = Heartbeat(loop, get_ident())

    def tick(self) -> float | None:
        """Move the clock on and look at the loops; called by the ticker's thread.

        It parks when a second is over and no loop is late, or when every loop is closed.
        """
        now = perf_counter()
        if not self.now:
            return self._look_once_more(now)
        before, self._ticked = self._ticked, now
        self.now = now
        if now - before > self.budget / 2:
            # Not ticking is no evidence against whoever runs now: measure anew.
            self._stood_still = (before, now)
            for heart in list(self._hearts.values()):
                heart.sent = now if heart.sent is not None else None
        if self._ticks % _TICKS == 0:
            self._find_loops()
        self._ticks += 1
        had_loops = bool(self._hearts)
        late = self._look_at_loops(now)
        if (now > self._until and not late) or (had_loops and not self._hearts):
            self.park()
            return self.budget + self._period
        return self._period

    def park(self) -> None:
        """Stop the clock; the next emit wakes it."""
        with self._lock:
            self.now = 0.0

    def _look_once_more(self, now: float) -> float | None:
        # An emit that began just before the clock was parked did not wake it.
        found = self._find_loops()
        if not self._look_at_loops(now) and not found:
            return None
        with self._lock:
            self._start(now)
        return self._period

    def _start(self, now: float) -> None:
        if not self.now:
            self._ticked, self._until, self._ticks = now, now + _AWAKE, 0
        self.now = now

    def _find_loops(self) -> bool:
        """Listen to loops that run an emit and did not wake the clock, as it was awake already."""
        known = {heart.thread for heart in self._hearts.values()}
        found = False
        for thread, top in sys._current_frames().items():
            frame: FrameType | None = None if thread in known else top
            emits = False
            while frame is not None:
                emits = emits or self._is_mine(frame)
                if emits and frame.f_code.co_name == "run_forever":
                    loop = frame.f_locals.get("self")
                    if isinstance(loop, asyncio.AbstractEventLoop):
                        self._hearts[id(loop)] = Heartbeat(loop, thread)
                        found = True
                frame = frame.f_back
        return found

    def _look_at_loops(self, now: float) -> bool:
        """Beat every heart, report the blocked loops, and tell whether any answer is due."""
        due = False
        for key, heart in list(self._hearts.items()):
            sent = heart.sent
            if sent is not None:
                due = True
                if now - sent > self.budget and not heart.reported:
                    heart.reported = self._report_blocked(heart.thread, now)
            if not heart.beat(now):
                self._hearts.pop(key, None)
        return due

    def _report_blocked(self, thread: int, now: float) -> bool:
        """Name the handler that blocks a thread's loop; False when it is not a single one."""
        frames = frames_of(thread)
        for place, frame in enumerate(frames):
            # Many short emits in a row block a loop as well: only a handler that has been running
            # for the whole time is to blame.
            if place and self._is_mine(frame) and "seen" in frame.f_locals:
                since = max(frame.f_locals["seen"], frame.f_locals["outcome"].started)
                if now - since - self._period > self.budget:
                    self._blame(frame.f_globals["plan"], frames[:place], now - since)
                    return True
        return False

    def _is_mine(self, frame: FrameType) -> bool:
        """Tell whether a frame is an emit of this watchdog's bus; other hubs have their own."""
        return frame.f_code.co_filename == DISPATCH and frame.f_globals.get("watchdog") is self

    def _blame(self, plan: tuple[Subscription, ...], inside: list[FrameType], took: float) -> None:
        codes = [frame.f_code for frame in inside]
        blocking = [s for s in plan if getattr(s.handler, "__code__", None) in codes]
        name = blocking[0].id if blocking else inside[-1].f_code.co_qualname
        self._warn(
            name,
            f"handler {name} blocks the event loop for {took * 1000:.0f} ms now",
            stack=f"\n{text_of_frames(inside)}",
        )
