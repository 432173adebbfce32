"""The worker as people run it: a process, a module with handlers, a real SQLite file, signals."""

from __future__ import annotations

import os
import signal
import sqlite3
from collections import Counter, defaultdict
from typing import TYPE_CHECKING

import pytest

from tests.core.worker_world import keys_of
from tests.system.workers import NEEDS_UVLOOP, ORDERS, refused

if TYPE_CHECKING:
    from tests.system.workers import Place


def test_the_documents_handlers_get_what_another_process_published_in_order_per_key(
    place: Place,
) -> None:
    place.module(
        """
        @on_event("order.created")
        async def handle_order_created(event_type: str, payload: dict) -> None:
            record(event_type, payload["key"], payload["n"])

        @on_event("inventory.adjusted")
        async def handle_inventory_adjusted(event_type: str, payload: dict) -> None:
            record(event_type, payload["key"], payload["n"])
        """
    )
    worker = place.start()  # before the file and the topics exist
    worker.until_said(
        "consuming vectis.inventory, vectis.orders as group shop through sqlite "
        f"(SQLite file {(place.folder / 'events.db').resolve()})"
    )
    events = [{"key": f"key-{n % 7}", "n": n} for n in range(100)]
    place.publish(*events)
    place.publish(*events, topic="vectis.inventory", type="inventory.adjusted")
    place.until_handled(200)
    assert worker.stop() == 0
    order = defaultdict(list)
    for line in place.handled():
        event_type, key, n = line.split()
        order[event_type, key].append(int(n))
    assert len(order) == 14
    assert all(numbers == sorted(set(numbers)) for numbers in order.values())
    assert worker.report == "200 handled, 0 skipped, 0 dead letters, 0 retries"


def test_after_sigkill_nothing_is_lost_and_only_the_uncommitted_comes_again(place: Place) -> None:
    place.config(lease=0.5)
    place.module(
        """
        @on_event("order.created")
        async def handle(event_type: str, payload: dict) -> None:
            await asyncio.sleep(0.002)
            record(payload["n"])
        """
    )
    receipts = place.publish(*[{"key": f"key-{n % 13}", "n": n} for n in range(500)])
    worker = place.start()
    place.until_handled(150)
    place.until(lambda: sum(place.committed().values()) > 0, "for a commit")
    worker.signal(signal.SIGKILL)
    worker.end()
    before = [int(line) for line in place.handled()]
    committed = place.committed()
    assert len(before) < 500, "killed in the middle"

    again = place.start()
    place.until(lambda: sum(place.committed().values()) == 500, "for the rest")
    assert again.stop() == 0
    after = [int(line) for line in place.handled()][len(before) :]
    open_at_kill = [
        n for n, at in enumerate(receipts) if at.offset >= committed.get(at.partition, 0)
    ]
    assert set(before) | set(after) == set(range(500))
    assert set(range(500)) - set(open_at_kill) <= set(before), "committed means finished"
    assert sorted(after) == open_at_kill, "exactly what was not committed came again"
    for handled in (before, after):
        by_key = defaultdict(list)
        for n in handled:
            by_key[n % 13].append(n)
        assert all(numbers == sorted(numbers) for numbers in by_key.values())


@pytest.mark.parametrize("event_loop", ["asyncio", pytest.param("uvloop", marks=NEEDS_UVLOOP)])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_finishes_the_delivery_in_hand_and_exits_with_0(
    place: Place, number: signal.Signals, event_loop: str
) -> None:
    place.config(event_loop=f'"{event_loop}"')
    place.module(
        """
        @on_event("order.created")
        async def handle(event_type: str, payload: dict) -> None:
            record("begun", payload["n"])
            while not pathlib.Path("go").exists():
                await asyncio.sleep(0.01)
            record("done", payload["n"])
        """
    )
    place.publish({"n": 1}, {"n": 2})
    worker = place.start()
    place.until_handled(1)
    worker.signal(number)
    worker.until_said("finishing what is in hand")
    (place.folder / "go").touch()
    assert worker.end() == 0
    assert place.handled() == ["begun 1", "done 1"]
    assert worker.report == "1 handled, 0 skipped, 0 dead letters, 0 retries"
    assert sum(place.committed().values()) == 1


ENDLESS = {
    "async": """
        @on_event("order.created")
        async def endless(event_type: str, payload: dict) -> None:
            record("begun")
            await asyncio.sleep(3600)
        """,
    "swallowing its cancellation": """
        @on_event("order.created")
        async def endless(event_type: str, payload: dict) -> None:
            record("begun")
            while True:
                try:
                    await asyncio.sleep(3600)
                except asyncio.CancelledError:
                    pass
        """,
    "in a thread": """
        @on_event("order.created")
        def endless(event_type: str, payload: dict) -> None:
            record("begun")
            time.sleep(3600)
        """,
}


