"""Which tests stay together where processes share a run: `pytest -n 3 --dist loadfile`.

A file stays whole, so that a fixture of its module is made once and a page of the documentation
is read from top to bottom. Files that share something dear, a broker or the wheels, stay together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

# What shares what, by the beginnings of paths. Brokers are one group: several that start at once
# leave each other so little time that nodes and sessions are given up.
TOGETHER: Mapping[str, tuple[str, ...]] = {
    "brokers": (
        "tests/commerce/test_broker.py",
        "tests/faults/test_brokers.py",
        "tests/kafka/",
        "tests/redpanda/",
        "tests/system/test_demo_on_a_broker.py",
    ),
    "wheels": (
        "tests/system/test_enabling_wheels.py",
        "tests/system/test_generated_plugin.py",
        "tests/system/test_newcomer.py",
        "tests/system/test_packaging.py",
        "tests/system/test_removal.py",
        "tests/system/test_wheels.py",
    ),
}
DEAR = {
    "broker": "brokers",
    "kafka_jars": "brokers",
    "tansu": "brokers",
    "wheelhouse": "wheels",
}
"""The fixtures that all dear ones are made from, and who may ask for them."""


def group_of(test: str) -> str:
    """Return what a test stays together with, by its node id: a name of `TOGETHER`, or its file."""
    file = test.split("::")[0]
    for group, beginnings in TOGETHER.items():
        if file.startswith(beginnings):
            return group
    return file


# Not by xdist's own marks: with pytest 9.2 it does not see them (pytest-xdist #1386).
@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Hand out groups where `--dist loadfile` would hand out files."""
    if config.getoption("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    scheduler = LoadFileScheduling(config, log)
    scheduler._split_scope = group_of  # the one thing in which its schedulers differ
    return scheduler


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell each process that it is handed whole groups."""
    node.workerinput["groups"] = node.config.getoption("dist") == "loadfile"


def is_last_of(group: str, item: pytest.Item, nextitem: pytest.Item | None) -> bool:
    """Tell whether this process has no more tests of a group, as far as it can know.

    Args:
        group: A name of `TOGETHER`.
        item: The test that has just run.
        nextitem: The one after it, if there is one.
    """
    leaves = nextitem is not None and group_of(nextitem.nodeid) != group
    return _groups(item.config) and leaves and group_of(item.nodeid) == group


def _groups(config: pytest.Config) -> bool:
    """Whether this process is handed whole groups."""
    return bool(getattr(config, "workerinput", {}).get("groups"))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Refuse a test that would start a broker, or build wheels, beside those of its group.

    Where groups are handed out, the dear ones are the first: they take the longest.
    """
    if _groups(config):
        items.sort(key=lambda item: group_of(item.nodeid) not in TOGETHER)
    for item in items:
        for fixture in getattr(item, "fixturenames", ()):  # an example in a page has none
            group = DEAR.get(fixture)
            if group and group_of(item.nodeid) != group:
                file = item.nodeid.split("::")[0]
                raise pytest.UsageError(
                    f"{item.nodeid} asks for {fixture!r}, and another process may do so at the "
                    f"same time: add {file} to {group!r} of TOGETHER in tests/sharing.py"
                )


@pytest.hookimpl(wrapper=True)
def pytest_report_to_serializable() -> Generator[None, Any, Any]:
    """Have a report that holds half a character, in a log for instance, reach the other process."""
    return _encodable((yield))


def _encodable(data: Any) -> Any:
    match data:
        case str():
            return data.encode("utf-8", "backslashreplace").decode("utf-8")
        case dict():
            return {key: _encodable(value) for key, value in data.items()}
        case list() | tuple():
            return type(data)(map(_encodable, data))
        case _:
            return data
