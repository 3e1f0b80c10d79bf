"""Parameters and multiply-adds that each option of each choice adds, found in one pass over an expanded model."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

import torch
from torch import nn

from raynas.core.architecture import Option
from raynas.core.inputs import Inputs
from raynas.errors import RaynasError
from raynas.metrics.mac_counter import MacCounter, description, macs_of
from raynas.nn.elastic import ElasticLayer
from raynas.nn.expansion import ExpandedChoice
from raynas.nn.selection import Call, Selection, calling

OptionCosts = dict[Option, int]
"""Cost that each option of a choice adds."""


class NoSumError(RaynasError):
    """The costs of a network are not the sum of those of its options."""


def options_of(choice: ExpandedChoice) -> tuple[Option, ...]:
    """Return the options of a choice."""
    return tuple(choice.choice.decision(choice.name, {}).options)


# --- parameters ------------------------------------------------------------------------------------------------------


def params_by_option(
    model: nn.Module, choices: Sequence[ExpandedChoice]
) -> tuple[int, dict[ExpandedChoice, OptionCosts]]:
    """Return the number of parameters outside of all choices, and of those that each option adds.

    Args:
        model: the expanded model.
        choices: all choices in it.

    Raises:
        NoSumError: if two branches share a choice or parameters.
    """
    if len(set(choices)) < len(choices):
        raise NoSumError("two branches hold the same choice")
    seen: set[nn.Parameter] = set()
    base = _count_new(model, seen)
    costs: dict[ExpandedChoice, OptionCosts] = {}
    for choice in choices:
        costs[choice] = dict.fromkeys(options_of(choice), 0)
        for name, branch in choice.named_children():
            n_params = _count_new(branch, seen)
            for option in choice.choice.options_with(name):
                costs[choice][option] += n_params
    return base, costs


def _count_new(module: nn.Module, seen: set[nn.Parameter]) -> int:
    """Count the parameters of a module without those in its choices, and add them to ``seen``."""
    own = set(own_parameters(module))
    if own & seen:
        raise NoSumError("two branches share parameters")
    seen |= own
    return sum(parameter.numel() for parameter in own)


def own_parameters(module: nn.Module) -> Iterator[nn.Parameter]:
    """Yield the parameters of a module outside of the choices and elastic layers in it."""
    if not isinstance(module, ExpandedChoice | ElasticLayer):
        yield from module.parameters(recurse=False)
        for child in module.children():
            yield from own_parameters(child)


def outermost_choices(module: nn.Module) -> list[ExpandedChoice]:
    """Return the choices that are inside no other, each once."""
    if isinstance(module, ExpandedChoice):
        return [module]
    return list(dict.fromkeys(choice for child in module.children() for choice in outermost_choices(child)))


# --- multiply-adds ---------------------------------------------------------------------------------------------------


def macs_by_option(
    model: nn.Module, choices: Sequence[ExpandedChoice], example: Callable[[], Inputs]
) -> tuple[int, dict[ExpandedChoice, OptionCosts]]:
    """Return the number of multiply-adds outside of all choices, and of those that each option adds.

    Args:
        model: the expanded model, on the meta device.
        choices: all choices in it.
        example: makes the inputs, on the meta device.

    Raises:
        NoSumError: if the options of a choice have outputs of different shapes, or different inputs for a branch.
        RaynasError: if the model cannot run without values.
    """
    trace = _Trace(costs={choice: dict.fromkeys(options_of(choice), 0) for choice in choices})
    with calling(trace):
        base = macs_of(model, example, trace.counter)
    return base, trace.costs


class _BranchRun(NamedTuple):
    """A run of a branch: the description of its inputs, its output and its multiply-adds."""

    inputs: object
    output: object
    macs: int


@dataclass(eq=False)
class _Trace(Call):
    """A forward pass in which choices run all their options; an operation counts for the innermost branch around it."""

    selection: Selection = field(default_factory=dict)
    costs: dict[ExpandedChoice, OptionCosts] = field(default_factory=dict)
    counter: MacCounter = field(default_factory=lambda: MacCounter({}))

    def run(self, choice: ExpandedChoice, *inputs: object, **named: object) -> object:
        """Run every option of a choice, but every branch only once, and return the output of the first option."""
        runs: dict[str, _BranchRun] = {}
        outputs = []
        for option in self.costs[choice]:
            used: list[str] = []
            branch_of = partial(self._branch, choice, runs, used, named)
            output, macs = self._counted(partial(choice.choice.run, option, branch_of, *inputs))
            self.costs[choice][option] += macs + sum(runs[name].macs for name in used)
            outputs.append(output)
        if any(_shapes(output) != _shapes(outputs[0]) for output in outputs):
            raise NoSumError(f"options of {choice.name} put out different shapes")
        return outputs[0]

    def _branch(
        self,
        choice: ExpandedChoice,
        runs: dict[str, _BranchRun],
        used: list[str],
        named: Mapping[str, object],
        name: str,
    ) -> Callable[..., object]:
        """Return a substitute for a branch, which runs it once and gives its output to every option that holds it."""

        def run(*inputs: object) -> object:
            described = description(inputs)
            if name not in runs:
                runs[name] = _BranchRun(described, *self._counted(partial(choice.branch(name), *inputs, **named)))
            if runs[name].inputs != described:
                raise NoSumError(f"the input of {name} of {choice.name} depends on the option")
            used.append(name)
            return runs[name].output

        return run

    def _counted(self, compute: Callable[[], object]) -> tuple[object, int]:
        """Return the output of ``compute`` and its multiply-adds, which do not count for anything around it."""
        outside, self.counter.macs = self.counter.macs, 0
        output = compute()
        macs, self.counter.macs = self.counter.macs, outside
        return output, macs


def _shapes(output: object) -> object:
    if isinstance(output, torch.Tensor):
        return output.shape, output.dtype
    if isinstance(output, (list, tuple)):
        return [_shapes(item) for item in output]
    raise NoSumError(f"a choice puts out a {type(output).__name__}")
