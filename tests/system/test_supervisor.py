"""`--processes`: real members that are killed, broken and stopped, and their supervisor."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from datetime import datetime
from typing import TYPE_CHECKING

import pytest

from tests.system.workers import ORDERS, refused

if TYPE_CHECKING:
    from tests.system.workers import Place, Started

TWO = ("--processes", "2", "shop_handlers")

# Works on each order until it is told to go on, and writes down who began and who finished it.
WAITS = """
@on_event("order.created")
async def handle(event_type: str, payload: dict) -> None:
    record("begun", payload["n"], os.getpid())
    while not pathlib.Path("go").exists():
        await asyncio.sleep(0.01)
    record("done", payload["n"], os.getpid())
"""


def pids(worker: Started) -> dict[int, int]:
    """The process of each member, as the supervisor told them last."""
    told = re.findall(r"member (\d+) started as process (\d+)", worker.said())
    return {int(number): int(pid) for number, pid in told}


def of_each(worker: Started, text: str) -> set[str]:
    """The numbers of the members that said this."""
    return set(re.findall(rf"^\[(\d+)\] .*{text}", worker.said(), re.MULTILINE))


def until_assigned(worker: Started) -> None:
    worker.place.until(
        lambda: of_each(worker, " assigned ") == {"1", "2"}, "for both to be assigned something"
    )


def until_both_are_told(worker: Started) -> None:
    told = "the supervisor stops or is gone: finishing what is in hand"
    worker.place.until(lambda: of_each(worker, told) == {"1", "2"}, "for both to be told")


def begun(place: Place) -> list[list[str]]:
    """What members have begun, as number and process."""
    return sorted(line.split()[1:] for line in place.handled() if line.startswith("begun"))


def done(place: Place) -> list[list[str]]:
    """What they have finished."""
    return sorted(line.split()[1:] for line in place.handled() if line.startswith("done"))


def until_both_busy(worker: Started) -> None:
    """Publish until each of two members has something in hand."""
    place, count = worker.place, 0

    def both() -> bool:
        nonlocal count
        place.publish(*[{"key": str(n), "n": n} for n in range(count, count + 8)])
        count += 8
        return len({process for _, process in begun(place)}) == 2

    until_assigned(worker)
    place.until(both, "for both members to have something in hand")


def test_members_share_the_work_and_a_signal_lets_all_of_them_finish(place: Place) -> None:
    place.module(WAITS)
    worker = place.start(*TWO)
    until_both_busy(worker)
    # Ctrl-C on a terminal is a signal to the group in front, and must not end who has just begun.
    assert [os.getpgid(pid) for pid in pids(worker).values()] == [*pids(worker).values()]
    worker.signal(signal.SIGTERM)
    until_both_are_told(worker)  # while neither has finished: not one after the other
    (place.folder / "go").touch()
    assert worker.end() == 0, worker.said()
    assert done(place) == begun(place), "who began it has finished it"
    assert of_each(worker, " group shop stopped: ") == {"1", "2"}
    assert "2 members stopped" in worker.said()


def test_a_member_that_is_killed_is_started_again(place: Place) -> None:
    place.config(processes=2, lease=0.5)
    place.module(ORDERS)
    worker = place.start()
    until_assigned(worker)
    before = pids(worker)
    os.kill(before[2], signal.SIGKILL)
    worker.until_said(
        f"member 2 (process {before[2]}) was killed by SIGKILL; starting it again in 0."
    )
    place.until(lambda: pids(worker)[2] != before[2], "for its next life")
    place.publish(*[{"key": str(n), "n": n} for n in range(40)])
    place.until(lambda: sum(place.committed().values()) == 40, "for everything")
    assert worker.stop() == 0, worker.said()
    assert pids(worker)[1] == before[1], "the other one went on"
    assert {int(line) for line in place.handled()} == set(range(40))


def pauses(worker: Started) -> list[tuple[float, float]]:
    """Return how long members that died were to wait, and did wait, before they began again."""
    found: list[tuple[float, float]] = []
    died: dict[str, tuple[datetime, float]] = {}
    lines = re.findall(
        r"^(\S+ \S+) .*?member (\d).*?(?:starting it again in ([\d.]+) s|started as process)",
        worker.said(),
        re.MULTILINE,
    )
    for at, number, pause in lines:
        moment = datetime.fromisoformat(at.replace(",", "."))
        if pause:
            died[number] = moment, float(pause)
        elif number in died:
            since, told = died.pop(number)
            found.append((told, (moment - since).total_seconds()))
    return found


def test_members_that_die_again_and_again_are_told_and_tried_until_it_is_mended(
    place: Place,
) -> None:
    place.config(lease=0.5)
    place.module(
        """
        @on_event("order.created")
        async def handle(event_type: str, payload: dict) -> None:
            if not pathlib.Path("mended").exists():
                os._exit(3)
            record(payload["n"])
        """
    )
    place.publish({"n": 1})
    worker = place.start(*TWO)
    worker.until_said("ended with exit code 3, 2 times in a row; starting it again in")
    place.until(lambda: len(pauses(worker)) > 1, "for two of them to have begun again")
    (place.folder / "mended").touch()
    for said, waited in pauses(worker):
        assert waited > said - 0.1, "the pause that was told is one"
    place.until(lambda: sum(place.committed().values()) == 1, "for the order")
    worker.signal(signal.SIGTERM)
    worker.end()
    assert set(place.handled()) == {"1"}


def test_what_keeps_the_first_from_starting_is_said_once_and_ends_everything(place: Place) -> None:
    place.module("import no_such_library")
    answer = place.run("--processes", "3", "shop_handlers")
    refused(answer, "No module named 'no_such_library'", "member 1", "could not start")
    assert answer.stderr.count("no_such_library") == 1
    assert answer.stderr.count("started as process") == 1


def test_a_member_that_cannot_start_any_more_takes_no_other_with_it(place: Place) -> None:
    place.config(lease=0.5)
    place.module(ORDERS)
    worker = place.start(*TWO)
    until_assigned(worker)
    place.module("import no_such_library")  # a deployment that went wrong
    os.kill(pids(worker)[1], signal.SIGKILL)
    worker.until_said("ended with exit code 2, 2 times in a row; starting it again in")
    assert "No module named 'no_such_library'" in worker.said()
    place.publish(*[{"key": str(n), "n": n} for n in range(40)])
    place.until(lambda: sum(place.committed().values()) == 40, "for the other to handle all")
    place.module(ORDERS)
    place.until(
        lambda: len(re.findall(r"^\[1\] .* consuming ", worker.said(), re.MULTILINE)) == 2,
        "for it to run again",
    )
    assert worker.stop() == 0, worker.said()


def test_a_member_that_does_not_finish_is_named_and_the_exit_code_is_1(place: Place) -> None:
    place.config(shutdown_timeout=0.2)
    place.module(WAITS)
    worker = place.start(*TWO)
    until_both_busy(worker)
    assert worker.stop() == 1
    said = worker.said()
    assert len(re.findall(r"^\[[12]\] .* abandoned, it will come again", said, re.MULTILINE)) == 2
    assert len(re.findall(r"member [12] .* ended with exit code 1; what it did not", said)) == 2


def test_a_member_that_is_frozen_is_killed_when_the_time_is_over(place: Place) -> None:
    place.config(shutdown_timeout=0)
    place.module(ORDERS)
    worker = place.start(*TWO)
    until_assigned(worker)
    frozen = f"member 2 (process {pids(worker)[2]})"
    os.kill(pids(worker)[2], signal.SIGSTOP)
    assert worker.stop() == 1
    assert f"{frozen} did not end in time and is killed" in worker.said()
    assert f"{frozen} was killed by SIGKILL; what it did not commit comes again" in worker.said()


def test_a_second_signal_leaves_at_once_and_takes_the_members_along(place: Place) -> None:
    place.module(WAITS)
    worker = place.start(*TWO)
    until_both_busy(worker)
    worker.signal(signal.SIGTERM)
    worker.until_said("SIGTERM: stopping 2 members; once more leaves at once")

    def gone() -> bool:
        worker.signal(signal.SIGTERM)
        return worker.process.poll() is not None

    place.until(gone, "for it to leave")
    assert worker.end() == 128 + signal.SIGTERM
    worker.until_nobody_is_left()


def test_members_whose_supervisor_was_killed_finish_and_end(place: Place) -> None:
    place.module(WAITS)
    worker = place.start(*TWO)
    until_both_busy(worker)
    worker.signal(signal.SIGKILL)
    worker.end()
    until_both_are_told(worker)
    (place.folder / "go").touch()
    worker.until_nobody_is_left()
    assert done(place) == begun(place)
    assert sum(place.committed().values()) == len(begun(place))


IN_A_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


def test_ctrl_c_is_one_signal_although_it_reaches_all(place: Place) -> None:
    place.module(WAITS)
    ours, theirs = os.openpty()
    try:
        worker = place.start(*TWO, python=("-c", IN_A_TERMINAL), stdin=theirs)
        until_both_busy(worker)
        os.write(ours, b"\x03")
        worker.until_said("SIGINT: stopping 2 members")
        told = "finishing what is in hand"
        place.until(lambda: of_each(worker, told) == {"1", "2"}, "for both to be told")
        worker.may_end = True
        (place.folder / "go").touch()
        assert worker.end() == 0, worker.said()
    finally:
        os.close(ours)
        os.close(theirs)
    assert done(place) == begun(place)
    assert "left at once" not in worker.said()


@pytest.mark.parametrize("processes", ["1", "2"])
def test_the_end_of_standard_input_stops_it_when_it_is_asked_to_heed_that(
    place: Place, processes: str
) -> None:
    place.module(ORDERS)
    worker = place.start(
        "--stop-on-eof", "--processes", processes, "shop_handlers", stdin=subprocess.PIPE
    )
    worker.until_said("assigned ")
    worker.may_end = True
    assert worker.process.stdin is not None
    worker.process.stdin.close()
    assert worker.end() == 0, worker.said()
    assert "standard input has ended: " in worker.said()
    assert "group shop stopped: 0 handled" in worker.said()


@pytest.mark.parametrize("processes", ["1", "2"])
def test_standard_input_that_is_at_its_end_hides_no_error(place: Place, processes: str) -> None:
    place.module("import no_such_library")
    worker = place.start(
        "--stop-on-eof", "--processes", processes, "shop_handlers", stdin=subprocess.DEVNULL
    )
    worker.may_end = True
    assert worker.end() == 2, worker.said()
    assert "No module named 'no_such_library'" in worker.said()


@pytest.mark.parametrize("processes", ["1", "2"])
def test_standard_input_that_is_at_its_end_stops_what_can_start(
    place: Place, processes: str
) -> None:
    place.module(ORDERS)
    worker = place.start(
        "--stop-on-eof", "--processes", processes, "shop_handlers", stdin=subprocess.DEVNULL
    )
    worker.may_end = True
    assert worker.end() == 0, worker.said()
    assert "standard input has ended: " in worker.said()
    assert "group shop stopped: 0 handled" in worker.said()


def test_members_run_with_the_options_of_the_supervisors_interpreter(place: Place) -> None:
    (place.folder / "site").mkdir()
    source = "import sys; record(sys.flags.safe_path, sys.warnoptions)\n"
    place.module(source + ORDERS, "site/shop_handlers")
    worker = place.start(*TWO, python=("-P", "-W", "error::UserWarning"))
    place.until_handled(2)
    assert worker.stop() == 0, worker.said()
    assert place.handled() == ["True ['error::UserWarning']"] * 2
