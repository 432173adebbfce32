"""Publishing on one event loop: what is sent queues up, and one task hands it to aiokafka.

aiokafka is given whole batches, one for each partition at a time. So what waits is still ours: it
keeps its order whatever happens to a producer, it can be given up when it is late (aiokafka keeps
an idempotent batch for ever, #1101), and it is known whether a message ever left. What waits is in
`_backlog`, and given up there; what is refused is seen to in `_refusals`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from functools import partial
from typing import TYPE_CHECKING, Any

from aiokafka import TopicPartition as KafkaPartition
from aiokafka import errors

from vectis.core.exceptions import PublishError, TransportError
from vectis_redpanda._backlog import Backlog
from vectis_redpanda._internals import drop_producer, enqueued
from vectis_redpanda._link import Refused
from vectis_redpanda._queues import Flight, PartitionQueue, TopicQueues, waiting_of
from vectis_redpanda._refusals import look_for_room, refuse, refuse_before_sending, tell_too_large
from vectis_redpanda._seeking import seek
from vectis_redpanda._sessions import Sessions

if TYPE_CHECKING:
    from collections.abc import Collection

    from vectis.core.message import Message, Receipt
    from vectis_redpanda._link import Link
    from vectis_redpanda._queues import Session

__all__ = ["Producer"]

logger = logging.getLogger("vectis.redpanda")

_FULL = 200  # messages that wait for one partition and end the lingering
_SOON, _LATER = 0.1, 1.0  # seconds until brokers are tried again, at first and at most


class Producer:
    """Sends messages from one event loop.

    Args:
        link: Connects to the brokers.
        patience: Seconds after which a message that was not acknowledged has failed.
        before: The one before it on this loop, which is being closed: nothing is sent until it has
            ended, so that the order is kept.
    """

    def __init__(self, link: Link, patience: float, before: Producer | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        self._link = link
        self._patience = patience
        self._linger = link.settings.linger_ms / 1000
        self._largest = link.settings.max_request_size
        self._backlog = Backlog(link.named, patience)
        self._topics = self._backlog.topics
        self._ready: dict[PartitionQueue, None] = {}  # something waits, nothing is under way
        # Topics whose partitions are asked for, each by the session in use.
        self._seeking: dict[str, asyncio.Task[TransportError | None]] = {}
        self._news = asyncio.Event()
        self._sessions = Sessions(link, patience / 2)
        self._trouble: TransportError | None = None
        self._closing = asyncio.Event()
        self.accepts = True
        """Whether it takes messages: not once it is being closed, nor when its task has ended."""
        self._cut_short = False  # it has ended, and not everything was acknowledged
        self._timer: asyncio.TimerHandle | None = None
        self._before: asyncio.Task[None] | None = None if before is None else before._task
        self._task: asyncio.Task[None] = self._loop.create_task(
            self._keep_sending(), name="vectis-redpanda producer"
        )

    def send(self, message: Message) -> asyncio.Future[Receipt]:
        """Queue a message at once, and return the future of its receipt."""
        answer: asyncio.Future[Receipt] = self._loop.create_future()
        topic = message.topic
        if message.key.__class__ is not bytes and message.key is not None:
            kind = type(message.key).__name__
            answer.set_exception(
                PublishError(f"{topic}: the key must be bytes or None, not {kind}", fate="rejected")
            )
            return answer
        queues = self._topics.get(topic)
        if queues is None:
            queues = self._topics[topic] = TopicQueues(topic)
        queue = queues.put(waiting_of((message, answer, self._loop.time())))
        if queue.flight is None:
            self._ready[queue] = None
            self._news.set()
        if self._timer is None:
            self._timer = self._loop.call_later(self._patience, self._sweep)
        return answer

    async def close(self) -> None:
        """Send what waits, and close; what is not acknowledged in time has failed.

        It may be called again meanwhile, and waits for the same then.

        Raises:
            TransportError: Some of it was not.
        """
        if self.accepts:
            self.accepts = False
            self._closing.set()
            self._backlog.empty.clear()
            self._backlog.tell_if_empty()
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._patience):
                    await self._backlog.empty.wait()
        finally:
            self._task.cancel()
            await asyncio.wait([self._task])
        if self._cut_short:
            raise TransportError(
                f"{self._link.named}: not everything was acknowledged before the connection was "
                "closed; whoever sent the rest has been told"
            )

    # ------------------------------------------------------------ the task

    async def _keep_sending(self) -> None:
        try:
            if self._before is not None:
                await asyncio.wait([self._before])
                self._before = None
            while True:
                await self._news.wait()
                if self._linger:
                    await self._let_more_come()
                self._news.clear()
                try:
                    await self._send_ready()
                except Exception as error:
                    logger.exception("publishing to %s failed, and goes on", self._link.named)
                    self._backlog.fail_waiting(error)
        finally:
            # Here also when the event loop ends and nobody has closed anything.
            self.accepts = False
            self._cut_short = self._backlog.outstanding
            self._backlog.give_up(self._trouble)
            self._backlog.empty.set()
            if self._timer is not None:
                self._timer.cancel()
            for task in self._seeking.values():
                task.cancel()
            await self._sessions.close()

    async def _let_more_come(self) -> None:
        if not any(len(queue.waiting) >= _FULL for queue in self._ready):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._linger):
                    await self._closing.wait()  # which needs not wait for more

    async def _send_ready(self) -> None:
        """Send a batch of each partition in which something waits and nothing is under way."""
        session = await self._usable_session()
        if session is None:
            return
        cluster = session.producer.client.cluster
        while self._ready and not session.worn:
            queue = next(iter(self._ready))
            del self._ready[queue]
            known = cluster.partitions_for_topic(queue.topic)
            if known is None:
                self._seek(queue.topic, session)
                continue
            queues = self._topics.get(queue.topic)
            if queues is None:  # forgotten, with nothing in it
                continue
            if queue is queues.unplaced or len(known) != len(queues.partitions):
                self._ready.update(dict.fromkeys(queues.resize(len(known))))
            if queue.waiting and queue.flight is None:
                self._launch(queue, session, known)
        if self._ready:
            self._news.set()  # for another session

    async def _usable_session(self) -> Session | None:
        """Return the session, or make one, trying again while somebody waits; None if none does."""
        current = self._sessions.current
        if current is not None and not current.worn:
            return current
        pause = _SOON
        while self._backlog.anybody_waits:
            try:
                session = await self._sessions.begin(lambda: self._backlog.waiting_topics)
            except TransportError as error:
                self._trouble = error
                if isinstance(error, Refused):
                    self._backlog.fail_waiting(error)
                    break
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LATER)
            else:
                self._trouble = None
                return session
        return None

    def _launch(self, queue: PartitionQueue, session: Session, known: Collection[int]) -> None:
        """Send one batch of what waits for a partition, if the topic has that partition."""
        batch = session.producer.create_batch()
        taken = queue.fill(batch)
        refusal = refuse_before_sending(queue.topic, taken, batch, self._largest)
        if refusal is not None:
            taken.pop().answer.set_exception(refusal)
        if not taken:
            if queue.waiting:
                self._ready[queue] = None
            self._backlog.tell_if_empty()
            return
        flight = queue.flight = Flight(queue, taken, session, self._loop.time())
        session.flights += 1
        try:
            if queue.number not in known:  # the topic was made anew, with fewer of them
                raise errors.UnknownTopicOrPartitionError
            answer = enqueued(session.producer, batch, KafkaPartition(queue.topic, queue.number))
        except errors.KafkaError as error:
            self._landed(flight, error, -1)
        else:
            answer.add_done_callback(partial(self._answered, flight))

    # ------------------------------------------------------------ answers

    def _answered(self, flight: Flight, answer: asyncio.Future[Any]) -> None:
        error = errors.ProducerClosed() if answer.cancelled() else answer.exception()
        written = None if error else answer.result()
        self._landed(flight, error, -1 if written is None else written.offset)

    def _landed(self, flight: Flight, error: BaseException | None, offset: int) -> None:
        queue, session = flight.queue, flight.session
        if queue.flight is not flight:
            return  # it was given up
        queue.flight = None
        session.flights -= 1
        if error is None:
            flight.landed(offset)
            if queue.limit:
                queue.grow()
        else:
            self._wear(session)  # what was refused leaves a gap in the sequence of its partition
            alone = refuse(queue, flight.taken, error)
            if alone is not None:
                until = alone.since + self._patience
                looking = look_for_room(self._link, queue.topic, until)
                looked = self._sessions.have_done(looking)
                looked.add_done_callback(partial(tell_too_large, alone, error))
        if session.worn and not session.flights:
            self._sessions.end(session)
        if queue.waiting:
            self._ready[queue] = None
            self._news.set()
        elif not self._backlog.empty.is_set():
            self._backlog.tell_if_empty()

    # ------------------------------------------------------------ topics

    def _seek(self, topic: str, session: Session) -> None:
        """Have the partitions of a topic looked up; its messages wait."""
        if topic not in self._seeking:
            looked = seek(self._link, session.producer, topic, self._patience / 2)
            task = self._seeking[topic] = self._loop.create_task(looked)
            # Not in the task: one that is cancelled before it begins does nothing any more.
            task.add_done_callback(partial(self._sought, topic))

    def _sought(self, topic: str, task: asyncio.Task[TransportError | None]) -> None:
        del self._seeking[topic]
        problem = None if task.cancelled() else task.exception()
        if problem is None and not task.cancelled():
            self._trouble = task.result()
        elif isinstance(problem, Refused):
            self._trouble = problem
        queues = self._topics.get(topic)
        for queue in () if queues is None else queues.all():
            if problem is not None:
                self._backlog.fail(queue, problem)
            elif queue.waiting and queue.flight is None:
                self._ready[queue] = None
        if problem is not None and queues is not None:  # names that are no topics: ever more
            for queue in self._backlog.forget(topic):
                self._ready.pop(queue, None)
        self._news.set()
        self._backlog.tell_if_empty()

    def _wear(self, session: Session) -> None:
        """Give a session nothing more to send; the next one looks again for what it looks for."""
        if not session.worn:
            session.worn = True
            for task in self._seeking.values():
                task.cancel()

    # ------------------------------------------------------------ giving up

    def _sweep(self) -> None:
        """Give up on what is late, and come again when the next one is."""
        now, self._timer = self._loop.time(), None
        # Its producer may never come back: the brokers may have other addresses by now.
        for session in self._backlog.stuck(now):
            self._abandon(session, now)
        oldest = self._backlog.sweep(now, self._hindrance)
        if oldest is not None:
            self._timer = self._loop.call_at(oldest + self._patience, self._sweep)
        elif self._backlog.outstanding:  # nobody waits for it any more, and it is still under way
            self._timer = self._loop.call_later(self._patience, self._sweep)

    def _abandon(self, session: Session, now: float) -> None:
        self._wear(session)
        left = self._backlog.abandon(session, now)
        self._ready.update(dict.fromkeys(queue for queue in left if queue.waiting))
        self._sessions.end(session, drop_producer)
        self._news.set()

    @property
    def _hindrance(self) -> object:
        """What keeps those that wait."""
        if self._trouble is not None:
            return self._trouble
        if self._sessions.current is not None or self._before is not None:
            return f"{self._link.named} has not acknowledged what was sent before it"
        return f"no connection to {self._link.named} was made"
