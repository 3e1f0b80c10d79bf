"""Blocks of a given model that alternatives may take the place of, and their inputs and outputs while it runs."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor, nn

from raynas.core.inputs import Arguments, mapped
from raynas.errors import SpaceError, did_you_mean, one_line
from raynas.nn.dimensions.tracing import tensors_in
from raynas.nn.modes import evaluating

CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


@dataclass(frozen=True, eq=False)
class Call:
    """A call of a block.

    Args:
        arguments: copies of what it took, as it may change them in place.
        output: a copy of what it gave.
    """

    arguments: Arguments
    output: Any

    @property
    def taken(self) -> Tensor:
        """The first tensor that it took."""
        return next(tensors_in((self.arguments.args, dict(self.arguments.kwargs))))

    @property
    def given(self) -> Tensor:
        """The first tensor that it gave."""
        return next(tensors_in(self.output))


class _Reached(BaseException):
    """Ends a forward pass behind the block that was wanted; no model catches it as an error."""


def call_of(model: nn.Module, path: str, inputs: Arguments) -> Call:
    """Run a model as far as one of its blocks, in the mode that it has, and return the block's call."""
    found: list[Call] = []

    def note(call: Call) -> None:
        found.append(call)
        raise _Reached

    with _watched(model.get_submodule(path), note), suppress(_Reached):
        inputs.call(model)
    return found[0]


@contextmanager
def _watched(block: nn.Module, note: Any) -> Iterator[None]:
    """Call ``note`` with each call of a block, until the context ends."""
    taken: list[Arguments] = []

    def before(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        taken.append(Arguments(args, kwargs).map(_copy))

    def after(_module: nn.Module, _args: Any, _kwargs: Any, output: Any) -> None:
        note(Call(taken.pop(), mapped(output, lambda leaf: _copy(leaf) if isinstance(leaf, Tensor) else leaf)))

    with ExitStack() as stack:
        stack.callback(block.register_forward_pre_hook(before, with_kwargs=True).remove)
        stack.callback(block.register_forward_hook(after, with_kwargs=True).remove)
        yield


def _copy(tensor: Tensor) -> Tensor:
    return tensor.detach().clone()


def blocks_of(model: nn.Module, example: Arguments, wanted: Sequence[str] | None = None) -> dict[str, Call]:
    """Return the blocks that alternatives may take the place of, by path, in the order of the modules.

    Args:
        model: any module; it is not changed.
        example: what it takes.
        wanted: globs of the paths of blocks; None for the repeated ones: members of ``nn.Sequential`` and the like, of
            classes that come twice there, with more than one layer of weights; of stages that hold such, their members.

    Raises:
        SpaceError: if the model does not run on the example, a glob matches no module, or nothing is found.
    """
    modules = dict(model.named_modules())
    chosen = _repeated(modules) if wanted is None else _named(modules, wanted)
    calls = _calls(model, example, {path: modules[path] for path in chosen})
    usable = {path: found[0] for path, found in calls.items() if len(found) == 1 and _is_block(found[0])}
    if wanted is not None:
        for path in chosen:
            if path not in usable:
                n = len(calls[path])
                reason = "takes or gives no tensor of real numbers" if n == 1 else f"is called {n} times in a run"
                raise SpaceError(f"{path} {reason}, so nothing can take its place: leave it out of the blocks")
        inner = next((path for path in chosen if _holder(path, chosen)), None)
        if inner is not None:
            raise SpaceError(f"{inner} is a part of {_holder(inner, chosen)}: name one of them as a block, not both")
        return usable
    found = {path: call for path, call in usable.items() if not _is_stage(path, modules[path], usable)}
    outer = {path: call for path, call in found.items() if not _holder(path, found)}
    if not outer:
        raise SpaceError(
            f"{type(model).__name__} has no repeated blocks: name the modules to replace, as in blocks=['layer3', "
            "'encoder.*']"
        )
    return outer


def _repeated(modules: dict[str, nn.Module]) -> list[str]:
    members = {
        f"{path}.{name}" if path else name: child
        for path, module in modules.items()
        if isinstance(module, CONTAINERS)
        for name, child in module.named_children()
    }
    counts = Counter(type(module) for module in members.values())
    return [
        path
        for path, module in modules.items()
        if path in members and not isinstance(module, CONTAINERS) and counts[type(module)] > 1 and _n_layers(module) > 1
    ]


def _n_layers(module: nn.Module) -> int:
    return sum(parameter.ndim > 1 for parameter in module.parameters())


def _named(modules: dict[str, nn.Module], wanted: Sequence[str]) -> list[str]:
    wanted = [wanted] if isinstance(wanted, str) else list(wanted)
    for pattern in wanted:
        if not any(_is(path, pattern) for path in modules):
            raise SpaceError(f"{pattern!r} matches no module of the model{did_you_mean(pattern, modules)}")
    return [path for path in modules if any(_is(path, pattern) for pattern in wanted)]


def _is(path: str, pattern: str) -> bool:
    """Return True if a glob names a module itself, with as many parts: ``layers.*`` does not name what is in them."""
    return path != "" and path.count(".") == pattern.count(".") and fnmatchcase(path, pattern)


def _calls(model: nn.Module, example: Arguments, blocks: dict[str, nn.Module]) -> dict[str, list[Call]]:
    calls: dict[str, list[Call]] = {path: [] for path in blocks}
    with ExitStack() as stack:
        for path, block in blocks.items():
            stack.enter_context(_watched(block, calls[path].append))
        try:
            with evaluating(model), torch.random.fork_rng(devices=[]):
                example.call(model)
        except Exception as error:
            raise SpaceError(f"{type(model).__name__} does not run on the example inputs: {one_line(error)}") from error
    return calls


def _is_block(call: Call) -> bool:
    taken, given = (
        next(tensors_in(each), None) for each in ((call.arguments.args, call.arguments.kwargs), call.output)
    )
    return taken is not None and given is not None and taken.is_floating_point() and given.is_floating_point()


def _is_stage(path: str, module: nn.Module, usable: dict[str, Call]) -> bool:
    """Return True for a module with a row of blocks in it."""
    for inner, container in module.named_modules():
        if isinstance(container, CONTAINERS):
            prefix = f"{path}.{inner}" if inner else path
            classes = Counter(type(c) for name, c in container.named_children() if f"{prefix}.{name}" in usable)
            if any(n > 1 for n in classes.values()):
                return True
    return False


def _holder(path: str, others: "Sequence[str] | dict[str, Call]") -> str | None:
    return next((other for other in others if path.startswith(f"{other}.")), None)
