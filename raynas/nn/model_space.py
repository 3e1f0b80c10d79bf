"""ModelSpace: the search space that a model with choices in it describes."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from itertools import chain

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from raynas.core.architecture import Option
from raynas.core.decision import Decision
from raynas.core.space import SearchSpace
from raynas.errors import SpaceError
from raynas.nn.choice import DecisionModule, ModuleFactory
from raynas.nn.discovery import decision_name, decisions_of, join, open_places
from raynas.nn.elastic import ElasticLayer
from raynas.nn.expansion import opened
from raynas.nn.modes import evaluating
from raynas.nn.selection import Call, calling

_ACTIVATIONS = (nn.ReLU, nn.ReLU6, nn.Hardswish, nn.Hardsigmoid, nn.SiLU, nn.GELU, nn.ELU, nn.Sigmoid, nn.Tanh)


def _unchanged(x: torch.Tensor) -> torch.Tensor:
    return x


class ModelSpace(SearchSpace):
    """The space of the networks that a model with choices can become.

    Every ``Choice``, ``InputChoice`` and ``Repeat`` among the submodules is a decision, named by its ``label`` or by
    its dotted path. Inside a candidate the path carries the option: the choice ``op`` of the candidate ``conv`` of
    ``block`` is ``block.conv.op`` and is active if ``block`` is ``conv``; the choice ``op`` of block 2 of the Repeat
    ``layers`` is ``layers.2.op`` and is active if ``layers`` >= 3.

    ``ModelSpace(Net, input_shape=(3, 32, 32))`` takes a model of the user's. A catalogue space is a frozen dataclass
    that derives from ModelSpace, has a field ``input_shape`` and overrides ``factory``.

    A layer behind a choice of widths may be lazy (``nn.LazyConv2d``, ``nn.LazyBatchNorm2d``, …): ``build`` finds its
    width by one forward pass. Constructors run on the meta device too, where tensors have no values, so they must not
    read numbers out of tensors.

    Args:
        factory: makes the model with the choices; a class or function without arguments.
        input_shape: shape of one example without the batch.

    Raises:
        SpaceError: if ``factory`` is a module instead of a factory.
    """

    def __init__(self, factory: ModuleFactory, *, input_shape: Sequence[int]) -> None:
        if isinstance(factory, nn.Module) or not callable(factory):
            raise SpaceError(
                f"ModelSpace needs a factory that makes a new model, such as its class, got {type(factory).__name__}"
            )
        self._factory = factory
        self.input_shape = tuple(input_shape)

    def factory(self) -> nn.Module:
        """Make the model with the choices, undecided; catalogue spaces override this."""
        return self._factory()

    @property
    def name(self) -> str:
        """The model's name, or that of the catalogue space."""
        if type(self) is not ModelSpace:
            return type(self).__name__
        name = getattr(self._factory, "__name__", "")
        return name if name.isidentifier() else "ModelSpace"

    @property
    def decisions(self) -> Sequence[Decision]:
        """The decisions in the order of the model's submodules, an outer one before those in its candidates."""
        return self._discovered

    @cached_property
    def _discovered(self) -> tuple[Decision, ...]:
        # Whether the space was looked at before must not change the weights that a seed gives.
        with torch.random.fork_rng(devices=[]), torch.device("meta"):
            return decisions_of(self.factory, self.name)

    @cached_property
    def _twin(self) -> nn.Module:
        """The opened model without values; tells widths."""
        with torch.random.fork_rng(devices=[]), torch.device("meta"):
            twin = opened(self.factory()).eval()
        for module in twin.modules():
            if type(module) in _ACTIVATIONS:
                # PyTorch takes a millisecond to find the shape of each on the meta device.
                module.forward = _unchanged
        return twin

    @cached_property
    def _elastic(self) -> Mapping[nn.Module, str]:
        """The elastic layers of the twin, with their paths."""
        return {module: path for path, module in self._twin.named_modules() if isinstance(module, ElasticLayer)}

    def elastic_widths(self, options: Mapping[str, Option]) -> dict[str, int]:
        """How many channels come into each elastic layer that a member reaches, by dotted path.

        Args:
            options: the member's, canonical.

        Raises:
            SpaceError: if the network cannot run.
        """
        try:
            with torch.no_grad(), calling(Call(options, shapes_only=True)) as call:
                self._twin(self.example_input(1, "meta"))
        except (RuntimeError, ValueError) as error:
            raise SpaceError(
                f"{self.name}: {dict(options)} does not run at shape {self.input_shape}: {error}"
            ) from error
        return {self._elastic[layer]: width for layer, width in call.widths.items()}

    def __getstate__(self) -> dict[str, object]:
        # The twin is large, and found again where it is needed.
        return {name: value for name, value in self.__dict__.items() if name not in ("_twin", "_elastic")}

    def build(self, arch: Mapping[str, Option]) -> nn.Module:
        """Make the network that ``arch`` means: plain PyTorch, every choice replaced by what was chosen.

        Args:
            arch: a member, or a superset of one; decisions that are not active are ignored.

        Raises:
            SpaceError: if ``arch`` is not a member, or the width of a lazy layer cannot be found.
        """
        options = self.canonical(arch)
        model = materialise(self.factory(), options, lambda: self.elastic_widths(options))
        resolve_lazy_layers(model, self)
        return model


