from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest

from vectis.core import Hub, safemode
from vectis.core.exceptions import ConfigError, PluginError
from vectis.core.plugins import Plugin, discover
from vectis.core.safemode import default_distributions

if TYPE_CHECKING:
    from pathlib import Path

    from tests.core.conftest import Install


def find(hub: Hub, name: str) -> Plugin:
    (plugin,) = [plugin for plugin in hub.plugins if plugin.name == name]
    return plugin


def test_installed_plugins_are_listed_without_import(install: Install) -> None:
    install("acme-audit", "raise SystemExit('imported')")
    (plugin,) = [plugin for plugin in discover() if plugin.name == "acme-audit"]
    assert (plugin.distribution, plugin.version, plugin.entry_point, plugin.state) == (
        "acme-audit",
        "1.0",
        "acme_audit",
        "enabled",
    )
    assert "acme_audit" not in sys.modules


def test_default_plugins_are_found_like_any_other() -> None:
    assert "bus" in [plugin.name for plugin in discover()]


def test_a_plugin_is_enabled_by_default_and_says_so(install: Install) -> None:
    install("acme-audit")
    plugin = find(Hub({}), "acme-audit")
    assert (plugin.state, plugin.reason) == ("loaded", "enabled by default")


def test_a_disabled_plugin_is_never_imported_and_names_the_line(
    install: Install, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("acme-audit", "raise SystemExit('imported')")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "vectis.toml").write_text('[plugins]\ndisable = ["acme-audit"]\n')
    plugin = find(Hub(), "acme-audit")
    assert (plugin.state, plugin.reason) == ("disabled", "disabled by vectis.toml:2")
    assert "acme_audit" not in sys.modules


def test_the_environment_disables_too(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    install("acme-audit", "raise SystemExit('imported')")
    monkeypatch.setenv("VECTIS_PLUGINS_DISABLE", "other,acme-audit")
    plugin = find(Hub({}), "acme-audit")
    assert (plugin.state, plugin.reason) == ("disabled", "disabled by VECTIS_PLUGINS_DISABLE")


def test_an_allow_list_leaves_the_others_out(install: Install) -> None:
    install("acme-audit")
    install("acme-cache")
    hub = Hub({"plugins": {"enable": ["bus", "acme-audit"]}})
    assert find(hub, "acme-audit").state == "loaded"
    assert "enabled by" in find(hub, "acme-audit").reason
    assert find(hub, "acme-cache").state == "disabled"
    assert "not in the list of" in find(hub, "acme-cache").reason


def test_disable_wins_over_enable(install: Install) -> None:
    install("acme-audit")
    hub = Hub({"plugins": {"enable": ["acme-audit"], "disable": ["acme-audit"]}})
    assert find(hub, "acme-audit").state == "disabled"


def test_two_plugins_with_one_name_are_refused_and_both_shown(install: Install) -> None:
    install("acme-audit", distribution="acme")
    install("acme-audit", None, distribution="other", entry="other_module")
    hub = Hub({})
    both = [plugin for plugin in hub.plugins if plugin.name == "acme-audit"]
    assert [plugin.state for plugin in both] == ["quarantined", "quarantined"]
    for plugin in both:
        assert "acme (acme_audit) and other (other_module)" in plugin.reason
        assert plugin.remedy == (
            "uninstall one: `pip uninstall acme` or `pip uninstall other`; "
            "`vectis plugins disable acme-audit` leaves out all of this name"
        )


def test_one_given_to_the_hub_clashes_with_an_installed_one_too(install: Install) -> None:
    class Mine: ...

    install("acme-audit")
    hub = Hub({}, plugins={"acme-audit": Mine})
    both = [plugin for plugin in hub.plugins if plugin.name == "acme-audit"]
    assert "Hub(plugins=...) (Mine)" in both[0].reason
    assert "give the one of Hub(plugins=...) another name, or `pip uninstall" in both[0].remedy


@pytest.mark.parametrize("name", ["app", "hub", "plugins", "consumer", "handlers", "topics"])
def test_a_plugin_cannot_have_the_name_of_a_table_of_vectis(name: str) -> None:
    hub = Hub({}, plugins={name: object()}, discover=False)
    assert find(hub, name).state == "quarantined"
    assert "a name of Vectis's own" in find(hub, name).reason
    assert "rename its entry point" in find(hub, name).remedy


def test_a_disabled_plugin_with_such_a_name_is_just_disabled() -> None:
    hub = Hub({"plugins": {"disable": ["hub"]}}, plugins={"hub": object()}, discover=False)
    assert find(hub, "hub").state == "disabled"


def test_require_of_a_plugin_that_is_not_installed_suggests_the_nearest() -> None:
    with pytest.raises(PluginError, match=r"'buss', required by .*, is not installed.*'bus'\?"):
        Hub({"plugins": {"require": ["buss"]}})


def test_require_of_a_disabled_plugin_names_both_settings() -> None:
    with pytest.raises(PluginError, match=r"required by Hub.*, is disabled by Hub"):
        Hub({"plugins": {"require": ["bus"], "disable": ["bus"]}})


def test_require_of_a_broken_plugin_is_a_start_up_error_with_its_cause(install: Install) -> None:
    install("acme-audit", "raise ValueError('no licence file')")
    with pytest.raises(PluginError, match=r"acme-audit \(acme-audit 1\.0\).*no licence file"):
        Hub({"plugins": {"require": ["acme-audit"]}})


def test_a_chosen_transport_that_is_not_installed_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match=r"\[hub\] transport = 'rabbit' is no installed plugin"):
        Hub({"hub": {"transport": "rabbit"}})


