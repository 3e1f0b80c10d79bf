"""ModelSpace: the search space that a model with choices in it describes."""

from collections.abc import Mapping, Sequence
from functools import cached_property

import torch
from torch import nn

from raynas.core.architecture import Option
from raynas.core.decision import Decision
from raynas.core.inputs import InputSpec, TensorSpec, describe
from raynas.core.space import SearchSpace
from raynas.errors import SpaceError
from raynas.nn.discovery import decisions_of
from raynas.nn.expansion import expand
from raynas.nn.factories import ModuleFactory
from raynas.nn.lazy_layers import resolve_lazy_layers
from raynas.nn.materialisation import materialise
from raynas.nn.selection import Call, calling

_ACTIVATIONS = (nn.ReLU, nn.ReLU6, nn.Hardswish, nn.Hardsigmoid, nn.SiLU, nn.GELU, nn.ELU, nn.Sigmoid, nn.Tanh)


class ModelSpace(SearchSpace):
    """The space of the networks that a model with choices can become.

    Every ``Choice``, ``InputChoice`` and ``Repeat`` among the submodules is a decision, named by its ``label`` or by
    its dotted path. Inside a candidate the path contains the option: the choice ``op`` of the candidate ``conv`` of
    ``block`` is ``block.conv.op`` and is active if ``block`` is ``conv``; the choice ``op`` of block 2 of the Repeat
    ``layers`` is ``layers.2.op`` and is active if ``layers`` >= 3.

    ``ModelSpace(Net, input_shape=(3, 32, 32))`` takes a user's model. A catalogue space is a frozen dataclass that
    derives from ModelSpace, has a field ``input_shape`` and overrides ``factory``. Models that take anything else than
    one tensor of real numbers describe it by ``inputs``::

        ModelSpace(Reader, inputs=TensorSpec((128,), torch.long, high=30_000))              # reader(token_ids)
        ModelSpace(Twins, inputs=(TensorSpec((3, 32, 32)), TensorSpec((3, 32, 32))))        # twins(left, right)
        ModelSpace(Bert, inputs={"input_ids": TensorSpec(...), "mask": TensorSpec(...)})    # bert(input_ids=…, mask=…)
        ModelSpace(Graph, inputs=lambda n: make_graphs(n))                                  # graph(*make_graphs(2))

    A layer behind a choice of widths may be lazy (``nn.LazyConv2d``, ``nn.LazyBatchNorm2d``, …): ``build`` finds its
    width by one forward pass. Constructors run on the meta device too, where tensors have no values, so they must not
    read numbers out of tensors.

    Args:
        factory: makes the model with the choices; a class or function without arguments.
        input_shape: shape of one example without the batch, for models that take one tensor of real numbers.
        inputs: instead of it, the description of any inputs; see ``InputSpec``.

    Raises:
        SpaceError: if ``factory`` is a module instead of a factory, or not exactly one of ``input_shape`` and
            ``inputs`` is given.
    """

    _inputs: InputSpec | None = None

    def __init__(
        self, factory: ModuleFactory, *, input_shape: Sequence[int] | None = None, inputs: InputSpec | None = None
    ) -> None:
        if isinstance(factory, nn.Module) or not callable(factory):
            raise SpaceError(
                f"ModelSpace needs a factory that makes a new model, such as its class, got {type(factory).__name__}"
            )
        if (input_shape is None) == (inputs is None):
            raise SpaceError(
                "ModelSpace needs either input_shape, for one tensor of real numbers, or inputs, e.g. "
                "inputs=TensorSpec((128,), torch.long, high=30_000) for token ids"
            )
        self._factory = factory
        self._inputs = inputs
        self.input_shape = tuple(input_shape or (inputs.sizes() if isinstance(inputs, TensorSpec) else ()))

    @property
    def inputs(self) -> InputSpec:
        """Description of the inputs of the networks."""
        return super().inputs if self._inputs is None else self._inputs

    @property
    def code(self) -> Sequence[object]:
        """The class of the space, and the factory."""
        return (type(self), *([self._factory] if "_factory" in vars(self) else []))

    def factory(self) -> nn.Module:
        """Make the model with undecided choices; catalogue spaces override this."""
        return self._factory()

    @property
    def name(self) -> str:
        """Name of the model, or of the catalogue space."""
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
        # Looking at the space must not change the weights that a seed gives.
        with torch.random.fork_rng(devices=[]), torch.device("meta"):
            return decisions_of(self.factory, self.name)

    @cached_property
    def _twin(self) -> nn.Module:
        """The expanded model without values, which is run to find widths."""
        with torch.random.fork_rng(devices=[]), torch.device("meta"):
            twin = expand(self.factory())
        for parent in list(twin.modules()):
            for attribute, child in parent._modules.items():
                if type(child) in _ACTIVATIONS:
                    # PyTorch takes a millisecond to find the shape of each on the meta device.
                    parent._modules[attribute] = nn.Identity()
        return twin.eval()

    @cached_property
    def _twin_with_values(self) -> nn.Module:
        """The expanded model on the CPU, for forward passes that read numbers out of tensors."""
        with torch.random.fork_rng(devices=[]), torch.device("cpu"):
            return expand(self.factory()).eval()

    def elastic_widths(self, options: Mapping[str, Option]) -> dict[str, int]:
        """Return the number of input channels of each elastic layer that a member reaches, by dotted path.

        Args:
            options: the member's, canonical.

        Raises:
            SpaceError: if the network cannot run.
        """
        try:
            return self._widths(self._twin, Call(options, shapes_only=True), "meta")
        except (RuntimeError, ValueError) as on_meta:
            try:
                return self._widths(self._twin_with_values, Call(options), "cpu")
            except (RuntimeError, ValueError):
                raise SpaceError(
                    f"{self.name}: {dict(options)} does not run on {describe(self.inputs)}: {on_meta}"
                ) from on_meta

    def _widths(self, twin: nn.Module, call: Call, device: str) -> dict[str, int]:
        with torch.no_grad(), torch.device(device), calling(call):
            self.example(1, device).call(twin)
        return {path: call.widths[layer] for path, layer in twin.named_modules() if layer in call.widths}

    def __getstate__(self) -> dict[str, object]:
        # The twins are large, and can be made again.
        return {name: value for name, value in self.__dict__.items() if name not in ("_twin", "_twin_with_values")}

    def build(self, arch: Mapping[str, Option]) -> nn.Module:
        """Make the network of ``arch``: plain PyTorch, every choice replaced by the module of its option.

        Args:
            arch: a member, or a superset of one; decisions that are not active are ignored.

        Raises:
            SpaceError: if ``arch`` is not a member, or the width of a lazy layer cannot be found.
        """
        options = self.canonical(arch)
        model = materialise(self.factory(), options, lambda: self.elastic_widths(options))
        resolve_lazy_layers(model, self, [lambda inputs: inputs.call(model)])
        return model
