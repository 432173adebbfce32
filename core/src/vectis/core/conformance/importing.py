"""What the import of a plugin does beside defining things, and whether its hooks fit.

Python reports what is opened, started and connected to as audit events; what they miss is compared
before and after.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import sysconfig
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vectis.core import hookspecs
from vectis.core.conformance.findings import Finding, not_checked
from vectis.core.conformance.leftovers import descriptors
from vectis.core.exceptions import PluginError
from vectis.core.hookchecks import checked
from vectis.core.hookhistory import outdated
from vectis.core.loader import unmarked_hooks
from vectis.core.places import place
from vectis.core.plugins import discover
from vectis.core.redact import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

__all__ = ["examine"]

_LATER = "Do it in vectis_startup, and undo it in vectis_shutdown"
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_CHANGES = ("os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.link", "os.symlink", "os.chmod")
_STARTS = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "os.forkpty")
_CONNECTS = ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto")
_STANDARD = sysconfig.get_path("stdlib")


def examine(name: str, module: str) -> list[Finding]:
    """Import a plugin, once in this process, and tell what that did and how its hooks are.

    Args:
        name: The plugin's name.
        module: Its module, which is looked for first when somebody did something.
    """
    (plugin,) = (one for one in discover() if one.name == name)
    watch = _Watch()
    before = _state()
    sys.addaudithook(watch)
    watch.on = True
    try:
        loaded = plugin.load()
        if isinstance(loaded, type):
            loaded = loaded()
    except BaseException as error:  # SystemExit too
        watch.on = False
        where = place(error, module)
        if isinstance(error, PluginError) and error.remedy:
            advice = error.remedy[:1].upper() + error.remedy[1:]
            return [Finding("hooks", str(error), advice), not_checked("import")]
        cause = one_line(f"{type(error).__name__}: {error}", limit=500)
        text = f"it cannot be imported: {cause}"
        advice = f"Mend the import{f', {where}' if where else ''}"
        return [Finding("hooks", text, advice), not_checked("import")]
    watch.on = False
    effects = [*watch.findings.values(), *_changed(before, _state()), *_started()]
    return [*effects, *_hooks(loaded)]


class _Watch:
    """Notes the audit events of an import, each kind of effect once for each place."""

    def __init__(self) -> None:
        self.on = False
        self.findings: dict[str, Finding] = {}

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.on:
            return
        text = _effect(event, arguments)
        if text is not None:
            self.on = False  # looking for the place must not be looked at
            text = f"{text} when imported{_place(sys._getframe(1))}"
            self.findings.setdefault(text, Finding("import", text, _LATER))
            self.on = True


def _effect(event: str, arguments: tuple[Any, ...]) -> str | None:
    if event == "open":
        path, mode, flags = arguments
        if isinstance(path, int) or path == os.devnull:
            return None
        wanted = any(sign in mode for sign in "wax+") if isinstance(mode, str) else flags & _WRITES
        return f"it writes to the file {path}" if wanted else None
    if event in _CHANGES:
        return f"it changes the file system ({event} of {arguments[0]})"
    if event in _STARTS:
        return f"it starts a process ({event})"
    if event in _CONNECTS:
        return f"it uses the network ({event})"
    return None


def _place(frame: FrameType | None) -> str:
    """Name the nearest line that is neither the standard library's nor an importer's."""
    while frame is not None:
        file = frame.f_code.co_filename
        standard = file.startswith(_STANDARD) and "site-packages" not in file
        name = str(frame.f_globals.get("__name__", ""))
        if not (standard or file.startswith("<") or name.startswith("vectis.core.conformance")):
            return f", at {Path(file).name}:{frame.f_lineno}"
        frame = frame.f_back
    return ""


def _state() -> dict[str, Any]:
    root = logging.getLogger()
    return {
        "environment variables": dict(os.environ),
        "the working directory": str(Path.cwd()),
        "signal handlers": {s: signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)},
        "the root logger": (root.level, tuple(root.handlers)),
        "sys.excepthook": sys.excepthook,
        "open files or sockets": descriptors(),
    }


def _changed(before: dict[str, Any], after: dict[str, Any]) -> Iterator[Finding]:
    for what, was in before.items():
        if after[what] == was:
            continue
        if isinstance(was, dict) and what.startswith(("env", "open")):
            names = {key for key in {*was, *after[what]} if was.get(key) != after[what].get(key)}
            shown = (
                sorted(after[what].get(n, n) for n in names) if what[0] == "o" else sorted(names)
            )
            what = f"{what} ({', '.join(map(str, shown))})"
        verb = "leaves" if what.startswith("open") else "changes"
        yield Finding("import", f"it {verb} {what} when imported", _LATER)


def _started() -> Iterator[Finding]:
    for thread in threading.enumerate():
        if thread is not threading.main_thread():
            yield Finding("import", f"it starts the thread {thread.name!r} when imported", _LATER)


def _hooks(loaded: Any) -> Iterator[Finding]:
    try:
        found = list(checked(loaded, hookspecs))
    except BaseException as error:  # looking at a foreign object runs foreign code
        yield Finding("hooks", str(error), "Until then it is quarantined")
        return
    for hook in unmarked_hooks(loaded):
        yield Finding("hooks", f"{hook} is called by nobody", "Write @hookimpl above it")
    for hook, function in found:
        for sentence in outdated(getattr(hookspecs, hook), hook, function):
            yield Finding("hooks", sentence, "It goes on working for now", fault=False)
