"""The config table `[redpanda]`."""

from __future__ import annotations

from typing import Literal

import attrs
from attrs.validators import and_, ge, gt, in_, le, optional

from vectis.core.settings import secret

__all__ = ["LONGEST", "RedpandaSettings"]

Protocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
Mechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]
Compression = Literal["none", "gzip", "snappy", "lz4", "zstd"]


LONGEST = 2_147_483.0
"""Seconds, of which the protocol can hold no more: there they are milliseconds in 31 bits."""

# What its other numbers can hold.
_COUNT = and_(ge(1), le(2**31 - 1))
_COPIES = and_(ge(1), le(2**15 - 1))
_SECONDS = and_(gt(0.0), le(LONGEST))
_KEPT = le((2**63 - 1) // 1000)


def _without_credentials(_: object, __: object, servers: str | None) -> None:
    """Refuse `user:password@host`, without repeating it: addresses are shown and logged."""
    if servers is not None and "@" in servers:
        raise ValueError(
            "bootstrap_servers takes host:port only, and no user or password before an @: write "
            "those as sasl_username and sasl_password, with security_protocol = 'SASL_SSL'; the "
            "password best as VECTIS_REDPANDA_SASL_PASSWORD"
        )


@attrs.frozen
class RedpandaSettings:
    """Where the brokers are, how to speak to them, and how to carry events.

    Files with a relative path are looked for from the config file's folder, or from the working
    directory when there is no config file.

    Args:
        bootstrap_servers: `host:port`, several separated by commas; None: the plugin steps aside.
        security_protocol: `PLAINTEXT`, `SSL`, `SASL_PLAINTEXT` or `SASL_SSL`.
        sasl_mechanism: `PLAIN`, `SCRAM-SHA-256` or `SCRAM-SHA-512`.
        sasl_username: The user's name.
        sasl_password: The user's password; masked wherever settings are shown.
        ssl_cafile: File with the certificates of trusted authorities; None: those of the system.
        ssl_certfile: File with this client's certificate.
        ssl_keyfile: File with this client's private key, when it is not in `ssl_certfile`.
        ssl_password: Password of that key; masked likewise.
        client_id: The name under which the brokers' logs and quotas know this client.
        request_timeout: Seconds that a broker has to answer one request, and to be connected to.
        compression: `none`, `gzip`, `snappy`, `lz4` or `zstd`; all but gzip need the package
            cramjam.
        linger_ms: Milliseconds to wait for more messages before a batch is sent, fewer than `[hub]
            publish_timeout` has. What is sent while a batch is under way shares the next one
            anyway.
        max_batch_size: Bytes of one batch, which a broker takes or refuses as a whole.
        max_request_size: Bytes that one message may have, as it is written to the broker; a larger
            one is refused without asking it. The broker's own limit is `message.max.bytes`.
        session_timeout: Seconds without a sign of life until a member of a group counts as dead and
            its partitions go to others.
        rebalance_timeout: Seconds that a member has to finish what is in hand when partitions
            change hands; None: `[consumer] shutdown_timeout` and ten seconds.
        group_instance_id: A name of this member that stays the same when its process starts anew:
            a restart within `session_timeout` then moves no partitions. Each process of a group
            needs another one.
        partitions: How many partitions `vectis topics create` gives to a topic.
        replication: On how many brokers it keeps a copy; None: on three, or as many as there are.
        retention_age: Seconds that it has records kept; None: as the cluster is set up.
        retention_bytes: Bytes of each partition that it has kept; None: as the cluster is set up.

    Example:
        >>> from vectis_redpanda import RedpandaSettings
        >>> RedpandaSettings(bootstrap_servers="localhost:9092").security_protocol
        'PLAINTEXT'
    """

    bootstrap_servers: str | None = attrs.field(default=None, validator=_without_credentials)
    security_protocol: Protocol = "PLAINTEXT"
    sasl_mechanism: Mechanism = "PLAIN"
    sasl_username: str | None = None
    sasl_password: str | None = secret()
    ssl_cafile: str | None = None
    ssl_certfile: str | None = None
    ssl_keyfile: str | None = None
    ssl_password: str | None = secret()

    client_id: str = "vectis"
    request_timeout: float = attrs.field(default=10.0, validator=_SECONDS)

    compression: Compression = attrs.field(
        default="none", validator=in_(("none", "gzip", "snappy", "lz4", "zstd"))
    )
    linger_ms: float = attrs.field(default=0.0, validator=ge(0))
    max_batch_size: int = attrs.field(default=262_144, validator=_COUNT)
    max_request_size: int = attrs.field(default=1_048_576, validator=_COUNT)

    session_timeout: float = attrs.field(default=15.0, validator=_SECONDS)
    rebalance_timeout: float | None = attrs.field(default=None, validator=optional(_SECONDS))
    group_instance_id: str | None = None

    partitions: int = attrs.field(default=8, validator=_COUNT)
    replication: int | None = attrs.field(default=None, validator=optional(_COPIES))
    retention_age: float | None = attrs.field(default=None, validator=optional(and_(gt(0), _KEPT)))
    retention_bytes: int | None = attrs.field(
        default=None, validator=optional(and_(ge(1), le(2**63 - 1)))
    )
