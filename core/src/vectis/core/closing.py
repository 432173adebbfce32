"""Whether an error means that a frame is to end, and not that what it called has failed.

For the few places that isolate whatever is raised, `SystemExit` included. Plugins and handlers may
raise what asyncio uses for ends of its own, so the class alone does not tell.
"""

from __future__ import annotations

__all__ = ["closes"]


def closes(error: BaseException) -> bool:
    """Tell whether the frame that caught an error is being closed: its event loop is gone.

    To be asked in the frame that awaits, of what was raised there. What is awaited must be written
    in Python, so that a `GeneratorExit` of its own has come through another frame.

    Args:
        error: What was caught.

    Example:
        >>> import asyncio
        >>> from vectis.core.closing import closes
        >>> async def handler():
        ...     raise GeneratorExit
        >>> async def caller():
        ...     try:
        ...         await handler()
        ...     except BaseException as error:
        ...         print(closes(error))
        >>> asyncio.run(caller())
        False
    """
    if not isinstance(error, GeneratorExit):
        return False
    where = error.__traceback__
    return where is not None and where.tb_next is None