def materialise(
    model: nn.Module,
    options: Mapping[str, Option],
    widths: Callable[[], Mapping[str, int]] = dict,
) -> nn.Module:
    """Replace every choice in ``model``, and in what replaces it, by the module of its option; in place.

    Args:
        model: holds the choices; may be a choice itself.
        options: the option of each decision.
        widths: gives how many channels come into each elastic layer, by dotted path; called only if there is one.

    Returns:
        ``model``, or what it became if it is a choice.
    """
    return _Materialiser(options, widths).finished(model, "")


class _Materialiser:
    """Carries what ``materialise`` needs through the recursion; closures would keep each network alive in a cycle."""

    def __init__(self, options: Mapping[str, Option], widths: Callable[[], Mapping[str, int]]) -> None:
        self.options = options
        self.find_widths = widths
        self.done: dict[nn.Module, nn.Module] = {}

    @cached_property
    def widths(self) -> Mapping[str, int]:
        """How many channels come into each elastic layer."""
        return self.find_widths()

    def finished(self, module: nn.Module, path: str) -> nn.Module:
        """``module`` with the choices in it replaced."""
        if isinstance(module, DecisionModule | ElasticLayer):
            if module not in self.done:
                self.done[module] = (
                    self.sized(module, path) if isinstance(module, ElasticLayer) else self.decided(module, path)
                )
            return self.done[module]
        for parent, attribute, child, place in list(open_places(module, path)):
            setattr(parent, attribute, self.finished(child, place))
        return module

    def decided(self, choice: DecisionModule, path: str) -> nn.Module:
        """What replaces a choice."""

        def part(name: str) -> nn.Module:
            return self.finished(choice.make(name), join(path, name))

        return choice.assemble(self.option(choice, path), part)

    def sized(self, layer: ElasticLayer, path: str) -> nn.Module:
        """What replaces an elastic layer."""
        if path not in self.widths:
            raise SpaceError(f"the elastic layer at {path!r} is never reached by the network's forward pass")
        sizes = layer.open_sizes.items()
        options = {argument: self.option(size, join(path, argument)) for argument, size in sizes}
        return layer.plain(self.widths[path], layer.sizes(options, self.widths[path]))

    def option(self, choice: DecisionModule, path: str) -> Option:
        """What was chosen at a place."""
        name = decision_name(choice, path)
        if name not in self.options:
            raise SpaceError(f"choice {name!r} was not there before: a factory must make the same model at each call")
        return self.options[name]


def resolve_lazy_layers(model: nn.Module, space: SearchSpace, calls: Iterable[Sequence[object]] = ((),)) -> None:
    """Run lazy layers once, if there are any, so that they take the width of what reaches them.

    Args:
        model: takes an example of the space.
        space: gives the example.
        calls: for each forward pass, what the model takes besides the example; tried until no lazy layer is left.

    Raises:
        SpaceError: if a pass fails, or none reaches a lazy layer.
    """
    if not lazy_layers(model):
        return
    device = next(chain(model.parameters(), model.buffers())).device
    try:
        with evaluating(model):
            for arguments in calls:
                model(space.example_input(1, device), *arguments)
                if not lazy_layers(model):
                    break
    except Exception as error:
        raise SpaceError(
            f"{space.name}: the forward pass that finds the widths of lazy layers failed on one example of shape "
            f"{space.input_shape}: {error}; in a supernet, layers behind a choice of widths have to be elastic"
        ) from error
    if unreached := lazy_layers(model):
        raise SpaceError(f"{space.name}: the forward pass never reaches lazy layer {unreached[0]!r}; give it its width")


def lazy_layers(model: nn.Module) -> list[str]:
    """The dotted paths of layers whose width is not known yet."""
    tensors = chain(model.named_parameters(), model.named_buffers())
    return [name.rpartition(".")[0] for name, tensor in tensors if is_lazy(tensor)]
