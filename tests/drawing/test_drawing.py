from itertools import combinations, pairwise
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.transforms import Bbox
from numpy.typing import NDArray
from torch import nn

from raynas.drawing import Edge, Graph, Node, decision_graph, draw, figure
from raynas.errors import RaynasError, SpaceError
from raynas.nn import Choice, ModelSpace, Repeat
from raynas.nn.drawing import network_graph
from raynas.search_spaces import MLP, NASBench201
from raynas.search_spaces.darts import DARTS
from raynas.search_spaces.nasnet import NASNet


def rendered(graph: Graph) -> tuple[list[tuple[str, Bbox]], list[Bbox], list[FancyArrowPatch]]:
    """The texts with where they are, the boxes, the arrows."""
    picture = figure(graph)
    canvas = FigureCanvasAgg(picture)
    canvas.draw()
    renderer = canvas.get_renderer()
    (axes,) = picture.axes
    texts = [(t.get_text(), t.get_window_extent(renderer)) for t in axes.texts]
    boxes = [p.get_window_extent(renderer) for p in axes.patches if isinstance(p, FancyBboxPatch)]
    return texts, boxes, [p for p in axes.patches if isinstance(p, FancyArrowPatch)]


def points_of(arrow: FancyArrowPatch) -> NDArray[np.float64]:
    """Points on an arrow's line, a pixel or less apart."""
    assert arrow.axes
    lines = arrow.axes.transData.transform_path(arrow.get_path()).to_polygons(closed_only=False)
    bends = np.asarray(lines[0], dtype=np.float64)  # the others are the head
    return np.concatenate([np.linspace(a, b, 2 + int(np.abs(b - a).max())) for a, b in pairwise(bends)])


def overlap(first: Bbox, second: Bbox) -> bool:
    """Whether two boxes share more than a hair."""
    common = Bbox.intersection(first, second)
    return common is not None and common.width > 0.5 and common.height > 0.5


def assert_legible(graph: Graph) -> None:
    texts, boxes, arrows = rendered(graph)
    for (text, at), (other, there) in combinations(texts, 2):
        assert not overlap(at, there), (text, other)
    for at, there in combinations(boxes, 2):
        assert not overlap(at, there)
    inside = {text: at for text, at in texts}
    for node in graph.nodes:
        assert any(box.contains(*inside[node.shown].min) and box.contains(*inside[node.shown].max) for box in boxes)
    edge_texts = [(text, at) for text, at in texts if text in {edge.text for edge in graph.edges}]
    assert len(edge_texts) >= sum(bool(edge.text) for edge in graph.edges)
    for line in map(points_of, arrows):
        assert sum(crosses(line, at) for _, at in edge_texts) <= 1, "a line may cross no text but its own"
        assert not any(crosses(line, box) for box in boxes), "a line may cross no box"


def crosses(line: NDArray[np.float64], box: Bbox) -> bool:
    return bool(np.any(np.all((line > np.add(box.min, 2)) & (line < np.subtract(box.max, 2)), axis=1)))


def test_a_chain_is_drawn_in_order_from_left_to_right() -> None:
    texts, _, arrows = rendered(Graph([Node("a"), Node("b"), Node("c")], [Edge("a", "b"), Edge("b", "c")]))
    assert [text for text, at in sorted(texts, key=lambda t: t[1].x0)] == ["a", "b", "c"]
    assert len(arrows) == 2


def test_depth_gives_the_column_whatever_the_order() -> None:
    edges = [Edge("a", "c", "x"), Edge("c", "b", "y"), Edge("a", "b", "z")]
    places = {text: at for text, at in rendered(Graph([Node("b"), Node("c"), Node("a")], edges))[0]}
    assert places["a"].x1 < places["x"].x0 < places["c"].x0 < places["y"].x0 < places["b"].x0


def test_long_chains_go_on_in_the_next_row() -> None:
    names = [f"a block with a name {i}" for i in range(12)]
    graph = Graph([Node(n) for n in names], [Edge(a, b) for a, b in pairwise(names)])
    places = dict(rendered(graph)[0])
    assert places[names[0]].x0 < places[names[1]].x0
    assert places[names[-1]].y1 < places[names[0]].y0
    assert_legible(graph)


