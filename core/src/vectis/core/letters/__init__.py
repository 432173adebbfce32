"""Dead letters that wait: reading them, finding their handlers, replaying and purging them.

`wire` reads records, `shelf` knows what waits and what may be committed, `choice` picks, `handlers`
finds who is to be called: they are pure. `scan`, `hold`, `replay` and `purge` do the work on a
transport. The command is `vectis dlq`; writing letters is the worker's.
"""

from __future__ import annotations

from vectis.core.letters.wire import Foreign, Settled, StoredLetter, read_record

__all__ = ["Foreign", "Settled", "StoredLetter", "read_record"]
