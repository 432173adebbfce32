"""The config table `[redpanda]`."""

from __future__ import annotations

from typing import Literal

import attrs

from vectis.core.settings import secret

__all__ = ["RedpandaSettings"]


@attrs.frozen
class RedpandaSettings:
    """Where the brokers are and how to speak to them.

    Args:
        bootstrap_servers: `host:port`, several separated by commas; None: the plugin steps aside.
        security_protocol: `PLAINTEXT`, `SSL`, `SASL_PLAINTEXT` or `SASL_SSL`.
        sasl_mechanism: `PLAIN`, `SCRAM-SHA-256` or `SCRAM-SHA-512`.
        sasl_username: The user's name.
        sasl_password: The user's password; masked wherever settings are shown.
        ssl_cafile: File with the certificates of trusted authorities.
        ssl_certfile: File with this client's certificate.
        ssl_keyfile: File with this client's private key.
        ssl_password: Password of that key; masked likewise.
    """

    bootstrap_servers: str | None = None
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "PLAIN"
    sasl_username: str | None = None
    sasl_password: str | None = secret()
    ssl_cafile: str | None = None
    ssl_certfile: str | None = None
    ssl_keyfile: str | None = None
    ssl_password: str | None = secret()