@pytest.mark.parametrize("source", ENDLESS.values(), ids=ENDLESS.keys())
def test_a_handler_longer_than_the_shutdown_timeout_is_named_and_the_exit_code_is_1(
    place: Place, source: str
) -> None:
    place.config(shutdown_timeout=0.2)
    place.module(source)
    (receipt,) = place.publish({"n": 1})
    worker = place.start()
    place.until_handled(1)
    assert worker.stop() == 1
    where = f"vectis.orders/{receipt.partition}@0"
    assert f"abandoned, it will come again: app:endless at {where}" in worker.report
    assert place.committed() == {}


def test_a_handler_that_blocks_the_event_loop_cannot_hold_the_process(place: Place) -> None:
    place.config(shutdown_timeout=0)
    place.module(
        """
        @on_event("order.created")
        async def blocks(event_type: str, payload: dict) -> None:
            record("begun")
            time.sleep(3600)
        """
    )
    place.publish({"n": 1})
    worker = place.start()
    place.until_handled(1)
    assert worker.stop() == 1
    assert "does not come to an end because of app:blocks at vectis.orders/" in worker.said()


HANGS = """
        @on_event("order.created")
        def hangs(event_type: str, payload: dict) -> None:
            record(os.getpid(), payload["n"])
            while not pathlib.Path(f"let {os.getpid()} finish {payload['n']}").exists():
                time.sleep(0.01)
        """


def test_a_handler_that_was_cut_off_earlier_and_hangs_in_its_thread_does_not_hold_the_process(
    place: Place,
) -> None:
    place.config(shutdown_timeout=0.2)
    place.module(HANGS)
    keys = [next(keys_of(partition, of=8)) for partition in (0, 7)]
    place.publish(*[{"key": key, "n": n} for n, key in enumerate(keys)])
    first = place.start()
    place.until_handled(2)
    second = place.start()
    first.until_said("cut off with the partition")
    place.until_handled(3)
    moved = int(place.handled()[2].split()[1])
    (place.folder / f"let {second.process.pid} finish {moved}").touch()
    (place.folder / f"let {first.process.pid} finish {1 - moved}").touch()
    place.until(lambda: sum(place.committed().values()) == 2, "for both to be committed")
    assert first.stop() == 1
    assert first.report == (
        "1 handled, 0 skipped, 0 dead letters, 0 retries, 1 overlapping with another member"
    )
    where = f"vectis.orders/{7 * moved}@0"
    assert f"something that was cut off still runs: app:hangs at {where}\n" in first.said()
    assert second.stop() == 0


def test_a_worker_that_ends_by_an_error_is_not_held_by_a_handler_that_hangs_in_its_thread(
    place: Place,
) -> None:
    place.config(shutdown_timeout=0.2)
    place.module(
        HANGS
        + """
        from vectis_sqlite import SqliteTransport

        make = SqliteTransport.consumer

        def consumer(self, *arguments):
            made = make(self, *arguments)
            fetch = made.fetch

            async def broken(**options):
                if pathlib.Path("handled.log").stat().st_size:
                    raise RuntimeError("a mistake in the transport")
                return await fetch(**options)

            made.fetch = broken
            return made

        SqliteTransport.consumer = consumer
        """
    )
    place.publish({"n": 1})
    worker = place.start()
    worker.may_end = True
    assert worker.end() == 1
    assert "RuntimeError: a mistake in the transport" in worker.said()
    assert "leaves while something that was cut off still runs: app:hangs at " in worker.said()


def test_a_thread_of_the_applications_own_does_not_hold_the_process_for_ever(place: Place) -> None:
    place.config(shutdown_timeout=0)
    place.module(
        ORDERS
        + """
import threading
threading.Thread(target=time.sleep, args=(3600,), name="reports").start()
"""
    )
    worker = place.start()
    worker.until_said("assigned ")
    assert worker.stop() == 1
    assert worker.report == "0 handled, 0 skipped, 0 dead letters, 0 retries"
    assert "because of something other than a handler, perhaps one of the threads reports" in (
        worker.said()
    )


def test_a_second_signal_leaves_at_once(place: Place) -> None:
    place.module(ENDLESS["async"])
    place.publish({"n": 1})
    worker = place.start()
    place.until_handled(1)
    worker.signal(signal.SIGTERM)
    worker.until_said("once more leaves at once")

    def gone() -> bool:
        worker.signal(signal.SIGTERM)
        return worker.process.poll() is not None

    place.until(gone, "for it to leave")
    assert worker.end() == 128 + signal.SIGTERM
    assert worker.report == ""
    assert "left at once; what is not committed comes again" in worker.said()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.parametrize("plain", [False, True], ids=["async", "in a thread"])
