"""Why no broker can be reached, found out by connecting: aiokafka says only that it could not.

It is asked when a connection was refused or stays silent, never before one that works.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from time import monotonic
from typing import TYPE_CHECKING, Any

import attrs
from aiokafka import errors
from aiokafka.protocol.metadata import MetadataRequest

from vectis.core.redact import one_line
from vectis_redpanda._faults import explained
from vectis_redpanda._internals_connections import Connection

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vectis_redpanda.settings import RedpandaSettings

__all__ = ["Finding", "diagnose"]

# A request for the versions that a broker speaks, number 1 of a client without a name.
_HELLO = bytes.fromhex("0000000a 0012 0000 00000001 0000".replace(" ", ""))
_LARGEST = 1 << 20  # an answer of more bytes is none


@attrs.frozen
class Finding:
    """What came of a connection to a server.

    Args:
        text: What happened, and what to change.
        lasting: Trying again is of no use until somebody changes it.
    """

    text: str
    lasting: bool


async def diagnose(
    settings: RedpandaSettings,
    options: Mapping[str, Any],
    servers: Sequence[tuple[str, int]],
    seconds: float,
) -> Finding | None:
    """Connect to each server as a client would, and return the first thing that stands in the way.

    Args:
        settings: What is said is about their keys.
        options: What `client_options` made of them.
        servers: Hosts and ports.
        seconds: How long all of it may take.

    Returns:
        None when one of them answers.
    """
    found = await asyncio.gather(
        *(_look_at(settings, options, *server, seconds) for server in servers)
    )
    if any(finding is None for finding in found):
        return None
    findings = [finding for finding in found if finding is not None]
    # A server that answers and refuses says more than one that is not there.
    return max(findings, key=lambda finding: finding.lasting, default=None)


async def _look_at(
    settings: RedpandaSettings, options: Mapping[str, Any], host: str, port: int, seconds: float
) -> Finding | None:
    where = f"{host}:{port}"
    until = monotonic() + seconds
    patience = seconds / 3  # the last step has what the first two leave, which is nearly all of it
    try:
        async with asyncio.timeout(patience):
            _, writer = await asyncio.open_connection(host, port)
            writer.close()
    except (OSError, TimeoutError) as error:
        return _unreachable(where, error, patience)
    odd = await _greeted(where, host, port, patience)
    encrypted = settings.security_protocol.endswith("SSL")
    if odd is not None and not encrypted:
        return odd
    connection = Connection(
        host,
        port,
        **{key: value for key, value in options.items() if key != "bootstrap_servers"}
        | {"request_timeout_ms": max(1, int((until - monotonic()) * 1000))},
    )
    try:
        await connection.connect()
    except Exception as error:  # an answer that makes no sense ends in whatever it leads to
        if isinstance(error, TimeoutError) and odd is not None and not odd.lasting:
            return odd  # it has answered neither
        return _refused(where, settings, error, is_plain=odd is None)
    try:
        await connection.send(MetadataRequest([]))
    except Exception as error:
        return _dismissed(where, settings, error)
    finally:
        await connection.end()
    return None


def _unreachable(where: str, error: Exception, patience: float) -> Finding:
    if isinstance(error, socket.gaierror):
        host = where.rpartition(":")[0]
        why = f"there is no host {host}"
    elif isinstance(error, ConnectionRefusedError):
        why = "nothing listens there"
    elif isinstance(error, TimeoutError):
        why = f"no answer within {patience:g} s"
    else:
        why = one_line(error.strerror or str(error) if isinstance(error, OSError) else str(error))
    return Finding(
        f"{where} cannot be reached ({why}): see that the broker runs, and that "
        "[redpanda] bootstrap_servers is right",
        lasting=False,
    )


async def _greeted(where: str, host: str, port: int, patience: float) -> Finding | None:
    """Return what is odd about the answer to a plain greeting; None when it is a broker's."""
    writer = None
    try:
        async with asyncio.timeout(patience):
            reader, writer = await asyncio.open_connection(host, port)
            writer.write(_HELLO)
            answer = await reader.readexactly(8)
    except asyncio.IncompleteReadError as error:
        answer = error.partial
    except TimeoutError:
        return Finding(
            f"{where} takes connections and does not answer: see how the broker is, and that "
            "[redpanda] bootstrap_servers and security_protocol are right",
            lasting=False,
        )
    except OSError:
        answer = b""
    finally:
        if writer is not None:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
    size = int.from_bytes(answer[:4])
    if len(answer) == 8 and size <= _LARGEST and answer[4:] == b"\0\0\0\1":
        return None
    if answer[:1] in (b"\x15", b"\x16"):
        said = "wants an encrypted connection: set [redpanda] security_protocol to SSL or SASL_SSL"
    elif not answer:
        said = (
            "closes the connection, as a broker does that wants an encrypted one: set [redpanda] "
            "security_protocol to SSL or SASL_SSL, or correct the port"
        )
    else:
        said = (
            f"is no Kafka broker, it answers {one_line(ascii(answer))}: "
            "correct [redpanda] bootstrap_servers"
        )
    return Finding(f"{where} {said}", lasting=True)