def test_panels_stand_one_below_the_other() -> None:
    nodes = [Node("a", panel="first"), Node("b", panel="second")]
    heights = {text: at.y0 for text, at in rendered(Graph(nodes, title="both"))[0]}
    assert sorted(heights, key=heights.__getitem__, reverse=True) == ["both", "first", "a", "second", "b"]


def test_crossings_are_avoided() -> None:
    nodes = [Node(name) for name in ("a", "b", "x", "y", "end")]
    edges = [Edge("a", "y", "1"), Edge("b", "x", "2"), Edge("x", "end", "3"), Edge("y", "end", "4")]
    places = {text: at.y0 for text, at in rendered(Graph(nodes, edges))[0]}
    assert (places["a"] > places["b"]) == (places["y"] > places["x"]) == (places["1"] > places["2"])


def test_several_edges_between_two_nodes_are_all_there() -> None:
    graph = Graph([Node("a"), Node("b")], [Edge("a", "b", "conv"), Edge("a", "b", "pool"), Edge("a", "b", "pool ")])
    assert_legible(graph)
    assert len(rendered(graph)[2]) == 3


def test_faint_edges_are_lighter() -> None:
    graph = Graph([Node("a"), Node("b")], [Edge("a", "b", "none", faint=True), Edge("a", "b", "conv")])
    faint, plain = rendered(graph)[2]
    assert sum(to_rgb(faint.get_edgecolor())) > sum(to_rgb(plain.get_edgecolor()))
    assert faint.get_linestyle() != plain.get_linestyle()


def test_a_dollar_is_a_dollar() -> None:
    assert_legible(Graph([Node("a$b$c"), Node("$")], [Edge("a$b$c", "$", "$x$")]))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("space", [DARTS(), NASNet(), NASBench201(), DARTS(n_nodes=7)], ids=lambda s: f"{s.name}")
def test_cells_are_legible(space: ModelSpace, seed: int) -> None:
    assert_legible(space.graph(space.sample(np.random.default_rng(seed))))


@pytest.mark.parametrize(
    ("nodes", "edges", "message"),
    [
        ([], [], "needs nodes"),
        ([Node("a"), Node("a")], [], "different names"),
        ([Node("a")], [Edge("a", "b")], "'b'"),
        ([Node("a"), Node("b", panel="other")], [Edge("a", "b")], "stay in its panel"),
        ([Node("a"), Node("b")], [Edge("a", "b"), Edge("b", "a")], "cycle"),
        ([Node("a")], [Edge("a", "a")], "cycle"),
    ],
)
def test_refuses_what_is_no_graph(nodes: list[Node], edges: list[Edge], message: str) -> None:
    with pytest.raises(RaynasError, match=message):
        Graph(nodes, edges)


def test_writes_svg_and_png(tmp_path: Path) -> None:
    graph = Graph([Node("a"), Node("b")], [Edge("a", "b", "conv")], title="both")
    draw(graph, tmp_path / "cell.SVG")
    assert ElementTree.parse(tmp_path / "cell.SVG").getroot().tag.endswith("svg")
    draw(graph, str(tmp_path / "cell.png"))
    assert (tmp_path / "cell.png").read_bytes().startswith(b"\x89PNG")


def test_pictures_that_would_be_too_large_are_coarser(tmp_path: Path) -> None:
    many = Graph([Node(str(i), panel=str(i)) for i in range(400)])
    draw(many, tmp_path / "cell.png")
    height = int.from_bytes((tmp_path / "cell.png").read_bytes()[20:24], "big")
    assert 2**15 - 2 <= height <= 2**15


