"""How a thread finds out that an event loop is blocked, and by what.

A watchdog sends heartbeats to a loop; one that runs answers. When an answer is late, the stack of
the loop's thread says what keeps it. Who watches, and how often, is decided elsewhere.
"""

from __future__ import annotations

import sys
import traceback
import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterable
    from types import FrameType

__all__ = ["Heartbeat", "frames_of", "text_of_frames"]


class Heartbeat:
    """The heartbeat of one event loop: somebody else's thread sends it, a loop that runs answers.

    Args:
        loop: The loop, held weakly.
        thread: The identity of the thread that it runs in.

    Attributes:
        sent: When the beat that is under way was sent, as `beat` was told; None when none is.
        reported: Whether it was said already that the answer is late; the answer clears it.

    Example:
        >>> import asyncio, threading
        >>> from vectis.core.heartbeat import Heartbeat
        >>> async def main():
        ...     heart = Heartbeat(asyncio.get_running_loop(), threading.get_ident())
        ...     print(heart.beat(now=1.0), heart.sent)
        ...     await asyncio.sleep(0)
        ...     print(heart.sent)
        >>> asyncio.run(main())
        True 1.0
        None
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, thread: int) -> None:
        self.loop = weakref.ref(loop)
        self.thread = thread
        self.sent: float | None = None
        self.reported = False

    def beat(self, now: float) -> bool:
        """Send a beat unless one is under way; False when the loop is gone.

        Args:
            now: The time, of the clock that the caller compares `sent` with.
        """
        loop = self.loop()
        if loop is None or loop.is_closed():
            return False
        if self.sent is None:
            self.sent = now
            try:
                loop.call_soon_threadsafe(self.answer)
            except RuntimeError:  # closed in between
                return False
        return True

    def answer(self) -> None:
        """Take the loop's answer; called on the loop."""
        self.sent = None
        self.reported = False


def frames_of(thread: int) -> list[FrameType]:
    """Return what a thread is running now, the innermost frame first; empty when it has ended.

    Args:
        thread: Its identity, as `threading.get_ident` gives it.
    """
    return [frame for frame, _ in traceback.walk_stack(sys._current_frames().get(thread))]


def text_of_frames(frames: Iterable[FrameType]) -> str:
    """Return frames as lines for a log, the innermost last, without a line break at the end.

    Args:
        frames: The innermost first, as `frames_of` returns them.

    Example:
        >>> import sys
        >>> from vectis.core.heartbeat import text_of_frames
        >>> print(text_of_frames([sys._getframe()]))
          File "<doctest ...>", line 1, in <module>
            print(text_of_frames([sys._getframe()]))
    """
    lines = [(frame, frame.f_lineno) for frame in frames][::-1]
    return "".join(traceback.format_list(traceback.StackSummary.extract(lines))).rstrip()
