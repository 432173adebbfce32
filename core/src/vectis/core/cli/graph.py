"""`vectis graph`: publishers, topics, handlers and plugins in one picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from vectis.core import graph as data
from vectis.core.absence import missing_bus
from vectis.core.cli.application import picture, quiet
from vectis.core.cli.group import module_option
from vectis.core.cli.screen import Styled, line, show_json, warn

if TYPE_CHECKING:
    from vectis.core.cli.screen import Cell
    from vectis.core.graph import Edge, Graph, Node

__all__ = ["graph"]


@click.command()
@module_option
@click.option("--mermaid", "as_mermaid", is_flag=True, help="Write Mermaid, for a page.")
@click.option("--svg", "as_svg", is_flag=True, help="Write SVG, for a browser.")
@click.option("--json", "as_json", is_flag=True, help="Write nodes and edges as JSON.")
def graph(modules: tuple[str, ...], as_mermaid: bool, as_svg: bool, as_json: bool) -> int:
    """Show who publishes what, where it travels and who handles it.

    A tree: each publisher with its event types, and below each the handlers on the bus and the
    topics with the handlers that the worker calls, both with their priority and in its order.
    Publishers are the
    plugins that declare an event type; types that none declares are together at the end.

    Exit code 1 when a module does not import: it is named, and the rest is shown.
    """
    if as_mermaid + as_svg + as_json > 1:
        raise click.UsageError("one form at a time: choose one of --mermaid, --svg and --json")
    quiet("vectis.plugins", "vectis.hub")
    lacking = "neither its handlers nor its event types are in the picture"
    with picture(modules, lacking) as seen:
        drawn = data.graph(seen.hub)
        missing = missing_bus(seen.hub)
    if as_json:
        show_json(drawn.plain())
    elif as_mermaid:
        from vectis.core.cli.mermaid import mermaid

        click.echo(mermaid(drawn))
    elif as_svg:
        from vectis.core.cli.svg import svg

        click.echo(svg(drawn))
    else:
        _show(drawn)
    if missing and any(node.waits for node in drawn.nodes):
        warn(f"Handlers on the bus wait for one: {missing}")
    return seen.code


def _show(drawn: Graph) -> None:
    publishers = sorted(drawn.layer("publisher"), key=lambda n: (n.label == data.UNDECLARED, n.id))
    for publisher in publishers:
        line(Styled(publisher.label, "key"), *_remark(publisher))
        for _, event in drawn.after(publisher):
            line(event.label, indent=2)
            for edge, target in drawn.after(event):
                _show_target(drawn, event, edge, target)
    if not publishers:
        line("No event types and no handlers. Name the application's modules with --module")
    _show_idle(drawn)
    for absent in drawn.absent:
        line(Styled(absent.plugin, "key"), f" is {absent.why}")


def _show_target(drawn: Graph, event: Node, edge: Edge, target: Node) -> None:
    if target.layer == "handler":
        line(target.label, *_remark(target), indent=4, lead=f"bus {edge.text:>4}  ")
        return
    remarks = [text for text in (edge.label, target.note) if text]
    line(target.label, Styled(f"  {', '.join(remarks)}", "hint"), indent=4, lead="topic     ")
    for further, handler in drawn.after(target):
        if further.label == event.label:
            line(
                handler.label, *_remark(handler), indent=14, lead=f"worker {further.priority:>4}  "
            )


def _show_idle(drawn: Graph) -> None:
    reached = {edge.target for edge in drawn.edges}
    idle = [node for node in drawn.layer("handler") if node.id not in reached]
    for node in idle:
        line(Styled(node.label, "key"), ": no topic is known for what it handles")


def _remark(node: Node) -> list[Cell]:
    return [Styled(f"  {node.note}", "warn" if node.idle else "hint")] if node.note else []