def test_a_plugin_owns_its_module_and_what_lies_inside() -> None:
    plugin = Plugin(name="acme", entry_point="acme.plugin:Plugin")
    assert plugin.owns("acme.plugin")
    assert plugin.owns("acme.plugin.handlers")
    assert not plugin.owns("acme.plugins")
    assert not plugin.owns(None)


def test_safe_mode_leaves_the_default_plugins_only(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("acme-audit", "raise RuntimeError('imported')")
    monkeypatch.setenv("VECTIS_SAFE_MODE", "1")
    plugins = {plugin.name: plugin for plugin in Hub({}).plugins}
    assert {name for name, plugin in plugins.items() if plugin.state == "loaded"} == {
        "bus",
        "redpanda",
    }
    assert plugins["acme-audit"].reason == "disabled by VECTIS_SAFE_MODE: default plugins only"


def test_the_name_of_a_default_plugin_is_no_privilege(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VECTIS_SAFE_MODE", "1")
    (plugin,) = Hub({}, plugins={"bus": object()}, discover=False).plugins
    assert plugin.state == "disabled"


def test_the_config_counts_in_safe_mode_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VECTIS_SAFE_MODE", "1")
    hub = Hub({"plugins": {"disable": ["redpanda"]}})
    assert [plugin.name for plugin in hub.plugins if plugin.state == "loaded"] == ["bus"]


def test_safe_mode_is_said_once_with_what_is_left_out(
    install: Install, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    install("acme-audit")
    monkeypatch.setenv("VECTIS_SAFE_MODE", "1")
    Hub({})
    (said,) = [record.getMessage() for record in caplog.records]
    assert said.startswith("VECTIS_SAFE_MODE is set, so only the default plugins are loaded")
    assert "acme-audit" in said
    assert "bus" not in said.partition("not loaded")[2]


def test_the_default_plugins_are_those_that_the_metadistribution_requires(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = default_distributions()
    assert real == {"vectis-core", "vectis-bus", "vectis-redpanda"}
    info = tmp_path / "vectis_hub-9.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        "Name: vectis-hub\nVersion: 9\nRequires-Dist: vectis-core==9\n"
        "Requires-Dist: Acme_Bus>=1\nRequires-Dist: acme-extra; extra == 'more'\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    assert default_distributions() == {"vectis-core", "acme-bus"}
    monkeypatch.setattr(safemode, "installed", lambda name: None)
    assert default_distributions() == real - {"vectis-core"}
