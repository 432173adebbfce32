"""What runs inside an emit of the demo, for `vectis explain` and `vectis handlers` in its folder.

The demo hands guard, audit and cache to its own hub, whose process is gone afterwards. The
`vectis.toml` of its folder names this module, which subscribes the same ones, under their names and
with their priorities, to the default hub. Neither the demo nor its worker imports it.
"""

from __future__ import annotations

from pathlib import Path

from vectis.core.default import default_hub
from vectis.core.marks import marked
from vectis_commerce.demo.folder import AUDIT
from vectis_commerce.demo.plugins import LIMIT, Audit, Cache, Guard

__all__: list[str] = []

for _name, _plugin in (("guard", Guard(LIMIT)), ("audit", Audit(Path(AUDIT))), ("cache", Cache())):
    for _handler, _mark in marked(_plugin):
        # Not on `event_bus`, where they would be the installed plugin's whose package this is.
        default_hub().place(_mark.subscription(_handler, _name))
