"""The config contract: where settings come from, who wins, and what a mistake says."""

import contextlib
import enum
import json
import os
import subprocess
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vectis.core.exceptions import ConfigError
from vectis.core.settings import (
    Config,
    ConsumerSettings,
    HandlerSettings,
    HubSettings,
    PluginsSettings,
    secret,
)


class Level(enum.Enum):
    LOW = "low"
    HIGH = "high"


class Size(enum.IntEnum):
    SMALL = 1
    LARGE = 2


@attrs.frozen
class Login:
    user: str
    password: str = ""


@attrs.frozen
class Acme:
    budget_ms: int = 100
    ratio: float = 0.5
    eager: bool = False
    name: str = "acme"
    label: str | None = None
    limit: int | None = None
    path: Path = Path("acme.db")
    mode: Literal["fast", "safe"] = "safe"
    level: Level = Level.LOW
    size: Size = Size.SMALL
    pair: tuple[str, int] = ("a", 1)
    tags: tuple[str, ...] = ()
    ports: list[int] = attrs.field(factory=list)
    options: dict[str, int] = attrs.field(factory=dict)
    login: Login | None = None
    either: int | str = 0
    api_password: str | None = None
    passcode: str | None = secret()


def config_file(folder: Path, text: str, name: str = "vectis.toml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def load(folder: Path, **environ: str) -> Config:
    return Config.load(folder, environ)


def acme(values: Mapping[str, Any] | None = None, **environ: str) -> Acme:
    return Config.of({"acme": values or {}}, environ).table("acme", Acme)


def refusal(values: Mapping[str, Any], environ: Mapping[str, str] | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        Config.of({"acme": values}, environ or {}).table("acme", Acme)
    return str(caught.value)


class TestFinding:
    def test_the_file_is_in_the_working_directory(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        config_file(tmp_path, '[hub]\nsource = "shop"')
        monkeypatch.chdir(tmp_path)
        config = Config.load(environ={})
        assert config.table("hub", HubSettings).source == "shop"
        assert config.path == tmp_path / "vectis.toml"

    def test_or_in_a_folder_above_it(self, tmp_path: Path) -> None:
        config_file(tmp_path, '[hub]\nsource = "shop"')
        below = tmp_path / "a" / "b"
        below.mkdir(parents=True)
        config = load(below)
        assert config.table("hub", HubSettings).source == "shop"
        assert config.origin("hub", "source") == f"{tmp_path}/vectis.toml:2"

    def test_the_nearest_folder_counts(self, tmp_path: Path) -> None:
        config_file(tmp_path, '[hub]\nsource = "far"')
        near = tmp_path / "near"
        near.mkdir()
        config_file(near, '[hub]\nsource = "near"')
        assert load(near).table("hub", HubSettings).source == "near"

    def test_pyproject_counts_with_a_table_of_ours(self, tmp_path: Path) -> None:
        config_file(tmp_path, '[project]\n\n[tool.vectis.hub]\nsource = "shop"', "pyproject.toml")
        config = load(tmp_path)
        assert config.table("hub", HubSettings).source == "shop"
        assert config.origin("hub", "source") == "pyproject.toml:4"

    @pytest.mark.parametrize(
        "text",
        [
            '[tool]\nvectis.hub.source = "shop"',
            'tool.vectis.hub.source = "shop"',
            '[ tool . "vectis" ]\nhub = { source = "shop" }',
        ],
    )
    def test_pyproject_may_spell_the_table_in_any_way(self, tmp_path: Path, text: str) -> None:
        config_file(tmp_path, text, "pyproject.toml")
        assert load(tmp_path).table("hub", HubSettings).source == "shop"

    def test_a_pyproject_without_that_table_is_passed_by(self, tmp_path: Path) -> None:
        config_file(tmp_path, '[hub]\nsource = "shop"')
        below = tmp_path / "package"
        below.mkdir()
        config_file(below, '[project]\ndependencies = ["vectis-hub"]\n[tool.x]', "pyproject.toml")
        assert load(below).table("hub", HubSettings).source == "shop"

    def test_both_in_one_folder_is_an_error_that_names_both(self, tmp_path: Path) -> None:
        config_file(tmp_path, "[hub]")
        config_file(tmp_path, "[tool.vectis]", "pyproject.toml")
        with pytest.raises(ConfigError, match=r"vectis\.toml and \[tool\.vectis\] in .*pyproject"):
            load(tmp_path)

    def test_vectis_config_names_any_file(self, tmp_path: Path) -> None:
        config_file(tmp_path, '[hub]\nsource = "around"')
        elsewhere = tmp_path / "etc"
        elsewhere.mkdir()
        path = config_file(elsewhere, '[hub]\nsource = "named"', "shop.toml")
        config = load(tmp_path, VECTIS_CONFIG=str(path))
        assert config.table("hub", HubSettings).source == "named"
        assert config.origin("hub", "source") == f"{path}:2"

    def test_vectis_config_is_relative_to_the_working_directory(self, tmp_path: Path) -> None:
        config_file(tmp_path, '[tool.vectis.hub]\nsource = "named"', "pyproject.toml")
        config = load(tmp_path, VECTIS_CONFIG="pyproject.toml")
        assert config.table("hub", HubSettings).source == "named"

    def test_an_empty_vectis_config_names_nothing(self, tmp_path: Path) -> None:
        config_file(tmp_path, '[hub]\nsource = "found"')
        assert load(tmp_path, VECTIS_CONFIG="").table("hub", HubSettings).source == "found"

    def test_vectis_config_must_exist(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=r"VECTIS_CONFIG names .*gone\.toml, which does not"):
            load(tmp_path, VECTIS_CONFIG="gone.toml")

    def test_vectis_config_must_have_our_table(self, tmp_path: Path) -> None:
        config_file(tmp_path, "[project]", "pyproject.toml")
        with pytest.raises(ConfigError, match=r"has no \[tool\.vectis\] table"):
            load(tmp_path, VECTIS_CONFIG="pyproject.toml")

    def test_without_a_file_the_defaults_count(self, tmp_path: Path) -> None:
        config = load(tmp_path)
        assert config.path is None
        assert config.table("consumer", ConsumerSettings) == ConsumerSettings()
        assert config.origin("consumer", "group") == "default"
        assert (dict(config.handlers()), dict(config.topics())) == ({}, {})


class TestUnreadableFiles:
    def test_toml_that_is_wrong_names_the_line(self, tmp_path: Path) -> None:
        config_file(tmp_path, "[hub]\nsource = shop\n")
        with pytest.raises(ConfigError, match=r"^vectis\.toml:2: not valid TOML: Invalid value"):
            load(tmp_path)

    def test_toml_that_ends_too_early(self, tmp_path: Path) -> None:
        config_file(tmp_path, "[hub]\nsource =")
        with pytest.raises(ConfigError, match=r"^vectis\.toml: not valid TOML, at the end"):
            load(tmp_path)

    def test_toml_that_is_nested_without_end(self, tmp_path: Path) -> None:
        config_file(tmp_path, "deep = " + "[" * 100_000)
        with pytest.raises(ConfigError, match=r"^vectis\.toml: not valid TOML"):
            load(tmp_path)

    def test_a_broken_pyproject_with_our_table(self, tmp_path: Path) -> None:
        config_file(tmp_path, "[tool.vectis.hub]\nsource = shop\n", "pyproject.toml")
        with pytest.raises(ConfigError, match=r"^pyproject\.toml:2: not valid TOML"):
            load(tmp_path)

    def test_tool_vectis_must_be_a_table(self, tmp_path: Path) -> None:
        config_file(tmp_path, "[tool]\nvectis = 3", "pyproject.toml")
        with pytest.raises(ConfigError, match=r"^pyproject\.toml: tool\.vectis must be a table"):
            load(tmp_path)

    def test_a_folder_in_its_place(self, tmp_path: Path) -> None:
        (tmp_path / "vectis.toml").mkdir()
        with pytest.raises(ConfigError, match=r"vectis\.toml: the config file cannot be read \("):
            load(tmp_path)

    def test_a_link_that_leads_nowhere(self, tmp_path: Path) -> None:
        (tmp_path / "vectis.toml").symlink_to(tmp_path / "gone")
        with pytest.raises(ConfigError, match=r"cannot be read \(No such file"):
            load(tmp_path)

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
    def test_a_file_without_permission(self, tmp_path: Path) -> None:
        config_file(tmp_path, "[hub]").chmod(0)
        with pytest.raises(ConfigError, match=r"cannot be read \(Permission denied\)"):
            load(tmp_path)

    def test_a_file_that_is_not_utf8_names_the_line(self, tmp_path: Path) -> None:
        (tmp_path / "vectis.toml").write_bytes(b'[hub]\nsource = "caf\xe9"\n')
        with pytest.raises(ConfigError, match=r"^vectis\.toml:2: the config file is not UTF-8"):
            load(tmp_path)

    def test_a_byte_order_mark_and_windows_line_ends_are_fine(self, tmp_path: Path) -> None:
        (tmp_path / "vectis.toml").write_bytes(b'\xef\xbb\xbf[hub]\r\nsource = "shop"\r\n')
        config = load(tmp_path)
        assert config.table("hub", HubSettings).source == "shop"
        assert config.origin("hub", "source") == "vectis.toml:2"


class TestCoreTables:
    def test_every_documented_key_is_read(self, tmp_path: Path) -> None:
        config_file(
            tmp_path,
            """
            [plugins]
            disable = ["acme-audit"]
            enable = ["bus"]
            require = ["bus"]
            fail_open = ["bus"]
            [handlers."acme-audit:record"]
            priority = 10
            enabled = true
            [hub]
            transport = "redpanda"
            source = "shop"
            publish_timeout = 3
            max_message_bytes = 2000
            [topics]
            "vectis.orders" = ["order.created", "order.cancelled"]
            [consumer]
            group = "shop"
            modules = ["shop.handlers"]
            topics = ["vectis.orders"]
            concurrency = 100
            max_attempts = 5
            retry_initial = 0.2
            retry_max = 5.0
            on_exhausted = "block"
            shutdown_timeout = 3.5
            commit_interval = 1
            tolerate = ["acme-audit"]
            """,
        )
        config = load(tmp_path)
        assert config.table("plugins", PluginsSettings) == PluginsSettings(
            enable=("bus",), disable=("acme-audit",), require=("bus",), fail_open=("bus",)
        )
        assert config.table("hub", HubSettings) == HubSettings("redpanda", "shop", 3.0, 2000)
        assert config.handlers() == {"acme-audit:record": HandlerSettings(10, True)}
        assert config.topics() == {"vectis.orders": ("order.created", "order.cancelled")}
        assert config.table("consumer", ConsumerSettings) == ConsumerSettings(
            group="shop",
            modules=("shop.handlers",),
            topics=("vectis.orders",),
            retry_initial=0.2,
            retry_max=5.0,
            on_exhausted="block",
            shutdown_timeout=3.5,
            commit_interval=1.0,
            tolerate=("acme-audit",),
        )

    @pytest.mark.parametrize(
        "table",
        [
            {"concurrency": 0},
            {"max_attempts": 0},
            {"shutdown_timeout": -1},
            {"commit_interval": -0.1},
            {"group": ""},
        ],
    )
    def test_values_out_of_range_are_refused_by_key(self, table: dict[str, Any]) -> None:
        key = next(iter(table))
        config = Config.of({"consumer": table}, {})
        with pytest.raises(ConfigError, match=rf"^Hub\(config=...\): \[consumer\] {key} is not v"):
            config.table("consumer", ConsumerSettings)

    def test_on_exhausted_has_two_values(self) -> None:
        config = Config.of({"consumer": {"on_exhausted": "drop"}}, {})
        with pytest.raises(ConfigError, match='one of "dead_letter", "block", not the string "dr'):
            config.table("consumer", ConsumerSettings)

    def test_a_handler_is_named_with_its_plugin(self, tmp_path: Path) -> None:
        config_file(tmp_path, "[handlers.record]\npriority = 1")
        with pytest.raises(ConfigError, match=r"^vectis\.toml:1: \[handlers\.record\] .*:name"):
            load(tmp_path).handlers()

    def test_a_wrong_key_of_a_handler_is_wrong_every_time(self, tmp_path: Path) -> None:
        config_file(tmp_path, '[handlers."a:b"]\n\nprioritty = 1')
        config = load(tmp_path)
        for _ in range(2):
            with pytest.raises(
                ConfigError,
                match=r"^vectis\.toml:3: \[handlers\.\"a:b\"\] prioritty is not .* 'priority'\?",
            ):
                config.handlers()

    def test_a_handler_must_be_a_table(self) -> None:
        with pytest.raises(ConfigError, match=r'\[handlers."a:b"\] must be a table, not 3'):
            Config.of({"handlers": {"a:b": 3}}, {}).handlers()

    def test_a_topic_must_have_a_list(self, tmp_path: Path) -> None:
        config_file(tmp_path, '[topics]\n"vectis.orders" = "order.created"')
        with pytest.raises(ConfigError) as caught:
            load(tmp_path).topics()
        assert str(caught.value) == (
            'vectis.toml:2: [topics] "vectis.orders" must be a list of strings, not the string '
            '"order.created": write ["order.created"], with brackets'
        )

    @pytest.mark.parametrize("name", ["hub", "plugins", "consumer", "handlers", "topics"])
    def test_no_plugin_may_take_a_core_table(self, name: str) -> None:
        with pytest.raises(ConfigError, match="Vectis's own table"):
            Config.of({}, {}).table(name, Acme)


class TestTypes:
    def test_right_values_of_every_kind(self) -> None:
        settings = acme(
            {
                "budget_ms": 5,
                "ratio": 1,
                "eager": True,
                "label": "x",
                "limit": 3,
                "path": "other.db",
                "mode": "fast",
                "level": "high",
                "size": 2,
                "pair": ["b", 2],
                "tags": ["a", "b"],
                "ports": (1, 2),
                "options": {"a": 1},
                "login": {"user": "me"},
                "either": "x",
            }
        )
        assert settings == Acme(
            budget_ms=5,
            ratio=1.0,
            eager=True,
            label="x",
            limit=3,
            path=Path("other.db"),
            mode="fast",
            level=Level.HIGH,
            size=Size.LARGE,
            pair=("b", 2),
            tags=("a", "b"),
            ports=[1, 2],
            options={"a": 1},
            login=Login("me"),
            either="x",
        )
        assert type(settings.ratio) is float

    @pytest.mark.parametrize(
        ("key", "value", "complaint"),
        [
            ("budget_ms", True, "budget_ms must be a whole number, not true"),
            ("budget_ms", 1.7, "budget_ms must be a whole number, not 1.7"),
            (
                "budget_ms",
                "5",
                'budget_ms must be a whole number, not the string "5": write it without quotes',
            ),
            ("budget_ms", "high", 'budget_ms must be a whole number, not the string "high"'),
            ("budget_ms", "1.5", 'budget_ms must be a whole number, not the string "1.5"'),
            (
                "ratio",
                "1.5",
                'ratio must be a number, not the string "1.5": write it without quotes',
            ),
            (
                "eager",
                "true",
                'eager must be true or false, not the string "true": write it without quotes',
            ),
            ("ratio", True, "ratio must be a number, not true"),
            ("ratio", float("nan"), "ratio must be a number, not nan"),
            ("ratio", 10**400, "ratio must be a number, not 1000"),
            ("eager", 1, "eager must be true or false, not 1"),
            ("name", 3, "name must be a string, not 3"),
            ("label", 3, "label must be a string, not 3"),
            ("limit", False, "limit must be a whole number, not false"),
            ("path", 3, "path must be a path in quotes, not 3"),
            ("path", "", "path must be a path in quotes"),
            ("mode", "slow", 'mode must be one of "fast", "safe", not the string "slow"'),
            ("level", "mid", 'level must be one of "low", "high", not the string "mid"'),
            ("size", 5, "size must be one of 1, 2, not 5"),
            ("size", True, "size must be one of 1, 2, not true"),
            ("pair", ["a"], "pair must be a list of exactly 2, not a list"),
            ("pair", ["a", "b"], "pair[1] must be a whole number"),
            (
                "tags",
                "a",
                'tags must be a list of strings, not the string "a": write ["a"], with brackets',
            ),
            ("tags", ["a", 3], "tags[1] must be a string, not 3"),
            ("tags", {"a": 1}, "tags must be a list of strings, not a table"),
            ("ports", [1, "2"], 'ports[1] must be a whole number, not the string "2"'),
            ("options", {"a": "x"}, 'options.a must be a whole number, not the string "x"'),
            ("options", [1], "options must be a table, not a list"),
            ("login", {}, "login.user is missing and has no default"),
            ("login", {"user": "me", "pass": 1}, "login.pass is not a key of this table"),
            ("login", "me", 'login must be a table, not the string "me"'),
            ("either", [1], "either must be a whole number or a string, not a list"),
        ],
    )
    def test_wrong_values_are_refused(self, key: str, value: Any, complaint: str) -> None:
        assert refusal({key: value}).startswith(f"Hub(config=...): [acme] {complaint}")

    def test_an_error_has_file_line_table_and_key(self, tmp_path: Path) -> None:
        config_file(tmp_path, '[acme]\nname = "x"\n\nbudget_ms = "many"\n')
        with pytest.raises(ConfigError) as caught:
            load(tmp_path).table("acme", Acme)
        assert str(caught.value) == (
            'vectis.toml:4: [acme] budget_ms must be a whole number, not the string "many"'
        )

    def test_an_unknown_key_is_an_error_with_the_nearest(self, tmp_path: Path) -> None:
        config_file(tmp_path, "[acme]\nbudget-ms = 3\n")
        with pytest.raises(ConfigError) as caught:
            load(tmp_path).table("acme", Acme)
        assert str(caught.value) == (
            "vectis.toml:2: [acme] budget-ms is not a key of this table; did you mean 'budget_ms'?"
        )

    def test_an_unknown_key_like_none_lists_them_all(self) -> None:
        @attrs.frozen
        class Small:
            one: int = 1
            two: int = 2

        with pytest.raises(ConfigError, match=r"zzz is not a key .*; it may have: one, two"):
            Config.of({"small": {"zzz": 1}}, {}).table("small", Small)

    def test_a_table_must_be_a_table(self, tmp_path: Path) -> None:
        config_file(tmp_path, "\nacme = 3")
        config = load(tmp_path)
        with pytest.raises(ConfigError, match=r"^vectis\.toml:2: acme must be a table: write"):
            config.table("acme", Acme)

    def test_one_broken_table_leaves_the_others_alone(self, tmp_path: Path) -> None:
        config_file(tmp_path, '[acme]\nnonsense = 1\n[hub]\nsource = "shop"')
        config = load(tmp_path)
        with pytest.raises(ConfigError):
            config.table("acme", Acme)
        assert config.table("hub", HubSettings).source == "shop"

    def test_a_missing_required_key_is_named_with_its_variable(self, tmp_path: Path) -> None:
        config_file(tmp_path, "[login]")
        with pytest.raises(ConfigError, match=r"^vectis.toml: \[login\] user is missing.*_USER"):
            load(tmp_path).table("login", Login)
        assert load(tmp_path, VECTIS_LOGIN_USER="me").table("login", Login) == Login("me")

    def test_a_long_value_is_cut_and_stays_on_one_line(self) -> None:
        message = refusal({"budget_ms": "a\nb" * 1000})
        assert len(message) < 200
        assert "\n" not in message

    def test_validators_of_the_class_have_their_say(self) -> None:
        @attrs.frozen
        class Checked:
            count: int = attrs.field(default=1, validator=attrs.validators.in_([1, 2]))
            low: int = 0
            high: int = 9

            def __attrs_post_init__(self) -> None:
                if self.low > self.high:
                    raise ValueError("low is above high")

        with pytest.raises(ConfigError, match=r"\[checked\] count is not valid: 'count' must"):
            Config.of({"checked": {"count": 3}}, {}).table("checked", Checked)
        with pytest.raises(ConfigError, match=r"\[checked\] is not valid: low is above high$"):
            Config.of({"checked": {"low": 10}}, {}).table("checked", Checked)

    def test_defaults_that_the_class_itself_refuses(self) -> None:
        @attrs.frozen
        class Unhappy:
            def __attrs_post_init__(self) -> None:
                raise ValueError("nothing is configured")

        with pytest.raises(ConfigError, match=r"\[unhappy\] is not valid: nothing is configured"):
            Config.of({}, {}).table("unhappy", Unhappy)

    def test_a_type_that_is_missing_at_run_time_says_so(self) -> None:
        class Late:
            x: "Missing" = 1  # type: ignore[name-defined]  # noqa: F821 - it is the point

        with pytest.raises(ConfigError, match=r"Late cannot be resolved .*NameError"):
            Config.of({"late": {"x": 1}}, {}).table("late", attrs.define(Late))

    def test_a_settings_class_must_be_of_attrs(self) -> None:
        with pytest.raises(ConfigError, match="must be an attrs class"):
            Config.of({}, {}).table("acme", dict)

    def test_a_table_is_made_once(self) -> None:
        config = Config.of({"acme": {"budget_ms": 3}}, {})
        assert config.table("acme", Acme) is config.table("acme", Acme)


class TestEnvironment:
    def test_a_variable_wins_over_the_file_and_over_the_program(self, tmp_path: Path) -> None:
        config_file(tmp_path, '[consumer]\ngroup = "file"')
        config = load(tmp_path, VECTIS_CONSUMER_GROUP="environment")
        assert config.table("consumer", ConsumerSettings).group == "environment"
        assert config.origin("consumer", "group") == "VECTIS_CONSUMER_GROUP"
        assert acme({"budget_ms": 1}, VECTIS_ACME_BUDGET_MS="2").budget_ms == 2

    def test_dashes_are_underscores(self) -> None:
        config = Config.of({}, {"VECTIS_ACME_AUDIT_BUDGET_MS": "7"})
        assert config.table("acme-audit", Acme).budget_ms == 7

    def test_the_process_environment_is_the_default(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("VECTIS_PLUGINS_DISABLE", "acme-audit,other")
        settings = Config.of({}).table("plugins", PluginsSettings)
        assert settings.disable == ("acme-audit", "other")

    @pytest.mark.parametrize("text", ["true", "1", "yes", "on", "True", "ON"])
    def test_words_for_true(self, text: str) -> None:
        assert acme(VECTIS_ACME_EAGER=text).eager is True

    @pytest.mark.parametrize("text", ["false", "0", "no", "off", "False", "OFF"])
    def test_words_for_false(self, text: str) -> None:
        assert acme({"eager": True}, VECTIS_ACME_EAGER=text).eager is False

    def test_every_kind_of_value(self) -> None:
        settings = acme(
            VECTIS_ACME_BUDGET_MS="5",
            VECTIS_ACME_RATIO="2",
            VECTIS_ACME_NAME="x, y",
            VECTIS_ACME_LIMIT="3",
            VECTIS_ACME_PATH="other.db",
            VECTIS_ACME_MODE="fast",
            VECTIS_ACME_LEVEL="high",
            VECTIS_ACME_SIZE="2",
            VECTIS_ACME_PAIR="b,2",
            VECTIS_ACME_TAGS="a, b,",
            VECTIS_ACME_PORTS="1,2",
            VECTIS_ACME_OPTIONS='{"a": 1}',
            VECTIS_ACME_LOGIN='{"user": "me"}',
            VECTIS_ACME_EITHER="12",
        )
        assert settings == Acme(
            budget_ms=5,
            ratio=2.0,
            name="x, y",
            limit=3,
            path=Path("other.db"),
            mode="fast",
            level=Level.HIGH,
            size=Size.LARGE,
            pair=("b", 2),
            tags=("a", "b"),
            ports=[1, 2],
            options={"a": 1},
            login=Login("me"),
            either=12,
        )

    def test_nothing_is_none_where_none_is_allowed(self) -> None:
        settings = acme({"label": "x", "limit": 3}, VECTIS_ACME_LABEL="", VECTIS_ACME_LIMIT="")
        assert (settings.label, settings.limit) == (None, None)
        assert acme({"name": "x"}, VECTIS_ACME_NAME="").name == ""
        assert acme({"tags": ["x"]}, VECTIS_ACME_TAGS="").tags == ()

    @pytest.mark.parametrize(
        ("key", "text", "complaint"),
        [
            ("BUDGET_MS", "", 'budget_ms must be a whole number, not the string ""'),
            ("BUDGET_MS", "1.5", 'budget_ms must be a whole number, not the string "1.5"'),
            ("RATIO", "nan", "ratio must be a number, not nan"),
            ("EAGER", "maybe", 'eager must be true or false, not the string "maybe"'),
            ("MODE", "slow", 'mode must be one of "fast", "safe", not the string "slow"'),
            ("PORTS", "1,x", 'ports[1] must be a whole number, not the string "x"'),
            ("OPTIONS", "a=1", 'options must be a table, not the string "a=1"'),
        ],
    )
    def test_a_wrong_variable_is_named(self, key: str, text: str, complaint: str) -> None:
        message = refusal({}, {f"VECTIS_ACME_{key}": text})
        assert message.startswith(f"VECTIS_ACME_{key}: [acme] {complaint}")
        assert "without quotes" not in message

    def test_two_keys_with_one_variable_are_an_error_that_names_both(self) -> None:
        @attrs.frozen
        class Inner:
            audit_budget_ms: int = 1

        config = Config.of({}, {})
        config.table("acme-audit", Acme)
        with pytest.raises(ConfigError) as caught:
            config.table("acme", Inner)
        assert "[acme-audit] budget_ms and [acme] audit_budget_ms" in str(caught.value)
        assert "VECTIS_ACME_AUDIT_BUDGET_MS" in str(caught.value)

    def test_core_keeps_its_variables_whoever_asks_first(self) -> None:
        config = Config.of({}, {})
        made = attrs.make_class("Made", {"group": attrs.field(type=str, default="")})
        with pytest.raises(ConfigError, match=r"\[consumer\] group and \[Consumer\] group"):
            config.table("Consumer", made)
        mode = attrs.make_class("Mode", {"mode": attrs.field(type=str, default="")})
        with pytest.raises(ConfigError, match="VECTIS_SAFE_MODE, which is Vectis's own"):
            config.table("safe", mode)

    @pytest.mark.parametrize(("text", "answer"), [("1", True), ("off", False), ("", False)])
    def test_safe_mode(self, text: str, answer: bool) -> None:
        assert Config.of({}, {"VECTIS_SAFE_MODE": text}).safe_mode is answer
        assert Config.of({}, {}).safe_mode is False

    def test_safe_mode_is_true_or_false(self) -> None:
        with pytest.raises(ConfigError, match="VECTIS_SAFE_MODE must be true or false, not 'some'"):
            _ = Config.of({}, {"VECTIS_SAFE_MODE": "some"}).safe_mode

    @given(st.lists(st.integers()))
    def test_integers_come_back(self, numbers: list[int]) -> None:
        assert acme(VECTIS_ACME_PORTS=",".join(map(str, numbers))).ports == numbers
        for number in numbers[:1]:
            assert acme(VECTIS_ACME_BUDGET_MS=str(number)).budget_ms == number

    words = st.text(st.characters(exclude_characters=",")).map(str.strip).filter(bool)

    @given(st.lists(words))
    def test_lists_of_words_come_back(self, tags: list[str]) -> None:
        assert acme(VECTIS_ACME_TAGS=",".join(tags)).tags == tuple(tags)

    @given(st.floats(allow_nan=False))
    def test_numbers_come_back(self, number: float) -> None:
        assert acme(VECTIS_ACME_RATIO=repr(number)).ratio == number

    @given(
        st.sampled_from([field.name for field in attrs.fields(Acme)]),
        st.text() | st.integers() | st.floats() | st.booleans() | st.lists(st.text()) | st.none(),
    )
    def test_no_value_does_anything_but_fit_or_be_refused(self, key: str, value: Any) -> None:
        with contextlib.suppress(ConfigError):
            acme({key: value})


class TestOrigins:
    text = """\
# settings
[plugins]
disable = [
    "acme-audit",  # noisy
    'other',
]
require = ["bus", "acme"]
[handlers]
"a:b" = { priority = 3 }
[handlers."acme-audit:record"]

enabled = false
[topics]
"vectis.orders" = [
    "order.created"
]
"""

    @pytest.fixture
    def config(self, tmp_path: Path) -> Config:
        config_file(tmp_path, self.text)
        return load(tmp_path)

    def test_a_key_has_its_line(self, config: Config) -> None:
        assert config.origin("plugins", "disable") == "vectis.toml:3"
        assert config.line("plugins", "require") == 7
        assert config.origin("handlers", "acme-audit:record") == "vectis.toml:10"
        assert config.origin("handlers", "a:b") == "vectis.toml:9"
        assert config.origin("topics", "vectis.orders") == "vectis.toml:14"
        assert config.origin("plugins", "enable") == "default"
        assert config.line("plugins", "enable") is None

    def test_an_element_has_its_line(self, config: Config) -> None:
        assert config.line_of_item("plugins", "disable", "acme-audit") == 4
        assert config.origin_of_item("plugins", "disable", "other") == "vectis.toml:5"
        assert config.origin_of_item("plugins", "require", "acme") == "vectis.toml:7"
        assert config.origin_of_item("topics", "vectis.orders", "order.created") == "vectis.toml:15"
        assert config.origin_of_item("handlers", "acme-audit:record", "enabled") == "vectis.toml:12"
        assert config.line_of_item("plugins", "disable", "absent") is None

    def test_a_variable_has_no_lines(self, tmp_path: Path) -> None:
        config_file(tmp_path, self.text)
        config = load(tmp_path, VECTIS_PLUGINS_DISABLE="other")
        assert config.origin_of_item("plugins", "disable", "other") == "VECTIS_PLUGINS_DISABLE"
        assert config.line_of_item("plugins", "disable", "other") is None

    def test_a_program_has_no_lines(self) -> None:
        config = Config.of({"plugins": {"disable": ["other"]}}, {})
        assert config.origin_of_item("plugins", "disable", "other") == "Hub(config=...)"
        assert config.line("plugins", "disable") is None

    def test_text_that_looks_like_a_table_deceives_nobody(self, tmp_path: Path) -> None:
        config_file(tmp_path, '[acme]\nname = """\n[acme]\nlimit = 1\n"""\nlimit = 2')
        config = load(tmp_path)
        assert config.origin("acme", "limit") == "vectis.toml:6"
        assert config.origin("acme", "name") == "vectis.toml:2"

    def test_values_are_those_of_the_tables_asked_for(self, config: Config) -> None:
        assert config.values() == []
        config.table("plugins", PluginsSettings)
        config.handlers()
        config.topics()
        shown = [(one.table, one.key, one.value, one.origin) for one in config.values()]
        assert shown == [
            ("plugins", "enable", None, "default"),
            ("plugins", "disable", ["acme-audit", "other"], "vectis.toml:3"),
            ("plugins", "require", ["bus", "acme"], "vectis.toml:7"),
            ("plugins", "fail_open", [], "default"),
            ('handlers."a:b"', "priority", 3, "vectis.toml:9"),
            ('handlers."acme-audit:record"', "enabled", False, "vectis.toml:12"),
            ("topics", "vectis.orders", ["order.created"], "vectis.toml:14"),
        ]


class TestSecrets:
    hidden = "hunter2"

    def everything_shown(self, config: Config) -> str:
        settings = config.table("acme", Acme)
        return f"{config.values()} {config!r} {settings!r} {[settings]} {attrs.asdict(settings)}"

    @pytest.mark.parametrize("key", ["api_password", "passcode"])
    def test_the_value_is_there_and_never_shown(self, key: str) -> None:
        for config in (
            Config.of({"acme": {key: self.hidden}}, {}),
            Config.of({}, {f"VECTIS_ACME_{key.upper()}": self.hidden}),
        ):
            assert getattr(config.table("acme", Acme), key) == self.hidden
            assert self.hidden not in self.everything_shown(config)
            assert {one.key: one.value for one in config.values()}[key] == "********"

    def test_a_secret_that_is_not_set_shows_as_such(self) -> None:
        config = Config.of({}, {})
        config.table("acme", Acme)
        assert {one.key: one.value for one in config.values()}["passcode"] is None

    def test_secrets_inside_tables_are_masked(self) -> None:
        config = Config.of({"acme": {"login": {"user": "me", "password": self.hidden}}}, {})
        assert self.hidden not in self.everything_shown(config)
        shown = {one.key: one.value for one in config.values()}["login"]
        assert shown == {"user": "me", "password": "********"}

    def test_a_password_in_an_address_is_masked(self) -> None:
        config = Config.of({"acme": {"label": "redis://me:hunter2@host/0"}}, {})
        config.table("acme", Acme)
        shown = {one.key: one.value for one in config.values()}["label"]
        assert shown == "redis://me:********@host/0"

    @pytest.mark.parametrize(
        "values",
        [
            {"passcode": ["hunter2"]},
            {"api_password": {"x": "hunter2"}},
            {"login": {"user": "me", "password": ["hunter2"]}},
            {"mode": "redis://me:hunter2@host"},
        ],
    )
    def test_errors_do_not_quote_secrets(self, values: dict[str, Any]) -> None:
        with pytest.raises(ConfigError) as caught:
            acme(values)
        assert self.hidden not in "".join(traceback.format_exception(caught.value))

    def test_conversion_errors_do_not_quote_them_either(self) -> None:
        @attrs.frozen
        class Numbers:
            secret_number: int = 0
            tokens: tuple[int, ...] = ()

        for key, text in (("SECRET_NUMBER", self.hidden), ("TOKENS", f"1,{self.hidden}")):
            for config in (
                Config.of({}, {f"VECTIS_NUMBERS_{key}": text}),
                Config.of({"numbers": {key.lower(): text}}, {}),
            ):
                with pytest.raises(ConfigError) as caught:
                    config.table("numbers", Numbers)
                assert self.hidden not in "".join(traceback.format_exception(caught.value))
                assert key.lower() in str(caught.value)

    def test_nor_do_validators(self) -> None:
        def long_enough(_: object, field: Any, value: str) -> None:
            raise ValueError(f"{value!r} is too short", field, value)

        @attrs.frozen
        class Guarded:
            api_token: str = attrs.field(default="", validator=long_enough)
            other: str = ""

        config = Config.of({"guarded": {"api_token": self.hidden}}, {})
        with pytest.raises(ConfigError, match=r"api_token is not valid .why is hidden") as caught:
            config.table("guarded", Guarded)
        assert self.hidden not in "".join(traceback.format_exception(caught.value))

    def test_metadata_has_the_last_word(self) -> None:
        @attrs.frozen
        class Named:
            max_tokens: int = attrs.field(default=1, metadata={"secret": False})
            pin: str = attrs.field(default="", metadata={"secret": True})

        config = Config.of({"named": {"max_tokens": 9, "pin": "1234"}}, {})
        config.table("named", Named)
        assert [one.value for one in config.values()] == [9, "********"]


class TestWarnings:
    def test_a_table_without_a_plugin_is_a_warning(self, tmp_path: Path) -> None:
        config_file(tmp_path, "[acme_audit]\nx = 1\n[bus]\n")
        assert load(tmp_path).warnings(["bus", "acme-audit"]) == [
            (
                "vectis.toml:1: no installed plugin has the table [acme_audit], so it is ignored; "
                "did you mean acme-audit?"
            )
        ]

    def test_a_key_outside_any_table_is_a_warning(self, tmp_path: Path) -> None:
        config_file(tmp_path, "budget_ms = 3")
        assert load(tmp_path).warnings([]) == [
            "vectis.toml:1: budget_ms stands outside any table, so it is ignored"
        ]

    def test_an_unknown_variable_is_a_warning_with_the_nearest(self) -> None:
        config = Config.of({}, {"VECTIS_CONSUMER_GRUOP": "x", "VECTIS_ZZZ": "1", "OTHER": "1"})
        assert config.warnings([]) == [
            (
                "VECTIS_CONSUMER_GRUOP is not a variable that Vectis or a plugin knows, "
                "so it is ignored; did you mean VECTIS_CONSUMER_GROUP?"
            ),
            "VECTIS_ZZZ is not a variable that Vectis or a plugin knows, so it is ignored",
        ]

    def test_variables_of_a_plugin_count_once_its_table_was_asked_for(self) -> None:
        config = Config.of({}, {"VECTIS_ACME_NAME": "x", "VECTIS_ACME_NAMEN": "x"})
        assert config.warnings(["acme"]) == []  # it may be disabled: nobody knows its keys
        config.table("acme", Acme)
        (warning,) = config.warnings(["acme"])
        assert "did you mean VECTIS_ACME_NAME?" in warning

    def test_core_variables_are_known(self, tmp_path: Path) -> None:
        config = load(tmp_path, VECTIS_CONFIG="", VECTIS_SAFE_MODE="1", VECTIS_HUB_SOURCE="x")
        assert config.warnings([]) == []

    def test_handlers_and_topics_have_no_variables(self) -> None:
        config = Config.of({}, {"VECTIS_HANDLERS_A_B_PRIORITY": "1"})
        assert config.warnings([]) == [
            (
                "VECTIS_HANDLERS_A_B_PRIORITY has no effect: [handlers] and [topics] are read from "
                "the file only"
            )
        ]


HEAVY = ("cattrs", "tomllib", "tomlkit", "difflib", "vectis.core._structure")


def imported_by(program: str, folder: Path) -> list[str]:
    """Return which heavy modules a fresh process has after running a program."""
    program += f"\nimport json, sys; print(json.dumps([m for m in {HEAVY} if m in sys.modules]))"
    # Measuring coverage in the new process would import modules of its own.
    outside = ("VECTIS_", "COVERAGE_")
    environ = {key: value for key, value in os.environ.items() if not key.startswith(outside)}
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=folder,
        env=environ,
        capture_output=True,
        text=True,
        check=True,
    )
    loaded: list[str] = json.loads(done.stdout)
    return loaded


def test_a_process_without_config_imports_nothing_heavy(tmp_path: Path) -> None:
    config_file(tmp_path, '[project]\ndependencies = ["vectis-hub"]', "pyproject.toml")
    program = """
from vectis.core.settings import Config, ConsumerSettings, HubSettings, PluginsSettings
config = Config.load()
config.table("hub", HubSettings), config.table("plugins", PluginsSettings)
config.table("consumer", ConsumerSettings), config.handlers(), config.topics()
config.values(), config.warnings(["bus"])
"""
    assert imported_by(program, tmp_path) == []


def test_an_empty_config_file_costs_no_cattrs(tmp_path: Path) -> None:
    config_file(tmp_path, "")
    program = """
from vectis.core.settings import Config, HubSettings
Config.load().table("hub", HubSettings)
"""
    assert imported_by(program, tmp_path) == ["tomllib"]
