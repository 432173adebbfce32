"""Runs the Python in README.md and docs/, each page from top to bottom, `await` included."""

from __future__ import annotations

import ast
import asyncio
import inspect
import os
import signal
from contextlib import suppress
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings
from sybil import Example, Sybil
from sybil.parsers.markdown import CodeBlockParser

from vectis.core.default import use_hub
from vectis.core.trial import trial

# A broker for whichever folder of tests asks for one.
pytest_plugins = ["tests.sharing", "tests.kafka.fixtures"]  # which builds on the first

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


# Whoever runs the tests in the background may ignore SIGINT, and processes inherit that: those
# that the tests start would then not hear of a Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)

# The hundreds of processes that the tests start would each compile everything anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# On a slow machine an example may take any time. The suite tries the same examples every time, so
# that it fails because of a change; `pytest --hypothesis-profile=explore` looks for new ones.
settings.register_profile("explore", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("suite", settings.get_profile("explore"), derandomize=True, database=None)
settings.load_profile("suite")


def evaluate(example: Example) -> None:
    """Run a block in its page's namespace."""
    source = "\n" * (example.line + example.parsed.line_offset - 1) + example.parsed
    code = compile(source, example.path, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    result = eval(code, example.namespace)
    if inspect.iscoroutine(result):
        asyncio.run(result)


class Turned(Exception):
    """A page was read to its end."""


@pytest.fixture
def fresh_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Run a page in an empty folder with a default hub of its own."""
    monkeypatch.chdir(tmp_path)
    before = use_hub(None)
    with suppress(Turned), trial():
        yield
        raise Turned  # takes back the marks of the page, which the next one's hub would adopt
    use_hub(before)


def names(namespace: dict[str, Any]) -> None:
    """Give a page what its application would have."""
    namespace |= {
        "__name__": "documentation",
        "current_user": SimpleNamespace(id=3),
        "mail_server_is_up": lambda: True,
        "order": SimpleNamespace(id=7, grand_total="12.50"),
        "product": SimpleNamespace(id=1, name="Milk"),
    }


pytest_collect_file = Sybil(
    parsers=[CodeBlockParser(language="python", evaluator=evaluate)],
    patterns=["README.md", "docs/*.md"],
    setup=names,
    fixtures=["fresh_hub"],
).pytest()
