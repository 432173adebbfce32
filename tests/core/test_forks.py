"""A fork leaves threads behind in the parent; the child makes its own.

Each test starts a new process and lets that one fork.
"""

from __future__ import annotations

import os
import subprocess
import sys
from textwrap import dedent

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")

PRELUDE = """
import asyncio, logging, os, sys, time, warnings
warnings.filterwarnings("ignore", message=".*use of fork.*")  # what this is about
from vectis.core import Event, Hub, event_bus
from vectis.core.default import use_hub
from vectis.core.events import publish_sync, shutdown_producer
from vectis.core.testing import MemoryTransport
from vectis_bus import Bus

def hub(**tables):
    made = Hub(tables, plugins={"bus": Bus, "memory": MemoryTransport()}, discover=False)
    use_hub(made)
    return made

def in_child(call):
    child = os.fork()
    if child == 0:
        try:
            call()
        except BaseException:
            import traceback
            traceback.print_exc()
            os._exit(1)
        sys.stdout.flush()
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
"""


def run(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", dedent(PRELUDE) + dedent(code)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_child_emits_with_the_hub_of_its_parent() -> None:
    out = run(
        """
        hub()
        event_bus.subscribe("a", lambda event: print(event.data["where"], flush=True))
        event_bus.emit_sync(Event("a", {"where": "parent"}))
        in_child(lambda: event_bus.emit_sync(Event("a", {"where": "child"})))
        event_bus.emit_sync(Event("a", {"where": "parent"}))
        """
    )
    assert out.split() == ["parent", "child", "parent"]


def test_a_child_publishes_on_a_background_loop_of_its_own() -> None:
    out = run(
        """
        hub()
        print(publish_sync("t", "a", {}, "7").offset, flush=True)
        def child():
            print(publish_sync("t", "a", {}, "7").offset, flush=True)
            shutdown_producer()
        in_child(child)
        print(publish_sync("t", "a", {}, "7").offset)
        shutdown_producer()
        """
    )
    assert out.split() == ["0", "1", "1"]


def test_a_child_has_a_watchdog_of_its_own_that_catches_a_blocking_handler() -> None:
    out = run(
        """
        import threading
        caught = threading.Event()

        class Catch(logging.Handler):
            def emit(self, record):
                if "blocks the event loop" in record.getMessage():
                    caught.set()

        logging.getLogger("vectis.bus").addHandler(Catch())
        hub(bus={"budget_ms": 20})

        async def blocks(event):
            caught.wait(30)  # until it is caught in the act

        event_bus.subscribe("block", blocks)
        event_bus.subscribe("a", print)
        asyncio.run(event_bus.emit(Event("a")))  # the parent's thread runs

        def child():
            assert not caught.is_set()
            asyncio.run(event_bus.emit(Event("block")))
            assert caught.is_set()
            print("caught", flush=True)
        in_child(child)
        """
    )
    assert "caught" in out


def test_a_child_goes_on_while_another_thread_of_its_parent_held_the_locks() -> None:
    out = run(
        """
        import threading
        from vectis.core import hookimpl
        inside, leave = threading.Event(), threading.Event()

        class Slow:  # makes other threads hold the locks of hub, registry and default hub
            @hookimpl
            def vectis_subscribe(self, route):
                if route.name == "slow" and os.getpid() == parent:
                    inside.set()
                    leave.wait(30)

        parent = os.getpid()
        made = Hub({}, plugins={"bus": Bus, "slow": Slow()}, discover=False)
        event_bus.subscribe("slow", print)
        thread = threading.Thread(target=use_hub, args=[made])
        thread.start()
        inside.wait(30)

        def child():
            use_hub(made)
            event_bus.subscribe("a", lambda event: print("handled", flush=True))
            event_bus.emit_sync(Event("a"))
        in_child(child)
        leave.set()
        thread.join()
        """
    )
    assert out.split() == ["handled"]


def test_a_child_starts_the_hub_that_another_thread_of_its_parent_was_starting() -> None:
    out = run(
        """
        import threading
        from vectis.core import hookimpl
        inside, leave = threading.Event(), threading.Event()

        class Slow:
            @hookimpl
            def vectis_startup(self):
                if os.getpid() == parent:
                    inside.set()
                    leave.wait(30)
                else:
                    print("started", flush=True)

        parent = os.getpid()
        made = Hub({}, plugins={"bus": Bus, "slow": Slow()}, discover=False)
        thread = threading.Thread(target=made.emit_sync, args=[Event("a")])
        thread.start()
        inside.wait(30)
        in_child(lambda: made.emit_sync(Event("a")))
        leave.set()
        thread.join()
        """
    )
    assert out.split() == ["started"]


def test_a_hook_that_forks_keeps_the_lock_that_its_own_thread_holds() -> None:
    out = run(
        """
        from vectis.core import hookimpl

        class Forks:
            @hookimpl
            def vectis_subscribe(self, route):
                if route.name == "forks":
                    self.child = os.fork()

        forks = Forks()
        made = Hub({}, plugins={"bus": Bus, "forks": forks}, discover=False)
        made.subscribe("forks", lambda event: os.write(1, b"%d\\n" % (not forks.child)))
        made.emit_sync(Event("forks"))
        if forks.child:
            assert os.waitstatus_to_exitcode(os.waitpid(forks.child, 0)[1]) == 0
        """
    )
    assert sorted(out.split()) == ["0", "1"]  # the parent and its child


def test_what_a_gone_object_asked_for_is_not_called_in_a_child() -> None:
    out = run(
        """
        import gc
        from vectis.core.forks import after_fork

        class Counts:
            def __init__(self, name):
                self.name = name
                after_fork(self.say)

            def say(self):
                print(self.name, flush=True)

        kept, dropped = Counts("kept"), Counts("dropped")
        del dropped
        gc.collect()
        in_child(lambda: None)
        """
    )
    assert out.split() == ["kept"]