def test_a_signal_to_a_process_that_a_handler_forked_ends_that_process(
    place: Place, plain: bool
) -> None:
    place.module(
        f"""
        import multiprocessing, signal, warnings
        warnings.filterwarnings("ignore", message=".*use of fork.*")
        forking = multiprocessing.get_context("fork")

        @on_event("order.created")
        {"" if plain else "async "}def forks(event_type: str, payload: dict) -> None:
            theirs, ours = forking.Pipe(duplex=False)
            child = forking.Process(target=wait, args=(ours,))
            child.start()
            record("Ctrl-C as usual:", theirs.recv())
            child.terminate()
            child.join()
            record("exit code", child.exitcode)

        def wait(begun):
            begun.send(signal.getsignal(signal.SIGINT) is signal.default_int_handler)
            time.sleep(3600)
        """
    )
    place.publish({"n": 1})
    worker = place.start()
    place.until_handled(2)
    place.until(lambda: sum(place.committed().values()) == 1, "for the commit")
    assert place.handled() == ["Ctrl-C as usual: True", f"exit code {-signal.SIGTERM}"]
    assert "finishing what is in hand" not in worker.said()
    assert worker.stop() == 0


def test_signals_that_arrive_together_are_one_signal(place: Place) -> None:
    place.module(ORDERS)
    worker = place.start()
    worker.until_said("assigned ")
    worker.signal(signal.SIGTERM)
    worker.signal(signal.SIGINT)
    assert worker.end() == 0
    assert worker.report == "0 handled, 0 skipped, 0 dead letters, 0 retries"


def test_a_wait_for_the_next_attempt_ends_at_once_and_the_delivery_comes_again(
    place: Place,
) -> None:
    place.config(retry_initial=3600, retry_max=3600)
    place.module(
        """
        @on_event("order.created")
        async def handle(event_type: str, payload: dict) -> None:
            record(payload["n"])
            if not pathlib.Path("healed").exists():
                raise ValueError("not yet")
        """
    )
    place.publish({"n": 1})
    worker = place.start()
    worker.until_said("attempt 1, will retry: ValueError: not yet")
    assert worker.stop() == 0
    assert worker.report == "0 handled, 0 skipped, 0 dead letters, 1 retry"
    (place.folder / "healed").touch()
    again = place.start()
    place.until_handled(2)
    assert again.stop() == 0
    assert place.handled() == ["1", "1"]


def test_an_idle_worker_ends_at_once(place: Place) -> None:
    place.module(ORDERS)
    worker = place.start()
    worker.until_said("assigned ")
    assert worker.stop() == 0
    assert worker.report == "0 handled, 0 skipped, 0 dead letters, 0 retries"


def test_two_workers_of_one_group_share_the_partitions(place: Place) -> None:
    place.module(
        """
        @on_event("order.created")
        async def handle(event_type: str, payload: dict) -> None:
            record(os.getpid(), payload["n"])
        """
    )
    first, second = place.start(), place.start()
    for worker in (first, second):
        worker.until_said("assigned ")
    published = 0

    def both_work() -> bool:
        nonlocal published
        place.publish(*[{"key": str(n), "n": published + n} for n in range(40)])
        published += 40
        return len({line.split()[0] for line in place.handled()}) == 2

    place.until(both_work, "for both to have something to do")
    place.until(lambda: sum(place.committed().values()) == published, "for the rest")
    assert first.stop() == second.stop() == 0
    counts = Counter(int(line.split()[1]) for line in place.handled())
    assert set(counts) == set(range(published))
    assert set(counts.values()) == {1}


