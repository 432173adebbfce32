"""Many short waits with one deadline each; what they do to tasks is what `asyncio.timeout` does."""

from __future__ import annotations

import asyncio
from threading import Thread
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from vectis.core.deadline import Deadline

if TYPE_CHECKING:
    from collections.abc import Awaitable, Coroutine

T = TypeVar("T")

SOON = 0.02
NEVER_HERE = 60.0


async def late() -> None:
    await asyncio.Event().wait()


async def at_once() -> str:
    return "here"


async def within(deadline: Deadline, answer: Awaitable[T]) -> T:
    with deadline.begun():
        return await answer


def test_an_answer_in_time_is_returned() -> None:
    assert asyncio.run(within(Deadline(NEVER_HERE), at_once())) == "here"


def test_an_error_of_the_answer_is_the_callers() -> None:
    async def broken() -> None:
        raise OSError("reset")

    with pytest.raises(OSError, match="reset"):
        asyncio.run(within(Deadline(NEVER_HERE), broken()))


def test_a_late_answer_is_cancelled_and_the_task_goes_on() -> None:
    ended: list[str] = []

    async def send() -> None:
        try:
            await late()
        finally:
            ended.append("cancelled")

    async def main() -> int:
        with pytest.raises(TimeoutError):
            await within(Deadline(SOON), send())
        await asyncio.sleep(0)
        task = asyncio.current_task()
        assert task is not None
        return task.cancelling()

    assert asyncio.run(main()) == 0
    assert ended == ["cancelled"]


def test_a_late_future_is_cancelled_too() -> None:
    async def main() -> bool:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        with pytest.raises(TimeoutError):
            await within(Deadline(SOON), future)
        return future.cancelled()

    assert asyncio.run(main())


def test_only_the_one_of_many_that_is_late_is_cancelled() -> None:
    async def main() -> list[Any]:
        deadline = Deadline(SOON)
        go = asyncio.Event()

        async def other() -> str:
            await go.wait()
            return "here"

        first = asyncio.create_task(within(deadline, late()))
        await asyncio.wait([first])
        # These began after the first one was due: the next sweep is theirs.
        others = [asyncio.create_task(within(deadline, other())) for _ in range(50)]
        await asyncio.sleep(0)
        go.set()
        return await asyncio.gather(first, *others, return_exceptions=True)

    results = asyncio.run(main())
    assert isinstance(results[0], TimeoutError)
    assert results[1:] == ["here"] * 50


def test_those_that_began_later_are_late_later() -> None:
    async def main() -> list[str]:
        deadline = Deadline(0.05)
        ended: list[str] = []

        async def wait(name: str) -> None:
            with pytest.raises(TimeoutError):
                await within(deadline, late())
            ended.append(name)

        first = asyncio.create_task(wait("first"))
        await asyncio.sleep(0.02)
        second = asyncio.create_task(wait("second"))
        await first
        assert not second.done()
        await second
        return ended

    assert asyncio.run(main()) == ["first", "second"]


def test_an_outside_cancellation_is_not_taken_for_the_deadlines() -> None:
    async def main() -> bool:
        task = asyncio.create_task(within(Deadline(NEVER_HERE), late()))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        return task.cancelled()

    assert asyncio.run(main())


@pytest.mark.parametrize("outside_first", [True, False])
def test_an_outside_cancellation_at_the_same_moment_wins(outside_first: bool) -> None:
    async def main() -> bool:
        loop = asyncio.get_running_loop()
        deadline = Deadline(SOON)

        async def stubborn() -> None:
            # Cancelled by one of the two, it waits until the other one has cancelled it too.
            task = asyncio.current_task()
            assert task is not None
            try:
                await late()
            except asyncio.CancelledError:
                if not outside_first:
                    task.cancel()
                while task.cancelling() < 2:
                    try:
                        await asyncio.sleep(SOON / 10)
                    except asyncio.CancelledError:
                        break
                raise

        task = asyncio.create_task(within(deadline, stubborn()))
        await asyncio.sleep(0)
        if outside_first:
            loop.call_soon(task.cancel)
        await asyncio.wait([task])
        return task.cancelled()

    assert asyncio.run(main())