@pytest.mark.parametrize("name", ["cell.pdf", "cell", ".png"])
def test_refuses_other_files(tmp_path: Path, name: str) -> None:
    with pytest.raises(RaynasError, match=r"\.svg or \.png"):
        draw(Graph([Node("a")]), tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_leaves_pyplot_alone(tmp_path: Path) -> None:
    from matplotlib import pyplot

    draw(Graph([Node("a")]), tmp_path / "a.png")
    assert not pyplot.get_fignums()


def test_decisions_are_grouped_by_prefix() -> None:
    graph = decision_graph({"depth": 2, "norm": "batch", "layers.0.op": "conv", "layers.0.k": 3, "layers.1.op": "pool"})
    assert [node.shown for node in graph.nodes] == [
        "depth = 2\nnorm = batch",
        "layers.0\nop = conv\nk = 3",
        "layers.1\nop = pool",
    ]
    assert graph.edges == [Edge("layers.0", "layers.1")]


def test_a_space_draws_its_decisions(tmp_path: Path) -> None:
    space = MLP()
    arch = space.sample(np.random.default_rng(0))
    shown = "\n".join(node.shown for node in space.graph(arch).nodes)
    assert all(f"{name.split('.')[-1]} = {option}" in shown for name, option in arch.items())
    space.draw(arch, tmp_path / "mlp.svg")
    assert (tmp_path / "mlp.svg").stat().st_size > 1000


def test_a_space_refuses_to_draw_what_is_no_member(tmp_path: Path) -> None:
    for space in (MLP(), NASBench201(), DARTS(), NASNet()):
        with pytest.raises(SpaceError):
            space.draw({}, tmp_path / "cell.svg")


def test_nasbench201_shows_its_cell() -> None:
    space = NASBench201()
    arch = dict.fromkeys((d.name for d in space.decisions), "nor_conv_1x1") | {"edge_0_3": "none"}
    graph = space.graph(arch)
    assert [node.kind for node in graph.nodes] == ["input", "node", "node", "output"]
    assert Edge("0", "3", "none", faint=True) in graph.edges
    assert Edge("1", "2", "nor_conv_1x1") in graph.edges
    assert len(graph.edges) == 6


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.block = Choice({"conv": lambda: nn.Conv2d(4, 4, 1), "skip": nn.Identity})
        self.layers = Repeat(
            lambda i: nn.Sequential(Choice({"relu": nn.ReLU, "gelu": nn.GELU}, label="act"), nn.Dropout()), 1, 4
        )
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 7))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.head(self.layers(self.block(self.stem(x))))
        return out


def test_a_network_is_drawn_block_by_block() -> None:
    space = ModelSpace(Net, input_shape=(3, 8, 8))
    graph = network_graph(space, {"block": "skip", "layers": 3, "act": "relu"})
    assert [node.shown for node in graph.nodes] == [
        "layers = 3\nact = relu",
        "input\n3×8×8",
        "stem\nConv2d\n4×8×8",
        "block\nIdentity\nchosen = skip\n4×8×8",
        "layers.0 … layers.2\n3 × Sequential\n4×8×8",
        "head\nSequential\n7",
    ]
    assert [(e.source, e.target) for e in graph.edges] == [
        ("input", "stem"),
        ("stem", "block"),
        ("block", "layers.0"),
        ("layers.0", "head"),
    ]
    assert_legible(graph)


class Labelled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = Choice({"relu": nn.ReLU, "gelu": nn.GELU}, label="act")
        self.second = Choice({"drop": nn.Dropout, "skip": nn.Identity}, label="end")
        self.third = Choice({"relu": nn.ReLU, "gelu": nn.GELU}, label="act")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.third(self.second(self.first(x)))
        return out


def test_a_label_is_shown_where_its_only_place_is() -> None:
    space = ModelSpace(Labelled, input_shape=(3,))
    graph = network_graph(space, {"act": "relu", "end": "skip"}, space.factory())
    assert [node.shown for node in graph.nodes] == [
        "act = relu",
        "input\n3",
        "first\nReLU\n3",
        "second\nIdentity\nend = skip\n3",
        "third\nReLU\n3",
    ]


def test_drawing_a_network_draws_no_random_numbers() -> None:
    torch.manual_seed(0)
    before = torch.random.get_rng_state()
    network_graph(NASBench201(cells=1), dict.fromkeys((d.name for d in NASBench201().decisions), "nor_conv_1x1"))
    assert torch.equal(before, torch.random.get_rng_state())
