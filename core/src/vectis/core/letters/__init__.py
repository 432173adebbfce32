"""Dead letters that wait: reading them, finding their handlers, replaying and purging them.

`wire` reads records, `shelf` knows what waits and what may be committed, `choice` picks, `handlers`
finds who is to be called: they are pure. `scan` reads, `hold` holds the partitions, `attempt` calls
the handlers of one letter, `settling` notes and commits, `replay` puts them together. The command
is `vectis dlq`; writing letters is the worker's.
"""

from __future__ import annotations

from vectis.core.letters.wire import Foreign, Settled, StoredLetter, read_record

__all__ = ["Foreign", "Settled", "StoredLetter", "read_record"]
