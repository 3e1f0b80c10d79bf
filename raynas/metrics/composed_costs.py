"""Parameters and multiply-adds composed of those of a network's modules, each counted once in each of its situations.

A situation of a module is the shapes of its inputs and the options of the decisions that it reads. Two networks of a
space share most of them: a block of MobileNetV3 has about a hundred. So unlike sums over options (see ``cost_sums``)
this holds where widths, depths and resolutions depend on decisions.

This assumes that the shapes that a module computes depend on nothing else. Users of the costs should compare some of
them with exact counts.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import cached_property, partial
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import _disable_current_modes

from raynas.core.architecture import Option
from raynas.metrics.mac_counter import MacCounter, Outcomes, description, no_garbage_collection
from raynas.metrics.module_outcomes import CostPass, OutcomeMemory, is_plain
from raynas.metrics.option_costs import NoSumError, outermost_choices, own_parameters
from raynas.nn.decision_module import DecisionModule
from raynas.nn.discovery import decision_name, join, undecided_modules
from raynas.nn.elastic import ElasticLayer
from raynas.nn.expansion import ExpandedChoice
from raynas.nn.factories import ModuleFactory
from raynas.nn.lazy_layers import lazy_layers
from raynas.nn.model_space import ModelSpace
from raynas.nn.selection import calling, current_call
from raynas.nn.stand_ins import OWN_ATTRIBUTES


class ComposedCosts:
    """The costs of the networks of a space, composed of those of modules.

    Args:
        space: gives the model with choices.
    """

    def __init__(self, space: ModelSpace) -> None:
        self._space = space
        self._last: tuple[Mapping[str, Option], CostPass] | None = None

    @cached_property
    def _options(self) -> Mapping[str, Sequence[Option]]:
        return {decision.name: decision.options for decision in self._space.decisions}

    @cached_property
    def _twin(self) -> "_Twin":
        return _Twin(self._space)

    def of(self, metric: str, arch: Mapping[str, Option]) -> int:
        """Return the cost of a member.

        Raises:
            KeyError: if ``arch`` is not a member, or its cost cannot be composed.
        """
        for name, option in arch.items():
            if option not in self._options[name]:
                raise KeyError(name)
        try:
            if self._last is None or self._last[0] != arch:
                self._last = dict(arch), self._twin.run(arch)
            run = self._last[1]
            return run.counter.macs if metric == "macs" else self._twin.params(run)
        except Exception as error:  # A mistake in a user's model is raised, with its reason, when it is counted.
            raise KeyError(metric) from error

    def __getstate__(self) -> dict[str, object]:
        # The twin is large, and can be made again.
        return {"_space": self._space, "_last": None}


class _Twin:
    """A model whose branches are made when they are first met, and whose modules remember outcomes."""

    def __init__(self, space: ModelSpace) -> None:
        self.space = space
        self.known = OutcomeMemory()
        self.own: dict[nn.Module, tuple[int, Sequence[ExpandedChoice]]] = {}
        self.seen: set[object] = set()
        self.prepared: dict[nn.Module, nn.Module] = {}
        self.operations: Outcomes = {}
        self.plain_runs: dict[object, _PlainRun] = {}
        self.alike: dict[object, list[nn.Module]] = {}
        self.model = self.made(space.factory, "")

    def run(self, arch: Mapping[str, Option]) -> CostPass:
        """Run the model without values."""
        run = CostPass(arch, counter=MacCounter(self.operations))
        if self.known.is_full:
            self.known.clear()
            self.plain_runs.clear()
        with torch.inference_mode(False), torch.no_grad(), calling(run), run.counter:
            self.space.example(1, "meta").call(self.model)
        return run

    def params(self, run: CostPass) -> int:
        """Return the parameters of the network of a pass."""
        elastic = sum(n_params for _, n_params in run.plain_layers.values())
        return elastic + self._static(self.model, cast(Mapping[str, Option], run.selection))

    def _static(self, owner: nn.Module, options: Mapping[str, Option]) -> int:
        """Return the parameters of a branch, or of the model, without those of elastic layers."""
        n_params, choices = self.own[owner]
        for choice in choices:
            for name in cast(LazyChoice, choice).names_in.get(options[choice.name], ()):
                n_params += self._static(choice.branch(name), options)
        return n_params

    def made(self, factory: Callable[[], nn.Module], path: str) -> nn.Module:
        """Make a branch, or the model, on the meta device."""
        with ExitStack() as stack:
            for context in (_disable_current_modes(), no_garbage_collection(), torch.random.fork_rng(devices=[])):
                stack.enter_context(context)
            stack.enter_context(torch.device("meta"))
            module = self._prepared(factory(), path)
        if lazy_layers(module):
            raise NoSumError("widths of lazy layers are not known")
        self._note_parameters(module)
        return module.eval()

    def _note_parameters(self, owner: nn.Module) -> None:
        own, choices = set(own_parameters(owner)), outermost_choices(owner)
        if self.seen & {*own, *choices}:
            raise NoSumError("two branches share parameters or a choice")
        self.seen |= {*own, *choices}
        self.own[owner] = sum(parameter.numel() for parameter in own), choices

    def _prepared(self, module: nn.Module, path: str) -> nn.Module:
        """Return the module that takes a module's position: choices make their branches later, all remember."""
        if module in self.prepared:
            return self.prepared[module]
        if isinstance(module, DecisionModule):
            self.prepared[module] = LazyChoice(module, decision_name(module, path), self._branch(module, path))
            return self.prepared[module]
        if isinstance(module, ElasticLayer):
            names = {
                argument: decision_name(size, join(path, argument)) for argument, size in module.size_choices.items()
            }
            return self._remembering(module, partial(_plain_output, module, _kind(module), names, self.plain_runs))
        for undecided in list(undecided_modules(module, path)):
            setattr(undecided.parent, undecided.attribute, self._prepared(undecided.module, undecided.path))
        for part in module.modules():
            if part not in self.prepared and not isinstance(part, (LazyChoice, nn.Identity)):
                self._remembering(part, part.forward)
        return module

    def _branch(self, choice: DecisionModule, path: str) -> Callable[[str], nn.Module]:
        return lambda name: self._shared(choice.factories[name], partial(choice.make, name), join(path, name))

    def _shared(self, factory: ModuleFactory, make: Callable[[], nn.Module], path: str) -> nn.Module:
        """Make a branch, or return one of an equal factory that made two, without decisions or anything in common."""
        key = (factory.func, factory.args, tuple(factory.keywords.items())) if isinstance(factory, partial) else factory
        try:
            alike = self.alike.setdefault(key, [])
        except TypeError:  # not hashable
            return self.made(make, path)
        if len(alike) == 2:
            return alike[0]
        module = self.made(make, path)
        if not any(isinstance(part, LazyChoice | ElasticLayer) for part in module.modules()):
            alike.append(module)
        return module

    def _remembering(self, module: nn.Module, compute: Callable[..., object]) -> nn.Module:
        """Let a module look up its outcome before it computes it."""
        self.prepared[module] = module

        def forward(*inputs: object, **named: object) -> object:
            run = cast(CostPass, current_call())
            situation = module, description(inputs), description(tuple(named.items()))
            outcome = self.known.outcome(situation, run.selection)
            if outcome is None:
                outcome = run.outcome_of(partial(compute, *inputs, **named))
                if is_plain(inputs) and is_plain(tuple(named.values())) and is_plain(outcome.output):
                    self.known.store(situation, outcome, run.selection)
            else:
                run.counter.macs += outcome.macs
            run.add(outcome)
            return list(outcome.output) if isinstance(outcome.output, list) else outcome.output

        module.forward = forward
        return module


