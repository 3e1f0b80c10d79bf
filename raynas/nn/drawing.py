"""A picture of a network: its blocks in the order in which they compute, with what was chosen in them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Any

import torch
from torch import nn

from raynas.core.architecture import Option
from raynas.core.space import SearchSpace
from raynas.drawing import Edge, Graph, Node
from raynas.nn.choice import DecisionModule
from raynas.nn.discovery import decision_name, open_places


def network_graph(space: SearchSpace, arch: Mapping[str, Option], undecided: nn.Module | None = None) -> Graph:
    """The network of ``arch``, its outermost blocks one after another as they are called.

    A block shows the shape of its output and the decisions that lie in it; equal blocks in a row are one box. Decisions
    that are shared by several places, or lie in no block, stand in a box of their own.

    Args:
        space: builds the network.
        arch: a member of it.
        undecided: the model with its choices, which tells where a decision lies that is named by a label.

    Raises:
        SpaceError: if ``arch`` is not a member.
    """
    options = space.canonical(arch)
    paths = {name: name for name in options} | _labelled(undecided)
    decided = [(paths[name], name, option) for name, option in options.items()]
    with torch.random.fork_rng(devices=[]), torch.device("meta"), torch.no_grad():
        blocks = list(_called(space.build(options).eval(), space.example_input(2, "meta"), decided))
    flow = "network" if (rest := _elsewhere(decided, blocks)) else ""
    nodes = [Node("input", f"input\n{_sides(space.input_shape)}", "input", flow)]
    runs = [list(run) for _, run in groupby(blocks, key=lambda block: block.looks)]
    nodes += [Node(run[0].path, _text(run), "node", flow) for run in runs]
    nodes[-1] = Node(nodes[-1].name, nodes[-1].text, "output", flow)
    edges = [Edge(first.name, second.name) for first, second in pairwise(nodes)]
    if rest:
        nodes.insert(0, Node("decisions", "\n".join(rest), panel="decisions"))
    return Graph(nodes, edges, title=space.name)


@dataclass(frozen=True)
class _Block:
    path: str
    kind: str
    decided: Sequence[str]
    shape: str

    @property
    def looks(self) -> object:
        """What is equal for blocks that can be one box."""
        # One with decisions of its own stays alone: its neighbour's are other decisions, though they chose alike.
        return (self.kind, self.shape, self.path if self.decided else "")


_Decided = Sequence[tuple[str, str, Option]]
"""Decisions: where, which, what was chosen."""


def _labelled(model: nn.Module | None) -> dict[str, str]:
    """The place of each decision that is named by a label and lies in one place."""
    places: dict[str, set[str]] = {}
    for _, _, module, path in [] if model is None else open_places(model, ""):
        if isinstance(module, DecisionModule) and module.label:
            places.setdefault(decision_name(module, path), set()).add(path)
    return {name: paths.pop() for name, paths in places.items() if len(paths) == 1}


def _called(model: nn.Module, x: torch.Tensor, decided: _Decided) -> Iterator[_Block]:
    """The blocks of ``model`` in the order in which they first give an output."""
    shapes: dict[str, str] = {}
    modules = dict(_blocks(model, "")) or {"model": model}

    def note(path: str, out: Any) -> None:
        shapes.setdefault(path, _shape(out))

    hooks = [m.register_forward_hook(lambda _, __, out, p=path: note(p, out)) for path, m in modules.items()]
    model(x)
    for hook in hooks:
        hook.remove()
    for path, shape in shapes.items():
        yield _Block(path, type(modules[path]).__name__, [*_decided(path, decided)], shape)


def _blocks(module: nn.Module, path: str) -> Iterator[tuple[str, nn.Module]]:
    """The outermost blocks: containers of containers are opened."""
    for name, child in module.named_children():
        inner = f"{path}.{name}" if path else name
        composed = any(any(True for _ in part.children()) for part in child.children())
        if isinstance(child, nn.ModuleList) or (isinstance(child, nn.Sequential) and composed):
            yield from _blocks(child, inner)
        else:
            yield inner, child


def _decided(path: str, decided: _Decided) -> Iterator[str]:
    for place, name, option in decided:
        if _lies_in(place, path):
            yield f"{name.removeprefix(path).lstrip('.') or 'chosen'} = {option}"


def _lies_in(name: str, path: str) -> bool:
    return f"{name}.".startswith(f"{path}.")


def _elsewhere(decided: _Decided, blocks: Sequence[_Block]) -> list[str]:
    return [f"{n} = {option}" for place, n, option in decided if not any(_lies_in(place, b.path) for b in blocks)]


def _text(run: Sequence[_Block]) -> str:
    first, last = run[0], run[-1]
    path = first.path if first is last else f"{first.path} … {last.path}"
    kind = first.kind if first is last else f"{len(run)} × {first.kind}"
    return "\n".join([path, kind, *first.decided, first.shape])


def _shape(out: Any) -> str:
    """The shape of one example's output; of the first tensor if there are several."""
    while isinstance(out, list | tuple) and out:
        out = out[0]
    return _sides(out.shape[1:]) if isinstance(out, torch.Tensor) else ""


def _sides(shape: Sequence[int]) -> str:
    return "×".join(map(str, shape))