def _refused(
    where: str, settings: RedpandaSettings, error: Exception, *, is_plain: bool
) -> Finding:
    protocol = settings.security_protocol
    if isinstance(error, ssl.SSLCertVerificationError):
        return Finding(f"{where}: {_certificate(error)}", lasting=True)
    if isinstance(error, OSError) and is_plain and protocol.endswith("SSL"):
        return Finding(
            f"{where} does not encrypt: set [redpanda] security_protocol to PLAINTEXT or "
            "SASL_PLAINTEXT, or correct the port",
            lasting=True,
        )
    if isinstance(error, ssl.SSLError):
        said = error.reason or str(error)
        hint = " ([redpanda] ssl_certfile and ssl_keyfile)" if "CERT" in said.upper() else ""
        return Finding(
            f"{where}: no encrypted connection could be made, {one_line(said)}{hint}", lasting=True
        )
    if isinstance(error, errors.UnsupportedSaslMechanismError):
        return Finding(
            f"{where} does not take [redpanda] sasl_mechanism = {settings.sasl_mechanism!r}: "
            f"{one_line(str(error))}",
            lasting=True,
        )
    if isinstance(error, errors.IllegalSaslStateError):
        return Finding(
            f"{where} does not ask anybody to log in: set [redpanda] security_protocol to "
            f"{protocol.removeprefix('SASL_')}, or correct the port",
            lasting=True,
        )
    if isinstance(error, errors.SaslAuthenticationFailed | errors.AuthenticationFailedError):
        return Finding(
            f"{where} does not let user {settings.sasl_username!r} in: see "
            "[redpanda] sasl_username, sasl_password and sasl_mechanism",
            lasting=True,
        )
    if not isinstance(error, OSError | TimeoutError | errors.KafkaError) and not (
        protocol.startswith("SASL") and isinstance(error, ValueError | AssertionError)
    ):
        return _nonsense(where, error)
    if isinstance(error, ValueError | AssertionError):  # what a broker's last word in SCRAM becomes
        return Finding(
            f"{where}: logging in as {settings.sasl_username!r} failed, {one_line(str(error))}: "
            "see [redpanda] sasl_username and sasl_password",
            lasting=True,
        )
    said = one_line(str(error)) or type(error).__name__
    if isinstance(error, TimeoutError):
        said = "it does not answer"
    hint = "see [redpanda] security_protocol"
    if protocol.startswith("SASL"):
        hint += ", sasl_mechanism, sasl_username and sasl_password"
    if protocol.endswith("SSL"):
        hint += ", ssl_certfile and ssl_keyfile"
    return Finding(f"{where} took the connection and ended it ({said}): {hint}", lasting=False)


def _dismissed(where: str, settings: RedpandaSettings, error: Exception) -> Finding:
    """Return what it means that a broker takes the connection, and no request."""
    protocol = settings.security_protocol
    not_kafka = not isinstance(error, TimeoutError | errors.KafkaError)
    if not_kafka or isinstance(error, errors.IncompatibleBrokerVersion):
        return _nonsense(where, error)
    if protocol.startswith("SASL") or isinstance(error, TimeoutError):
        return _refused(where, settings, error, is_plain=True)
    wanted = "SASL_SSL" if protocol.endswith("SSL") else "SASL_PLAINTEXT"
    return Finding(
        f"{where} takes no request from somebody who has not logged in: set [redpanda] "
        f"security_protocol to {wanted}, with sasl_mechanism, sasl_username and sasl_password",
        lasting=True,
    )


def _nonsense(where: str, error: Exception) -> Finding:
    return Finding(
        f"{where} answers in a way that cannot be understood ({explained(error)}): see that it is "
        "a broker, and correct [redpanda] bootstrap_servers",
        lasting=True,
    )


def _certificate(error: ssl.SSLCertVerificationError) -> str:
    said = one_line(error.verify_message or str(error)).removesuffix(".")
    lowered = said.lower()
    if "hostname mismatch" in lowered or "ip address mismatch" in lowered:
        return (
            f"its certificate is for another host ({said}): write the name that it is for in "
            "[redpanda] bootstrap_servers"
        )
    if "expired" in lowered:
        return f"its certificate has expired ({said}): the broker needs a new one"
    if "not yet valid" in lowered:
        return f"its certificate is not valid yet ({said}): see the clocks here and there"
    return (
        f"its certificate is of an authority that is not trusted ({said}): set "
        "[redpanda] ssl_cafile to the file of that authority's certificate"
    )