class LazyChoice(ExpandedChoice):
    """A choice that makes a branch when it is first asked for.

    Args:
        choice: the choice that it replaces.
        name: of the decision.
        make: makes the branch of a name.
    """

    def __init__(self, choice: DecisionModule, name: str, make: Callable[[str], nn.Module]) -> None:
        super().__init__(choice, name, {})
        self.make = make
        self.names_in: dict[Option, list[str]] = {}
        for branch in choice.factories:
            for option in choice.options_with(branch):
                self.names_in.setdefault(option, []).append(branch)

    def branch(self, name: str) -> nn.Module:
        if name not in self._modules and name in self.choice.factories:
            self._modules[name] = self.make(name)
        return super().branch(name)


class _PlainRun(NamedTuple):
    """A run of a plain layer: its output, multiply-adds and parameters."""

    output: object
    macs: int
    params: int


def _plain_output(
    layer: ElasticLayer, kind: object, names: Mapping[str, str], known: dict[object, _PlainRun], x: Tensor
) -> object:
    """Run the plain layer that an elastic one becomes, and note its width; layers that are alike share their runs."""
    run, n_in = cast(CostPass, current_call()), layer.width_of(x)
    if n_in > layer.n_in:
        raise NoSumError("more channels than announced reach an elastic layer")
    sizes = layer.sizes({argument: run.of(name) for argument, name in names.items()}, n_in)
    key = kind, n_in, tuple(sizes.items()), description(x)
    if key not in known:
        with _disable_current_modes(), torch.random.fork_rng(devices=[]), torch.device("meta"):
            plain = layer.plain(n_in, sizes).eval()
        before = run.counter.macs
        output = plain(x)
        known[key] = _PlainRun(output, run.counter.macs - before, sum(p.numel() for p in plain.parameters()))
    else:
        run.counter.macs += known[key].macs
    run.plain_layers[layer] = n_in, known[key].params
    return known[key].output


def _kind(layer: ElasticLayer) -> object:
    """Return the class of a layer and all that it was made with, except what its sizes are chosen from."""
    own = {name: value for name, value in vars(layer).items() if name not in OWN_ATTRIBUTES}
    return type(layer), tuple(
        (name, repr(value) if isinstance(value, (dict, list)) else value) for name, value in own.items()
    )
