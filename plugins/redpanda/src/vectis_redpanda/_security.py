"""How to speak to the brokers: settings checked, and turned into what aiokafka's clients take.

What cannot work together is refused here, with the key to change, before anything is connected to.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vectis.core.exceptions import TransportError

if TYPE_CHECKING:
    from vectis_redpanda.settings import RedpandaSettings

__all__ = ["client_options", "lingers_too_long", "patience_of", "problem_with", "servers_of"]

DEFAULT_PORT = 9092


def servers_of(settings: RedpandaSettings) -> list[tuple[str, int]]:
    """Return the host and port of each bootstrap server, in the order given.

    Raises:
        TransportError: One of them is no `host:port`, or there is none.

    Example:
        >>> from vectis_redpanda import RedpandaSettings
        >>> from vectis_redpanda._security import servers_of
        >>> servers_of(RedpandaSettings(bootstrap_servers="one:9092, [::1]:9093"))
        [('one', 9092), ('::1', 9093)]
    """
    written = (settings.bootstrap_servers or "").split(",")
    servers = [_server(text.strip()) for text in written if text.strip()]
    if not servers:
        raise TransportError(
            f"[redpanda] bootstrap_servers = {settings.bootstrap_servers!r} names no server. Write "
            "host:port, or leave it out: then nothing is published"
        )
    return servers


def _server(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]"):
        host, port = text, str(DEFAULT_PORT)
    bare = host.removeprefix("[").removesuffix("]")
    is_address = host.startswith("[") and host.endswith("]")
    if not _is_name(bare) or "/" in bare or (":" in bare and not is_address) or not _is_port(port):
        raise TransportError(
            f"[redpanda] bootstrap_servers: {text!r} is no server. Write host:port, several "
            "separated by commas, and an IPv6 address in brackets"
        )
    return bare, int(port)


def _is_name(text: str) -> bool:
    try:
        text.encode("idna")  # as it is when it is connected to
    except UnicodeError:  # two dots in a row, or more than 63 characters between them
        return False
    return bool(text)


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and 0 < int(text) < 65_536


def problem_with(settings: RedpandaSettings, folder: Path) -> str | None:
    """Say which settings cannot work, and what to change; None when they can.

    It reads the certificates' files, and connects to nothing.

    Args:
        settings: The settings.
        folder: Where relative paths start.
    """
    try:
        client_options(settings, folder)
    except TransportError as error:
        return str(error)
    return None


def patience_of(publish_timeout: float) -> float:
    """Return after how many seconds a message that was not acknowledged has failed.

    A little earlier than publishing may take, so that what is known of the failure is told.
    """
    return publish_timeout - min(0.5, 0.05 * publish_timeout)


def lingers_too_long(settings: RedpandaSettings, publish_timeout: float) -> str | None:
    """Say that messages would fail before they are sent, and what to change; None if it is not so.

    Args:
        settings: The settings.
        publish_timeout: Seconds that publishing may take.
    """
    if settings.linger_ms < patience_of(publish_timeout) * 1000:
        return None
    return (
        f"[redpanda] linger_ms = {settings.linger_ms:g} leaves no time to send anything within "
        f"[hub] publish_timeout = {publish_timeout:g} s: lower the one, or raise the other"
    )


def client_options(settings: RedpandaSettings, folder: Path) -> dict[str, Any]:
    """Return the arguments that aiokafka's producer, consumer and admin client share.

    Args:
        settings: The settings.
        folder: Where relative paths start.

    Raises:
        TransportError: Settings that cannot work together, or a file that cannot be read.
    """
    servers = servers_of(settings)
    protocol = settings.security_protocol
    with_tls, with_sasl = protocol.endswith("SSL"), protocol.startswith("SASL")
    _check_tls(settings, with_tls)
    _check_sasl(settings, with_sasl)
    options: dict[str, Any] = {
        "bootstrap_servers": [_written(host, port) for host, port in servers],
        "client_id": settings.client_id,
        "request_timeout_ms": max(1, int(settings.request_timeout * 1000)),
        "security_protocol": protocol,
    }
    if with_tls:
        options["ssl_context"] = _context(settings, folder)
    if with_sasl:
        options["sasl_mechanism"] = settings.sasl_mechanism
        options["sasl_plain_username"] = settings.sasl_username
        options["sasl_plain_password"] = settings.sasl_password
    return options


def _written(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _check_tls(settings: RedpandaSettings, with_tls: bool) -> None:
    given = [
        key
        for key in ("ssl_cafile", "ssl_certfile", "ssl_keyfile", "ssl_password")
        if getattr(settings, key) is not None
    ]
    if given and not with_tls:
        wanted = "SASL_SSL" if settings.security_protocol.startswith("SASL") else "SSL"
        raise TransportError(
            f"[redpanda] {given[0]} is set, and security_protocol = "
            f"{settings.security_protocol!r} does not encrypt: set security_protocol = {wanted!r}, "
            f"or remove {' and '.join(given)}"
        )
    if settings.ssl_certfile is None and (settings.ssl_keyfile or settings.ssl_password):
        raise TransportError(
            "[redpanda] ssl_keyfile or ssl_password is set without ssl_certfile: a key is of no "
            "use without the certificate that it belongs to"
        )


def _check_sasl(settings: RedpandaSettings, with_sasl: bool) -> None:
    if with_sasl:
        for key in ("sasl_username", "sasl_password"):
            if not getattr(settings, key):
                raise TransportError(
                    f"[redpanda] security_protocol = {settings.security_protocol!r} needs {key}: "
                    f"set it, or VECTIS_REDPANDA_{key.upper()}"
                )
    elif settings.sasl_username is not None or settings.sasl_password is not None:
        encrypted = settings.security_protocol == "SSL"
        raise TransportError(
            "[redpanda] sasl_username or sasl_password is set, and security_protocol = "
            f"{settings.security_protocol!r} does not log in: set security_protocol = "
            f"{'SASL_SSL' if encrypted else 'SASL_PLAINTEXT'!r}, or remove them"
        )


def _context(settings: RedpandaSettings, folder: Path) -> ssl.SSLContext:
    cafile = _file(settings.ssl_cafile, "ssl_cafile", folder)
    try:
        context = ssl.create_default_context(cafile=cafile)  # which checks the host's name
    except (ssl.SSLError, OSError) as error:
        raise TransportError(
            f"[redpanda] ssl_cafile = {settings.ssl_cafile!r} has no certificates in PEM format "
            f"({_said(error)})"
        ) from error
    certfile = _file(settings.ssl_certfile, "ssl_certfile", folder)
    if certfile is not None:
        keyfile = _file(settings.ssl_keyfile, "ssl_keyfile", folder)
        try:
            # A function: without a password it would be asked for on the terminal.
            context.load_cert_chain(certfile, keyfile, lambda: settings.ssl_password or "")
        except (ssl.SSLError, OSError, ValueError) as error:
            raise TransportError(
                f"[redpanda] ssl_certfile = {settings.ssl_certfile!r} and its key cannot be used "
                f"({_said(error)}): see that they are in PEM format and belong together, and that "
                "ssl_password is the key's"
            ) from error
    return context


def _file(name: str | None, key: str, folder: Path) -> Path | None:
    if name is None:
        return None
    path = (folder / Path(name).expanduser()).resolve()
    try:
        path.open("rb").close()
    except OSError as error:
        raise TransportError(
            f"[redpanda] {key} = {name!r}: {path} cannot be read ({error.strerror})"
        ) from error
    return path


def _said(error: Exception) -> str:
    return getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)
