"""Pictures of networks: blocks in the order in which they are called, with the decisions made in them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import NamedTuple

import torch
from torch import nn

from raynas.core.architecture import Option
from raynas.core.inputs import Arguments
from raynas.core.space import SearchSpace
from raynas.drawing.picture import Arrow, Box, Picture
from raynas.nn.decision_module import DecisionModule
from raynas.nn.discovery import undecided_modules


def network_picture(space: SearchSpace, arch: Mapping[str, Option], undecided: nn.Module | None = None) -> Picture:
    """Return a picture of the network of ``arch``: its outermost blocks in the order of their first call.

    A block shows the shape of its output and the decisions inside it; equal blocks in a row share a box. Decisions that
    several choice points share, or that are in no block, have a box above.

    Args:
        space: builds the network.
        arch: a member of it.
        undecided: the model with its choices, which locates the decisions that are named by a label.

    Raises:
        SpaceError: if ``arch`` is not a member.
    """
    options = space.canonical(arch)
    paths = {name: name for name in options} | ({} if undecided is None else _labelled(undecided))
    decided = [_Decided(paths[name], name, option) for name, option in options.items()]

    def blocks_on(device: str) -> list[_Block]:
        with torch.random.fork_rng(devices=[]), torch.device(device), torch.no_grad():
            return list(_called(space.build(options).eval(), space.example(2, device), decided))

    try:
        blocks = blocks_on("meta")
    except Exception:  # Code that reads numbers out of tensors.
        blocks = blocks_on("cpu")
    rest = [f"{d.name} = {d.option}" for d in decided if not any(_is_inside(d.path, block.path) for block in blocks)]
    panel = "network" if rest else ""
    inputs = [_sides(tensor.shape[1:]) for tensor in space.example(2, "meta").tensors]
    boxes = [Box("input", "\n".join(["input", *inputs]), "input", panel)]
    runs = [list(run) for _, run in groupby(blocks, key=lambda block: block.key)]
    boxes += [Box(run[0].path, _text(run), "node", panel) for run in runs]
    boxes[-1] = Box(boxes[-1].name, boxes[-1].text, "output", panel)
    arrows = [Arrow(first.name, second.name) for first, second in pairwise(boxes)]
    if rest:
        boxes.insert(0, Box("decisions", "\n".join(rest), panel="decisions"))
    return Picture(boxes, arrows, title=space.name)


class _Decided(NamedTuple):
    """A decision: the dotted path of its choice point, its name, and the chosen option."""

    path: str
    name: str
    option: Option


@dataclass(frozen=True)
class _Block:
    """A module of the network: its path and class, the lines of its decisions, the shape of its output."""

    path: str
    kind: str
    decisions: Sequence[str]
    shape: str

    @property
    def key(self) -> object:
        """Equal for blocks that share a box."""
        # A block with decisions has a box to itself: its neighbour has other decisions, even if the options are equal.
        return (self.kind, self.shape, self.path if self.decisions else "")


def _labelled(model: nn.Module) -> dict[str, str]:
    """Return the path of each decision that is named by a label and belongs to a single choice point."""
    paths: dict[str, set[str]] = {}
    for *_, module, path in undecided_modules(model, ""):
        if isinstance(module, DecisionModule) and module.label:
            paths.setdefault(module.label, set()).add(path)
    return {name: found.pop() for name, found in paths.items() if len(found) == 1}


def _called(model: nn.Module, inputs: Arguments, decided: Sequence[_Decided]) -> Iterator[_Block]:
    """Yield the blocks of ``model`` in the order of their first output."""
    shapes: dict[str, str] = {}
    modules = dict(_outermost(model, "")) or {"model": model}

    def note(path: str, output: object) -> None:
        shapes.setdefault(path, _shape(output))

    hooks = [m.register_forward_hook(lambda _, __, out, p=path: note(p, out)) for path, m in modules.items()]
    inputs.call(model)
    for hook in hooks:
        hook.remove()
    for path, shape in shapes.items():
        inside = [decision for decision in decided if _is_inside(decision.path, path)]
        lines = [f"{d.name.removeprefix(path).lstrip('.') or 'chosen'} = {d.option}" for d in inside]
        yield _Block(path, type(modules[path]).__name__, lines, shape)


def _outermost(module: nn.Module, path: str) -> Iterator[tuple[str, nn.Module]]:
    """Yield the outermost blocks, and instead of a container of containers the blocks in it."""
    for name, child in module.named_children():
        inner = f"{path}.{name}" if path else name
        composed = any(any(True for _ in part.children()) for part in child.children())
        if isinstance(child, nn.ModuleList) or (isinstance(child, nn.Sequential) and composed):
            yield from _outermost(child, inner)
        else:
            yield inner, child


def _is_inside(name: str, path: str) -> bool:
    return f"{name}.".startswith(f"{path}.")


def _text(run: Sequence[_Block]) -> str:
    first, last = run[0], run[-1]
    path = first.path if first is last else f"{first.path} … {last.path}"
    kind = first.kind if first is last else f"{len(run)} × {first.kind}"
    return "\n".join([path, kind, *first.decisions, first.shape])


def _shape(output: object) -> str:
    """Return the shape of one example's output, of the first tensor if there are several."""
    while isinstance(output, list | tuple) and output:
        output = output[0]
    return _sides(output.shape[1:]) if isinstance(output, torch.Tensor) else ""


def _sides(shape: Sequence[int]) -> str:
    return "×".join(map(str, shape))
