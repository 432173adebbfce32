"""`vectis graph`: one picture in four forms, whatever the things in it are called."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.cli_world import World
from vectis.core import Hub
from vectis.core.cli.mermaid import mermaid
from vectis.core.cli.svg import svg
from vectis.core.graph import Edge, Graph, Node, graph

if TYPE_CHECKING:
    from pathlib import Path

SHOP = """
import attrs
from vectis.core import event_type, handles, hookimpl, on_event

@event_type("order.created", topic="shop.orders", forward=True, key="order_id")
@attrs.frozen
class OrderCreated:
    order_id: str

@event_type("order.paid")
@attrs.frozen
class OrderPaid:
    order_id: str

@hookimpl
def vectis_register_events(catalogue):
    catalogue.register(OrderCreated)
    catalogue.register(OrderPaid)

@handles("order.*", priority=20)
async def record(event): ...

@handles("order.created", priority=10)
async def check(event): ...
"""

APP = """
from vectis.core import handles, on_event

@on_event("order.created")
async def sync(event_type: str, payload: dict) -> None: ...

@on_event("order.lost")
async def lost(event_type: str, payload: dict) -> None: ...

@handles("cart.*")
async def count(event): ...
"""

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(tmp_path)
    made.install("acme-shop", plugin="shop = acme_shop", acme_shop=SHOP)
    made.install("acme-old", plugin="old = acme_old", acme_old="raise ValueError('too old')")
    made.module("app", APP)
    made.config(
        '[plugins]\ndisable = ["commerce", "redpanda"]\n\n[sqlite]\npath = "events.db"\n\n'
        '[handlers."shop:check"]\nenabled = false\n'
    )
    return made


def test_the_tree_goes_from_publishers_to_handlers(world: World) -> None:
    answer = world.vectis("graph", "--module", "app")
    assert answer.code == 0
    lines = answer.out.splitlines()
    assert lines[:11] == [
        "shop",
        "  order.created",
        "    bus   10  shop:check  disabled by vectis.toml:7",
        "    bus   20  shop:record",
        "    topic     shop.orders  forwarded, carried by sqlite",
        "              worker   50  app:sync",
        "  order.paid",
        "    bus   20  shop:record",
        "undeclared  types that no plugin declares",
        "  cart.*",
        "    bus   50  app:count",
    ]
    assert lines[11:] == [
        "  order.lost",
        "    bus   20  shop:record",
        "app:lost: no topic is known for what it handles",
        "commerce is disabled by vectis.toml:2",
        "old is quarantined: cannot be imported from 'acme_old': ValueError: too old",
        "redpanda is disabled by vectis.toml:2",
    ]


def test_json_has_nodes_and_edges(world: World) -> None:
    found = world.vectis("graph", "--module", "app", "--json").json
    nodes = {node["id"]: node for node in found["nodes"]}
    assert nodes["topic:shop.orders"]["plugin"] == "sqlite"
    assert found["bus"] == "bus"
    edges = {(edge["source"], edge["target"]): edge["label"] for edge in found["edges"]}
    priorities = {edge["target"]: edge["priority"] for edge in found["edges"]}
    assert priorities["handler:app:sync"] == 50
    assert priorities["handler:shop:record"] == 20
    assert priorities["topic:shop.orders"] is None
    assert edges["event:order.created", "topic:shop.orders"] == "forwarded"
    assert edges["topic:shop.orders", "handler:app:sync"] == "order.created"
    assert all(edge[0] in nodes and edge[1] in nodes for edge in edges)


def test_a_priority_of_the_config_is_in_every_form(world: World) -> None:
    text = (world.here / "vectis.toml").read_text()
    world.config(
        f'{text}[handlers."app:sync"]\npriority = 7\n[handlers."shop:record"]\npriority = 8'
    )
    lines = world.vectis("graph", "--module", "app").out.splitlines()
    assert "              worker    7  app:sync" in lines
    assert "    bus    8  shop:record" in lines
    drawn = world.vectis("graph", "--module", "app", "--mermaid").out
    assert drawn.count('-->|"order.created, 7"|') == 1
    assert drawn.count('-->|"8"|') == 3
    root = ElementTree.fromstring(world.vectis("graph", "--module", "app", "--svg").out)
    titles = [title.text for title in root.iterfind(f".//{SVG}path/{SVG}title")]
    assert titles.count("order.created, 7") == 1
    assert titles.count("8") == 3


def test_mermaid_has_a_frame_for_each_plugin_with_handlers(world: World) -> None:
    lines = world.vectis("graph", "--module", "app", "--mermaid").out.splitlines()
    assert lines[0] == "flowchart LR"
    assert [line.split('"')[1] for line in lines if "subgraph" in line] == ["app", "shop"]
    assert '  n6[("shop.orders<br/>carried by sqlite")]' in lines
    assert any(
        line.endswith('("shop:check<br/>disabled by vectis.toml:7"):::off') for line in lines
    )
    assert '  a1["old<br/>quarantined"]:::off' in lines


@pytest.mark.parametrize("forms", [("--mermaid", "--svg"), ("--svg", "--json")])
def test_two_forms_at_once_are_refused(world: World, forms: tuple[str, str]) -> None:
    answer = world.vectis("graph", "--module", "app", *forms)
    assert (answer.code, answer.out) == (2, "")
    assert "one form at a time" in answer.err


def test_svg_names_everything_and_stands_alone(world: World) -> None:
    answer = world.vectis("graph", "--module", "app", "--svg")
    root = ElementTree.fromstring(answer.out)
    texts = [element.text for element in root.iter(f"{SVG}text")]
    for name in ("shop", "order.created", "shop.orders (sqlite)", "app:sync", "app:lost"):
        assert name in texts
    assert "old is quarantined: cannot be imported from 'acme_old': ValueError: too old" in texts
    assert "http" not in answer.out.replace("http://www.w3.org/2000/svg", "")


def test_an_empty_hub_has_a_picture_too(world: World) -> None:
    world.config("[plugins]\nenable = []\n")
    assert "No event types and no handlers." in world.vectis("graph").out
    empty = graph(Hub({}, discover=False))
    assert mermaid(empty).splitlines()[0] == "flowchart LR"
    ElementTree.fromstring(svg(empty))


# Whatever things are called, and however many there are

anything = st.text(max_size=20)
LINE = re.compile(
    r"""\s+(?:
        [na]\d+ (?: \(\[L\]\) | \[\(L\)\] | \[L\] | \(L\) ) (?: :::off )?
      | n\d+\ -->(?:\|L\|)?\ n\d+ | subgraph\ p\d+\[L\] | end
      | classDef\ off\ stroke-dasharray:\ 4\ 4 )""".replace("L", r'"[^"`\n]*"'),
    re.VERBOSE,
)


@st.composite
def pictures(draw: st.DrawFn) -> Graph:
    nodes = [
        Node(id=f"{layer}:{number}", layer=layer, label=draw(anything), plugin=draw(anything))
        for layer in ("publisher", "event", "topic", "handler")
        for number in range(draw(st.integers(min_value=1, max_value=4)))
    ]
    pairs = [
        (one, other) for one in nodes for other in nodes if nodes.index(one) < nodes.index(other)
    ]
    crossing = [(one, other) for one, other in pairs if one.layer != other.layer]
    chosen = draw(st.lists(st.sampled_from(crossing), max_size=8))
    edges = [Edge(source=one.id, target=other.id, label=draw(anything)) for one, other in chosen]
    return Graph(nodes=tuple(nodes), edges=tuple(edges), bus=None, absent=())


@given(pictures())
def test_no_name_breaks_out_of_its_label_in_mermaid(drawn: Graph) -> None:
    first, *lines = mermaid(drawn).split("\n")
    assert first == "flowchart LR"
    assert [line for line in lines if not LINE.fullmatch(line)] == []


@given(pictures())
def test_svg_is_xml_and_no_box_covers_another(drawn: Graph) -> None:
    root = ElementTree.fromstring(svg(drawn))
    boxes = [
        tuple(float(group[0].attrib[key]) for key in ("x", "y", "width", "height"))
        if group[0].tag == f"{SVG}rect"
        else tuple(float(group[1].attrib[key]) for key in ("x", "y", "width", "height"))
        for group in root.iter(f"{SVG}g")
    ]
    assert len(boxes) == len(drawn.nodes)
    for column in {box[0] for box in boxes}:
        heights = sorted(box for box in boxes if box[0] == column)
        assert all(upper[1] + upper[3] <= lower[1] for upper, lower in pairwise(heights))
    right = float(root.attrib["width"])
    assert all(box[0] + box[2] <= right for box in boxes)


@pytest.mark.parametrize("command", ["graph", "catalog", "handlers", "explain a.b"])
def test_the_rest_is_shown_without_a_module_that_does_not_import(
    world: World, command: str
) -> None:
    world.module("shop", "from vectis.core import handles\n@handles('a.b')\ndef seen(event): ...\n")
    half = (
        "\n@handles('a.b')\ndef half(event): ...\n@on_event('a.b', topic='c')\ndef too(t, p): ...\n"
    )
    half += "event_bus.subscribe('a.b', half)\nraise ValueError('half written')\n"
    imports = "from vectis.core import event_bus, handles, on_event"
    world.module("broken", imports + half)
    world.config('[consumer]\nmodules = ["broken", "shop"]\n')
    answer = world.vectis(*command.split())
    assert answer.code == 1
    assert "app:seen" in answer.out
    assert "half" not in answer.out
    assert "app:too" not in answer.out
    assert "Warning: module 'broken' cannot be imported" in answer.err
    assert "ValueError: half written" in answer.err
    assert "What it holds is missing" in answer.err
    assert world.vectis("catalog", "export", "--format", "jsonschema").code == 2


def test_without_a_bus_its_handlers_are_marked_in_every_form(world: World) -> None:
    assert not any(node["waits"] for node in world.vectis("graph", "--json").json["nodes"])
    disabled = {"VECTIS_PLUGINS_DISABLE": "bus,commerce,redpanda"}
    answer = world.vectis("graph", **disabled)
    assert "shop:record  waits for a bus" in answer.out
    assert "shop:check  disabled by vectis.toml:" in answer.out
    assert "Handlers on the bus wait for one: no bus is enabled. " in answer.err
    nodes = world.vectis("graph", "--json", **disabled).json["nodes"]
    assert [node["label"] for node in nodes if node["waits"]] == ["shop:record"]
    drawn = world.vectis("graph", "--mermaid", **disabled).out
    assert 'shop:record<br/>waits for a bus"' in drawn.replace("#58;", ":")
    assert "waits for a bus" in world.vectis("graph", "--svg", **disabled).out
