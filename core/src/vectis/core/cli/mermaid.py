"""A graph as Mermaid text, which code hosts and documentation tools draw."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from vectis.core.redact import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vectis.core.graph import Graph, Node

__all__ = ["mermaid"]

# What opens and closes the shape of each layer.
_SHAPES = {
    "publisher": ("([", "])"),
    "event": ("[", "]"),
    "topic": ("[(", ")]"),
    "handler": ("(", ")"),
}

# Mermaid writes characters by their number, #34; for a quote, so that no name can end a label or be
# taken for HTML or Markdown.
_WRITTEN = {ord(char): f"#{ord(char)};" for char in '"#&<>`'}


def mermaid(drawn: Graph) -> str:
    """Return the text of a flow chart, from the publishers on the left to the handlers.

    Example:
        >>> from vectis.core import Hub
        >>> from vectis.core.cli.mermaid import mermaid
        >>> from vectis.core.graph import graph
        >>> print(mermaid(graph(Hub({"topics": {"orders": ["order.created"]}}, discover=False))))
        flowchart LR
          n0(["undeclared"])
          n1["order.created"]
          n2[("orders<br/>no transport")]
          n0 --> n1
          n1 --> n2
          classDef off stroke-dasharray: 4 4
    """
    return "\n".join(["flowchart LR", *(f"  {text}" for text in _lines(drawn))])


def _lines(drawn: Graph) -> Iterator[str]:
    numbers = {node.id: f"n{number}" for number, node in enumerate(drawn.nodes)}
    for node in drawn.nodes:
        if node.layer != "handler":
            yield _node(node, numbers[node.id])
    handlers = sorted(drawn.layer("handler"), key=lambda node: node.plugin)
    for number, (plugin, group) in enumerate(groupby(handlers, key=lambda node: node.plugin)):
        yield f'subgraph p{number}["{_written(plugin)}"]'
        for node in group:
            yield "  " + _node(node, numbers[node.id])
        yield "end"
    for edge in drawn.edges:
        label = f'|"{_written(edge.text)}"|' if edge.text else ""
        yield f"{numbers[edge.source]} -->{label} {numbers[edge.target]}"
    for number, absent in enumerate(drawn.absent):
        yield f'a{number}["{_written(absent.plugin)}<br/>{_written(absent.state)}"]:::off'
    yield "classDef off stroke-dasharray: 4 4"


def _node(node: Node, number: str) -> str:
    opening, closing = _SHAPES[node.layer]
    note = f"<br/>{_written(node.note)}" if node.layer == "topic" or node.idle else ""
    off = ":::off" if node.idle else ""
    return f'{number}{opening}"{_written(node.label)}{note}"{closing}{off}'


def _written(text: str) -> str:
    return one_line(text).translate(_WRITTEN)
