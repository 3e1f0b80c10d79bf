"""ChannelFlow: which tensors of a network must have the same channels, read off a ``torch.fx`` trace of it."""

from collections.abc import Callable, Mapping, Sequence
from math import prod

import torch
from torch import Tensor, fx, nn

from raynas.errors import RaynasError
from raynas.nn.morphism.tracing import argument_of, function_name, shapes_in, traced

Conv = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
Norm = (
    *(nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d),
    *(nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d),
)
"""Normalisations of each channel for itself."""

_POINTWISE_MODULES = (
    *(nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU, nn.Mish, nn.Softplus, nn.Softsign),
    *(nn.Sigmoid, nn.Tanh, nn.Hardswish, nn.Hardsigmoid, nn.Hardtanh, nn.Identity),
    *(nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout),
)
_CHANNELWISE_MODULES = (
    *(nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d, nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d),
    *(nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d),
    *(nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d, nn.LPPool1d, nn.LPPool2d),
    *(nn.ZeroPad1d, nn.ZeroPad2d, nn.ReflectionPad2d, nn.ReplicationPad2d, nn.Upsample),
)
"""They work on the sizes behind the channels, each channel for itself."""

# Functions, operators and methods of tensors go by their names: relu, relu_, F.relu and torch.relu are one.
_POINTWISE = frozenset(
    (
        *("relu", "relu6", "leaky_relu", "elu", "selu", "celu", "gelu", "silu", "mish", "softplus", "sigmoid", "tanh"),
        *("hardswish", "hardsigmoid", "hardtanh", "dropout", "dropout1d", "dropout2d", "dropout3d", "clamp", "abs"),
        *("add", "iadd", "sub", "isub", "mul", "imul", "truediv", "itruediv", "div", "maximum", "minimum", "neg"),
        *("pow", "square", "sqrt", "contiguous", "clone", "float"),
    )
)
_CHANNELWISE = frozenset(
    (
        *("max_pool1d", "max_pool2d", "max_pool3d", "avg_pool1d", "avg_pool2d", "avg_pool3d", "pad", "interpolate"),
        *("adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_max_pool1d", "adaptive_max_pool2d"),
    )
)
_RESHAPING = frozenset(("flatten", "view", "reshape", "squeeze", "unsqueeze", "view_as"))
_REDUCING = frozenset(("mean", "sum", "amax", "amin"))
_JOINING = frozenset(("cat", "concat", "concatenate"))

Copies = Tensor
"""Which old channel each new channel is a copy of, shape ``(n_new,)``."""

Combine = Callable[[Sequence[Copies]], Copies]
"""The copies in a tensor, given those in the tensors that it is made of."""


def is_depthwise(module: nn.Module) -> bool:
    """Whether a module is a convolution with groups, of which only depthwise ones can be followed."""
    return isinstance(module, Conv) and module.groups > 1


def n_copies(copies: Copies) -> Tensor:
    """How often the channel that each new channel copies is there in all, shape ``(n_new,)``."""
    return torch.bincount(copies)[copies]


