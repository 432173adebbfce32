"""A graph as one SVG picture, without any program or library to lay it out.

The graph has layers by nature, so a column for each is all the layout there is; inside a column
everything is put next to what it is connected with on its left.
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import attrs

from vectis.core.graph import LAYERS
from vectis.core.redact import one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from xml.etree.ElementTree import Element

    from vectis.core.graph import Graph, Node

__all__ = ["svg"]

# In pixels. A character of a monospaced font of 12 is 7.2 wide.
_SIZE = 12
_CHARACTER = 7.2
_HEIGHT = 26  # of a box
_PITCH = 36  # from one box to the next below
_PADDING = 10
_BETWEEN = 110  # columns; edges have this much room
_TOP = 70  # above the first box, for the titles
_FRAME = 22  # above the first handler of a plugin, for its name

_TITLES = {
    "publisher": "publishers",
    "event": "event types",
    "topic": "topics",
    "handler": "handlers, by plugin",
}
_FILLS = {"publisher": "#dbeafe", "event": "#f3f4f6", "topic": "#fef3c7", "handler": "#dcfce7"}
_STYLE = f"font-family: ui-monospace, monospace; font-size: {_SIZE}px"


@attrs.frozen
class _Box:
    x: float
    y: float
    width: float

    @property
    def middle(self) -> float:
        return self.y + _HEIGHT / 2


def svg(drawn: Graph) -> str:
    """Return the picture as an SVG document."""
    boxes = _laid_out(drawn)
    bottom = max((box.y for box in boxes.values()), default=_TOP) + 2 * _PITCH
    width = max((box.x + box.width for box in boxes.values()), default=400) + 3 * _PADDING
    notes = [f"{absent.plugin} is {one_line(absent.why)}" for absent in drawn.absent]
    width = max(width, *(_width(note) + 4 * _PADDING for note in notes), 0)
    height = bottom + len(notes) * 2 * _SIZE
    root = ElementTree.Element(
        "svg",
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {width:.0f} {height:.0f}",
        width=f"{width:.0f}",
        height=f"{height:.0f}",
        style=_STYLE,
    )
    _add(root, "title", text="Publishers, event types, topics and handlers")
    _arrow_head(root)
    _add(root, "rect", width="100%", height="100%", fill="white")
    _titles(root, drawn, boxes)
    for edge in drawn.edges:
        _curve(root, boxes[edge.source], boxes[edge.target], edge.text)
    _frames(root, drawn, boxes)
    for node in drawn.nodes:
        _draw(root, node, boxes[node.id])
    for number, note in enumerate(notes):
        _text(root, note, 2 * _PADDING, bottom + number * 2 * _SIZE, "#b45309")
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode")


def _laid_out(drawn: Graph) -> dict[str, _Box]:
    boxes: dict[str, _Box] = {}
    x = 2.0 * _PADDING
    for layer in LAYERS:
        nodes = _ordered(drawn, drawn.layer(layer), boxes)
        if not nodes:
            continue
        labels = [_TITLES[layer], *map(_label, nodes)]
        width = max(map(_width, labels)) + 2 * _PADDING
        y = float(_TOP)
        plugin: str | None = None
        for node in nodes:
            if layer == "handler" and node.plugin != plugin:
                plugin = node.plugin
                y += _FRAME
            boxes[node.id] = _Box(x, y, width)
            y += _PITCH
        x += width + _BETWEEN
    return boxes


def _ordered(drawn: Graph, nodes: Iterable[Node], boxes: Mapping[str, _Box]) -> list[Node]:
    """Put each at the mean height of what leads to it; handlers of one plugin stay together."""
    before: dict[str, list[float]] = {}
    for edge in drawn.edges:
        if edge.source in boxes:
            before.setdefault(edge.target, []).append(boxes[edge.source].y)
    mean = {target: sum(heights) / len(heights) for target, heights in before.items()}
    groups: dict[str, list[Node]] = {}
    for node in nodes:
        groups.setdefault(node.plugin if node.layer == "handler" else node.id, []).append(node)
    heights = {
        key: sum(mean.get(node.id, 0.0) for node in group) / len(group)
        for key, group in groups.items()
    }
    return [
        node
        for key in sorted(groups, key=lambda key: (heights[key], key))
        for node in sorted(groups[key], key=lambda node: (mean.get(node.id, 0.0), node.id))
    ]


def _label(node: Node) -> str:
    return (
        f"{node.label} ({node.plugin or 'no transport'})" if node.layer == "topic" else node.label
    )


def _width(text: str) -> float:
    from rich.cells import cell_len

    return cell_len(one_line(text)) * _CHARACTER


def _add(parent: Element, tag: str, text: str = "", **attributes: str) -> Element:
    named = {name.replace("_", "-"): value for name, value in attributes.items()}
    element = ElementTree.SubElement(parent, tag, named)
    element.text = text or None
    return element


def _text(parent: Element, text: str, x: float, y: float, fill: str = "#111827") -> None:
    _add(parent, "text", one_line(text), x=f"{x:.0f}", y=f"{y:.0f}", fill=fill)


def _arrow_head(root: Element) -> None:
    marker = _add(
        _add(root, "defs"),
        "marker",
        id="head",
        viewBox="0 0 8 8",
        refX="8",
        refY="4",
        markerWidth="7",
        markerHeight="7",
        orient="auto",
    )
    _add(marker, "path", d="M0,0 L8,4 L0,8 z", fill="#6b7280")


def _titles(root: Element, drawn: Graph, boxes: Mapping[str, _Box]) -> None:
    for layer in LAYERS:
        nodes = drawn.layer(layer)
        if nodes:
            _text(root, _TITLES[layer], boxes[nodes[0].id].x, 2.5 * _SIZE, "#6b7280")


def _curve(root: Element, source: _Box, target: _Box, label: str) -> None:
    x1, x2 = source.x + source.width, target.x
    bend = (x2 - x1) / 2
    path = (
        f"M{x1:.0f},{source.middle:.0f} C{x1 + bend:.0f},{source.middle:.0f} "
        f"{x2 - bend:.0f},{target.middle:.0f} {x2:.0f},{target.middle:.0f}"
    )
    curve = _add(root, "path", d=path, fill="none", stroke="#9ca3af", marker_end="url(#head)")
    if label:
        _add(curve, "title", one_line(label))


def _frames(root: Element, drawn: Graph, boxes: Mapping[str, _Box]) -> None:
    handlers = sorted(drawn.layer("handler"), key=lambda node: node.plugin)
    for plugin, group in groupby(handlers, key=lambda node: node.plugin):
        framed = [boxes[node.id] for node in group]
        top = min(box.y for box in framed) - _FRAME
        bottom = max(box.y for box in framed) + _HEIGHT
        _add(
            root,
            "rect",
            x=f"{framed[0].x - _PADDING / 2:.0f}",
            y=f"{top:.0f}",
            width=f"{framed[0].width + _PADDING:.0f}",
            height=f"{bottom - top + 5:.0f}",
            fill="none",
            stroke="#86efac",
            rx="6",
        )
        _text(root, plugin, framed[0].x, top + _SIZE + 3, "#15803d")


def _draw(root: Element, node: Node, box: _Box) -> None:
    group = _add(root, "g")
    if node.note:
        _add(group, "title", one_line(node.note))
    dashed = {"stroke_dasharray": "4 4"} if node.idle else {}
    _add(
        group,
        "rect",
        x=f"{box.x:.0f}",
        y=f"{box.y:.0f}",
        width=f"{box.width:.0f}",
        height=str(_HEIGHT),
        rx="13" if node.layer == "publisher" else "4",
        fill=_FILLS[node.layer],
        stroke="#6b7280",
        **dashed,
    )
    _text(group, _label(node), box.x + _PADDING, box.y + _HEIGHT / 2 + 4)