def test_a_dead_letter_that_the_locked_file_does_not_take_is_written_later(place: Place) -> None:
    place.module(
        """
        @on_event("order.created")
        async def handle(event_type: str, payload: dict) -> None:
            record(payload["n"])
            while not pathlib.Path("go").exists():
                await asyncio.sleep(0.01)
        """
    )
    place.publish({"n": 1})
    place.put(b"\xff\xfe")
    place.publish({"n": 3})
    worker = place.start()
    place.until_handled(1)
    lock = sqlite3.connect(place.folder / "events.db", isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    (place.folder / "go").touch()
    worker.until_said("its dead letter cannot be written to vectis.orders.dlq")
    worker.until_said("progress is not committed, trying again")
    assert place.handled()[-1] == "1"
    lock.execute("ROLLBACK")
    lock.close()
    place.until(lambda: place.handled()[-1] == "3", "for the delivery behind")
    place.until(lambda: sum(place.committed().values()) == 3, "for the commit")
    assert worker.stop() == 0
    (letters,) = [t for t in place.transport().describe_topics() if t.name == "vectis.orders.dlq"]
    assert letters.records >= 1


# ---------------------------------------------------------------- it cannot start


def test_handlers_are_found_in_the_config_as_well(place: Place) -> None:
    place.config(modules='["shop_handlers"]')
    place.module(ORDERS)
    place.module(ORDERS.replace("record(", "record('more', "), "more_handlers")
    place.publish({"n": 1})
    worker = place.start("more_handlers")
    place.until_handled(2)
    assert worker.stop() == 0
    assert sorted(place.handled()) == ["1", "more 1"]


def test_handlers_of_plugins_are_found(place: Place) -> None:
    distribution = place.folder / "site" / "acme-1.dist-info"
    distribution.mkdir(parents=True)
    (distribution / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1\n")
    (distribution / "entry_points.txt").write_text("[vectis.plugins]\nacme = acme_handlers\n")
    place.module(ORDERS, "site/acme_handlers")
    place.publish({"n": 1})
    worker = place.start("--quiet")
    place.until_handled(1)
    assert worker.stop() == 0


def test_without_handlers_it_says_how_to_name_them(place: Place) -> None:
    refused(
        place.run(), "no @on_event handler was found", "vectis consume shop.handlers", "modules ="
    )


@pytest.mark.parametrize(
    ("source", "cause"),
    [
        ("import no_such_library", "ModuleNotFoundError: No module named 'no_such_library'"),
        ("raise SystemExit(0)", "SystemExit: 0"),
        ("def broken(:", "SyntaxError: invalid syntax"),
        (
            "@on_event('order.created')\nasync def handle(payload): pass",
            "cannot be called with (event_type, payload)",
        ),
    ],
    ids=["a missing library", "it exits", "a syntax error", "a wrong signature"],
)
def test_a_module_that_does_not_import_is_named_with_the_cause(
    place: Place, source: str, cause: str
) -> None:
    place.module(source)
    refused(place.run("shop_handlers"), "module 'shop_handlers' cannot be imported", cause)


def test_a_module_that_is_not_there_is_named_with_where_it_was_looked_for(place: Place) -> None:
    refused(place.run("shop.handlers"), "'shop.handlers'", f"looked for in {place.folder}")


def test_a_file_given_instead_of_a_module_gets_the_right_name(place: Place) -> None:
    place.module(ORDERS)
    refused(place.run("shop_handlers.py"), "instead of its file: shop_handlers")
    refused(place.run("shop/handlers.py"), "instead of its file: shop.handlers")
    refused(place.run("./shop_handlers.py"), "instead of its file: shop_handlers")
    refused(place.run(str(place.folder / "shop_handlers.py")), "instead of its file: shop_handlers")


def test_a_module_that_does_not_import_is_named_with_its_line(place: Place) -> None:
    (place.folder / "shop_handlers.py").write_text("\n\nimport nothing_there\n")
    refused(place.run("shop_handlers"), "nothing_there", "(at shop_handlers.py:3)")


def test_a_type_without_a_topic_names_all_three_places(place: Place) -> None:
    place.module(ORDERS.replace("order.created", "order.unheard_of"))
    refused(place.run("shop_handlers"), "@on_event(", "[topics]", "@event_type(")


def test_without_a_transport_it_says_how_to_get_one(place: Place) -> None:
    place.module(ORDERS)
    answer = place.run("shop_handlers", VECTIS_PLUGINS_DISABLE="sqlite")
    refused(answer, "no transport offers to consume", "[sqlite] path", "[redpanda]")


def test_a_file_that_is_no_database_is_named(place: Place) -> None:
    place.module(ORDERS)
    (place.folder / "events.db").write_bytes(b"these are not the bytes of a database" * 100)
    refused(place.run("shop_handlers"), "events.db")


def test_a_broken_plugin_is_named_unless_it_is_tolerated(place: Place) -> None:
    place.module(ORDERS)
    place.publish({"n": 1})
    answer = place.run("shop_handlers", VECTIS_SQLITE_PARTITIONS="many")
    refused(answer, "sqlite", "VECTIS_SQLITE_PARTITIONS", "tolerate")


def test_a_wrong_setting_is_named_with_file_and_key(place: Place) -> None:
    place.config(max_attempts=0)
    refused(place.run("shop_handlers"), "vectis.toml", "max_attempts")


def test_help_and_a_wrong_option(place: Place) -> None:
    answer = place.run("--help")
    assert answer.returncode == 0
    assert "MODULES" in answer.stdout
    refused(place.run("--no-such-option"), "No such option")