class ChannelFlow:
    """The trace of a network, and what follows from changing the channels of one of its layers.

    Tensors whose channels must stay the same ones (before and after an activation, the summands of a residual addition)
    form a group. Where channels are joined or flattened, those of one group follow from those of others.

    Args:
        model: the network; looked at in eval mode, not changed.
        input_example: a batch that it can be called with.

    Raises:
        RaynasError: if the network cannot be traced, e.g. because its control flow depends on its input.
    """

    def __init__(self, model: nn.Module, input_example: Tensor) -> None:
        self.model = model
        trace = traced(model)
        self.modules = dict(trace.named_modules(remove_duplicate=False))
        self.nodes: list[fx.Node] = list(trace.graph.nodes)
        self.shapes = shapes_in(trace, input_example)
        self.axis: dict[fx.Node, int] = {}
        self._group: dict[fx.Node, fx.Node] = {}
        self._follows: list[tuple[fx.Node, Sequence[fx.Node], Combine]] = []
        self._fixed: list[tuple[fx.Node, str]] = []
        for node in self.nodes:
            if node in self.shapes or node.op == "output":
                self._relate(node)

    # --- what a caller asks --------------------------------------------------------------------------------------

    def calls(self, name: str) -> list[fx.Node]:
        """The places where the module ``name`` is called."""
        return [node for node in self.nodes if node.op == "call_module" and self.same_module(str(node.target), name)]

    def same_module(self, first: str, second: str) -> bool:
        """Whether two names are those of one module."""
        return first == second or (second in self.modules and self.modules[first] is self.modules[second])

    def the_call(self, name: str) -> fx.Node:
        """The only place where the module ``name`` is called.

        Raises:
            RaynasError: if there is none, or more than one.
        """
        calls = self.calls(name)
        if len(calls) != 1:
            known = ", ".join(str(n.target) for n in self.nodes if n.op == "call_module")
            raise RaynasError(f"layer {name!r} must be called once in a forward pass, got {len(calls)}; known: {known}")
        return calls[0]

    def channels(self, node: fx.Node) -> int:
        """How many channels the result of ``node`` has."""
        return self.shapes[node][self.axis[node]]

    def spread(self, start: fx.Node, copies: Copies) -> Mapping[fx.Node, Copies]:
        """The copies in every tensor that changes, if those in the result of ``start`` become ``copies``.

        Raises:
            RaynasError: if they meet an operation or a place that cannot have other channels.
        """
        changed = {self._root(start): copies}
        for _ in self._follows:
            for node, sources, combine in self._follows:
                if any(self._root(source) in changed for source in sources) and self._root(node) is not self._root(
                    start
                ):
                    changed[self._root(node)] = combine([self._copies(source, changed) for source in sources])
        self._check(changed)
        return {n: changed[self._root(n)] for n in self.nodes if n in self.axis and self._root(n) in changed}

    def _copies(self, node: fx.Node, changed: Mapping[fx.Node, Copies]) -> Copies:
        same = changed.get(self._root(node))
        return torch.arange(self.channels(node)) if same is None else same

    def _check(self, changed: Mapping[fx.Node, Copies]) -> None:
        for node, reason in self._fixed:
            if self._root(node) in changed:
                raise RaynasError(f"the channels cannot be changed: {reason}")
        for node, sources, combine in self._follows:
            if {self._root(node), *map(self._root, sources)} & changed.keys():
                expected = combine([self._copies(source, changed) for source in sources])
                if not torch.equal(expected, self._copies(node, changed)):
                    raise RaynasError(
                        f"the channels cannot be changed: {self._describe(node)} joins them with others in an order "
                        "that an addition elsewhere does not share"
                    )

    # --- groups ----------------------------------------------------------------------------------------------------

    def _root(self, node: fx.Node) -> fx.Node:
        while (above := self._group.get(node, node)) is not node:
            node = above
        return node

    def _tie(self, first: fx.Node, second: fx.Node) -> None:
        self._group[self._root(first)] = self._root(second)

    def _fix(self, nodes: Sequence[fx.Node], reason: str) -> None:
        self._fixed += [(node, reason) for node in nodes]

    def _refuse(self, node: fx.Node) -> None:
        """What goes into an operation that nothing is known of, and what comes out of it, keeps its channels."""
        self._fix([node, *self._tensors(node)], f"nothing is known of {self._describe(node)}")

    def _tensors(self, node: fx.Node) -> list[fx.Node]:
        return [source for source in node.all_input_nodes if source in self.shapes]

    def _describe(self, node: fx.Node) -> str:
        if node.op == "call_module":
            return f"layer {str(node.target)!r} ({type(self.modules[str(node.target)]).__name__})"
        return f"operation {function_name(node)!r} (in the trace: {node.name})"

    # --- what each operation means for channels ----------------------------------------------------------------------

    def _relate(self, node: fx.Node) -> None:
        if node.op == "placeholder":
            self.axis[node] = min(1, len(self.shapes[node]) - 1)
            self._fix([node], "they are those of the network's input")
        elif node.op == "output":
            self._fix(self._tensors(node), "they are those of the network's output")
        elif node.op == "call_module":
            self._relate_module(node, self.modules[str(node.target)])
        elif node.op in ("call_function", "call_method"):
            self._relate_function(node, function_name(node))
        else:
            self._refuse(node)

    def _relate_module(self, node: fx.Node, module: nn.Module) -> None:
        if isinstance(module, _POINTWISE_MODULES):
            self._pointwise(node)
        elif isinstance(module, _CHANNELWISE_MODULES):
            self._channelwise(node)
        elif isinstance(module, nn.Flatten):
            self._reshaped(node)
        elif isinstance(module, Norm):
            self._channelwise(node)
        elif isinstance(module, Conv) and is_depthwise(module):
            self._grouped(node, module)
        elif isinstance(module, (*Conv, nn.Linear)):
            self.axis[node] = 1 if isinstance(module, Conv) else len(self.shapes[node]) - 1
            if self.axis.get(source := self._tensors(node)[0]) != self.axis[node]:
                self._fix([source], f"{self._describe(node)} reads another dimension")
        else:
            self._refuse(node)

    def _relate_function(self, node: fx.Node, name: str) -> None:
        if name in _POINTWISE:
            self._pointwise(node)
        elif name in _CHANNELWISE:
            self._channelwise(node)
        elif name in _RESHAPING:
            self._reshaped(node)
        elif name in _REDUCING:
            self._reduced(node)
        elif name in _JOINING:
            self._joined(node)
        else:
            self._refuse(node)

    def _pointwise(self, node: fx.Node) -> None:
        """Each result has the channels of the operands; one with a single channel for all of them is broadcast."""
        shape = self.shapes[node]
        operands = self._tensors(node)
        axes = {self.axis[o] + len(shape) - len(self.shapes[o]) for o in operands if o in self.axis}
        if len(axes) != 1 or any(o not in self.axis for o in operands):
            self._refuse(node)
            return
        self.axis[node] = axes.pop()
        for operand in operands:
            if self.channels(operand) == self.channels(node):
                self._tie(operand, node)
            else:
                self._fix([operand], f"{self._describe(node)} broadcasts them")

    def _channelwise(self, node: fx.Node) -> None:
        source, *others = self._tensors(node)
        if others or self.axis.get(source) != 1 or self.shapes[source][:2] != self.shapes[node][:2]:
            self._refuse(node)
            return
        self.axis[node] = 1
        self._tie(source, node)

    def _grouped(self, node: fx.Node, module: nn.Conv1d | nn.Conv2d | nn.Conv3d) -> None:
        (source,) = self._tensors(node)
        self.axis[node] = 1
        if module.groups != module.in_channels or self.axis.get(source) != 1:
            self._fix([source, node], f"{self._describe(node)} has {module.groups} groups and is not depthwise")
        elif module.out_channels == module.in_channels:
            self._tie(source, node)
        else:
            self._follow(node, [source], _each_times(module.out_channels // module.in_channels))

    def _follow(self, node: fx.Node, sources: Sequence[fx.Node], combine: Combine) -> None:
        self._follows.append((node, sources, combine))

    def _reshaped(self, node: fx.Node) -> None:
        source = self._tensors(node)[0]
        before, after, axis = self.shapes[source], self.shapes[node], self.axis.get(source)
        if axis is None or before[:axis] != after[:axis] or len(after) <= axis:
            self._refuse(node)
            return
        self.axis[node] = axis
        if after[axis] == before[axis]:
            self._tie(source, node)
        elif after[axis] == prod(before[axis:]):
            self._follow(node, [source], _each_times(prod(before[axis + 1 :])))
        else:
            self._refuse(node)

    def _reduced(self, node: fx.Node) -> None:
        (source,) = self._tensors(node)
        dims = argument_of(node, 1, "dim")
        axis = self.axis.get(source)
        if dims is None or axis is None:
            self._refuse(node)
            return
        gone = {dim % len(self.shapes[source]) for dim in ((dims,) if isinstance(dims, int) else dims)}
        if axis in gone:
            self._refuse(node)
            return
        keeps = len(self.shapes[node]) == len(self.shapes[source])
        self.axis[node] = axis if keeps else axis - sum(dim < axis for dim in gone)
        self._tie(source, node)

    def _joined(self, node: fx.Node) -> None:
        parts = node.args[0] if node.args else node.kwargs["tensors"]
        dim = argument_of(node, 1, "dim")
        assert isinstance(parts, Sequence)
        sources = [part for part in parts if isinstance(part, fx.Node)]
        axes = {self.axis.get(source) for source in sources}
        axis = axes.pop()
        if axes or axis is None:
            self._refuse(node)
            return
        self.axis[node] = axis
        if (dim or 0) % len(self.shapes[node]) == axis:
            self._follow(node, sources, _one_after_the_other([self.channels(source) for source in sources]))
        else:
            for source in sources:
                self._tie(source, node)


def _each_times(n: int) -> Combine:
    """Every channel stands for ``n`` in a row: the pixels of a flattened image, the filters of a depthwise layer."""
    return lambda sources: (sources[0][:, None] * n + torch.arange(n)).flatten()


def _one_after_the_other(sizes: Sequence[int]) -> Combine:
    offsets = [sum(sizes[:i]) for i in range(len(sizes))]
    return lambda sources: torch.cat([copies + offset for copies, offset in zip(sources, offsets, strict=True)])
