"""Which plugins are disabled together, for a command that must not import them itself.

Who needs whom stands in the plugins, so that they have to be imported, and one of them may be what
ends or blocks a process: they are imported in a process of their own.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile

from vectis.core.needs import dependents
from vectis.core.plugins import Plugin

__all__ = ["with_dependents"]

_ENOUGH = 30.0  # seconds; it is advice, and whoever waits has the answer already
_VECTIS = "from vectis.core.cli import main; raise SystemExit(main())"


def with_dependents(name: str) -> list[str]:
    """Return a plugin's name, and behind it those of the plugins that need it.

    Of plugins that end or block the process in which they are imported nothing is known, and the
    name is alone then.

    Args:
        name: The plugin's name.
    """
    command = [sys.executable, "-c", _VECTIS, "plugins", "--load", "--json"]
    with tempfile.TemporaryFile() as output:
        try:
            subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.DEVNULL,
                timeout=_ENOUGH,
                check=False,
            )
            output.seek(0)
            found = json.loads(output.read())
        except (OSError, ValueError, subprocess.TimeoutExpired):
            return [name]
    plugins = [
        Plugin(name=one["name"], state=one["state"], requires=tuple(one["requires"]))
        for one in found
    ]
    if not any(plugin.name == name and plugin.state == "loaded" for plugin in plugins):
        return [name]  # nothing can need what is not loaded, and it is disabled alone
    return [name, *(plugin.name for plugin in dependents(name, plugins))]
