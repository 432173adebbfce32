"""A password in the address of the brokers is refused, and no output shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.core.cli_world import World
from vectis_redpanda import RedpandaSettings

if TYPE_CHECKING:
    from pathlib import Path

COMMANDS = (
    ("config",),
    ("config", "--json"),
    ("doctor",),
    ("doctor", "--json"),
    ("plugins", "--load"),
    ("--debug", "publish", "vectis.orders", "order.created", "{}"),
)


@pytest.mark.parametrize("servers", ["ada:hunter2@broker:9092", "one:9092,sasl://a:hunter2@two:1"])
def test_the_error_names_the_settings_and_not_the_password(servers: str) -> None:
    with pytest.raises(ValueError, match="sasl_username and sasl_password") as raised:
        RedpandaSettings(bootstrap_servers=servers)
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize("by", ["file", "variable"])
def test_no_output_shows_a_password_in_the_address(tmp_path: Path, by: str) -> None:
    world = World(tmp_path)
    variables = {}
    if by == "file":
        world.config('[redpanda]\nbootstrap_servers = "ada:hunter2@broker:9092"\n')
    else:
        variables["VECTIS_REDPANDA_BOOTSTRAP_SERVERS"] = "ada:hunter2@broker:9092"
    for command in COMMANDS:
        answer = world.vectis(*command, **variables)
        said = " ".join((answer.out + answer.err).split())
        assert "hunter2" not in said
        assert "sasl_password" in said
