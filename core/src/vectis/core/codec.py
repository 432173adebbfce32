"""Events to messages and deliveries to events: CloudEvents 1.0 in the Kafka protocol binding.

`encode` writes binary mode. `decode` reads that, structured mode, and the plain form
`{"event_type": ..., "payload": ...}`. What is received is untrusted: nothing but `DecodeError`
leaves `decode`, and no error quotes a payload. What a handler makes of the payload is not decided
here, nor what happens to a delivery that cannot be read.
"""

from __future__ import annotations

from vectis.core._decode import decode
from vectis.core._encode import encode
from vectis.core._headers import read_headers
from vectis.core._received import ContentMode, Envelope, Received

__all__ = ["ContentMode", "Envelope", "Received", "decode", "encode", "read_headers"]