def test_one_that_swallows_its_cancellation_and_answers_has_answered() -> None:
    async def slow_but_sure() -> str:
        try:
            await late()
        except asyncio.CancelledError:
            return "here"
        return ""

    async def main() -> tuple[str, int]:
        answer = await within(Deadline(SOON), slow_but_sure())
        task = asyncio.current_task()
        assert task is not None
        return answer, task.cancelling()

    assert asyncio.run(main()) == ("here", 0)


def test_one_that_swallows_its_cancellation_and_waits_on_is_cancelled_again() -> None:
    tries = 0

    async def stubborn() -> None:
        nonlocal tries
        while tries < 3:
            try:
                await late()
            except asyncio.CancelledError:
                tries += 1
        await late()

    async def main() -> int:
        with pytest.raises(TimeoutError):
            await within(Deadline(SOON), stubborn())
        task = asyncio.current_task()
        assert task is not None
        return task.cancelling()

    assert asyncio.run(main()) == 0
    assert tries == 3


def test_one_inside_another_is_the_outer_ones_too() -> None:
    deadline = Deadline(SOON)

    async def main() -> None:
        with pytest.raises(TimeoutError):
            await within(deadline, within(deadline, late()))

    asyncio.run(main())


def test_two_loops_in_a_row_and_one_that_was_closed_while_somebody_waited() -> None:
    deadline = Deadline(SOON)

    def run_and_drop(coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        loop = asyncio.new_event_loop()
        task = loop.create_task(coroutine)
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()
        return task

    for _ in range(2):
        with pytest.raises(TimeoutError):
            asyncio.run(within(deadline, late()))
    dropped = run_and_drop(within(deadline, late()))
    with pytest.raises(TimeoutError):
        asyncio.run(within(deadline, late()))
    assert not dropped.done()
    dropped.get_coro().close()
    dropped._log_destroy_pending = False  # type: ignore[attr-defined]  # it cannot end any more


def test_an_answer_that_arrived_while_something_blocked_the_loop_is_in_time() -> None:
    async def main() -> str:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[str] = loop.create_future()
        waiting = asyncio.create_task(within(Deadline(SOON), answer))
        await asyncio.sleep(0)
        due = loop.time() + 2 * SOON
        other = Thread(target=loop.call_soon_threadsafe, args=(answer.set_result, "here"))
        other.start()
        other.join()
        while loop.time() < due:  # as a handler that computes
            pass
        return await waiting

    assert asyncio.run(main()) == "here"


def test_what_has_not_arrived_when_the_loop_goes_on_is_late() -> None:
    async def main() -> list[Any]:
        loop = asyncio.get_running_loop()
        deadline = Deadline(SOON)
        answer: asyncio.Future[str] = loop.create_future()
        calls = [within(deadline, answer), within(deadline, late())]
        waiting = [asyncio.create_task(call) for call in calls]
        await asyncio.sleep(0)
        due = loop.time() + 2 * SOON
        loop.call_soon_threadsafe(answer.set_result, "here")
        while loop.time() < due:
            pass
        return await asyncio.gather(*waiting, return_exceptions=True)

    first, second = asyncio.run(main())
    assert first == "here"
    assert isinstance(second, TimeoutError)


def test_a_timer_is_armed_only_while_somebody_waits() -> None:
    async def main() -> list[int]:
        loop = asyncio.get_running_loop()
        armed: list[int] = []
        call_at = loop.call_at

        def counting(*arguments: Any, **options: Any) -> asyncio.TimerHandle:
            armed.append(1)
            return call_at(*arguments, **options)

        loop.call_at = counting  # type: ignore[assignment]  # to see what is armed
        deadline = Deadline(SOON)
        for _ in range(100):
            await within(deadline, at_once())
        first = len(armed)
        del loop.call_at
        await asyncio.sleep(3 * SOON)
        loop.call_at = counting  # type: ignore[assignment]  # again
        await within(deadline, at_once())
        return [first, len(armed)]

    assert asyncio.run(main()) == [1, 2]


def test_without_a_task_it_says_so() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        coroutine = within(Deadline(SOON), loop.create_future())
        raised: asyncio.Future[BaseException] = loop.create_future()

        def call() -> None:
            try:
                coroutine.send(None)
            except BaseException as error:
                raised.set_result(error)

        loop.call_soon(call)
        assert isinstance(await raised, RuntimeError)

    asyncio.run(main())
