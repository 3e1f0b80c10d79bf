"""Rules of operations: the relation between the channels of the inputs and of the output of each."""

from collections.abc import Mapping, Sequence
from math import prod
from typing import cast

import torch
from torch import fx, nn

from raynas.nn.morphism.channel_groups import Conv, Norm, is_depthwise
from raynas.nn.morphism.channel_relations import ChannelRelations, Combine
from raynas.nn.morphism.tracing import argument_of, function_name

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
    *Norm,
)
"""They work on the dimensions behind the channels, on each channel separately."""

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


class ChannelRules:
    """Adds the relations of each operation of a trace.

    Args:
        relations: to add to.
        modules: of the trace, by dotted path.
    """

    def __init__(self, relations: ChannelRelations, modules: Mapping[str, nn.Module]) -> None:
        self.relations = relations
        self.modules = modules

    @property
    def _axis(self) -> dict[fx.Node, int]:
        return self.relations.axis

    @property
    def _shapes(self) -> Mapping[fx.Node, torch.Size]:
        return self.relations.shapes

    def relate(self, node: fx.Node) -> None:
        """Add the relations of a node, after those of its inputs."""
        if node.op == "placeholder":
            self._axis[node] = min(1, len(self._shapes[node]) - 1)
            self.relations.fix([node], "they are those of the network's input")
        elif node.op == "output":
            self.relations.fix(self._tensors(node), "they are those of the network's output")
        elif node.op == "call_module":
            self._relate_module(node, self.modules[str(node.target)])
        elif node.op in ("call_function", "call_method"):
            self._relate_function(node, function_name(node))
        else:
            self._refuse(node)

    def describe(self, node: fx.Node) -> str:
        """Return the name of an operation, for errors."""
        if node.op == "call_module":
            return f"layer {str(node.target)!r} ({type(self.modules[str(node.target)]).__name__})"
        return f"operation {function_name(node)!r} (in the trace: {node.name})"

    def _tensors(self, node: fx.Node) -> list[fx.Node]:
        return [source for source in node.all_input_nodes if source in self._shapes]

    def _refuse(self, node: fx.Node) -> None:
        """Fix the channels of the inputs and the output of an operation without a rule."""
        self.relations.fix([node, *self._tensors(node)], f"nothing is known of {self.describe(node)}")

    def _relate_module(self, node: fx.Node, module: nn.Module) -> None:
        if isinstance(module, _POINTWISE_MODULES):
            self._pointwise(node)
        elif isinstance(module, _CHANNELWISE_MODULES):
            self._channelwise(node)
        elif isinstance(module, nn.Flatten):
            self._reshaped(node)
        elif isinstance(module, Conv) and is_depthwise(module):
            self._grouped(node, module)
        elif isinstance(module, (*Conv, nn.Linear)):
            self._axis[node] = 1 if isinstance(module, Conv) else len(self._shapes[node]) - 1
            if self._axis.get(source := self._tensors(node)[0]) != self._axis[node]:
                self.relations.fix([source], f"{self.describe(node)} reads another dimension")
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
        """Tie the output to the operands; a single channel that is broadcast to all is fixed."""
        shape = self._shapes[node]
        operands = self._tensors(node)
        axes = {self._axis[o] + len(shape) - len(self._shapes[o]) for o in operands if o in self._axis}
        if len(axes) != 1 or any(o not in self._axis for o in operands):
            self._refuse(node)
            return
        self._axis[node] = axes.pop()
        for operand in operands:
            if self.relations.n_channels(operand) == self.relations.n_channels(node):
                self.relations.tie(operand, node)
            else:
                self.relations.fix([operand], f"{self.describe(node)} broadcasts them")

    def _channelwise(self, node: fx.Node) -> None:
        source, *others = self._tensors(node)
        if others or self._axis.get(source) != 1 or self._shapes[source][:2] != self._shapes[node][:2]:
            self._refuse(node)
            return
        self._axis[node] = 1
        self.relations.tie(source, node)

    def _grouped(self, node: fx.Node, module: nn.Conv1d | nn.Conv2d | nn.Conv3d) -> None:
        (source,) = self._tensors(node)
        self._axis[node] = 1
        if module.groups != module.in_channels or self._axis.get(source) != 1:
            reason = f"{self.describe(node)} has {module.groups} groups and is not depthwise"
            self.relations.fix([source, node], reason)
        elif module.out_channels == module.in_channels:
            self.relations.tie(source, node)
        else:
            self.relations.derive(node, [source], _repeated(module.out_channels // module.in_channels))

    def _reshaped(self, node: fx.Node) -> None:
        source = self._tensors(node)[0]
        before, after, axis = self._shapes[source], self._shapes[node], self._axis.get(source)
        if axis is None or before[:axis] != after[:axis] or len(after) <= axis:
            self._refuse(node)
            return
        self._axis[node] = axis
        if after[axis] == before[axis]:
            self.relations.tie(source, node)
        elif after[axis] == prod(before[axis:]):
            self.relations.derive(node, [source], _repeated(prod(before[axis + 1 :])))
        else:
            self._refuse(node)

    def _reduced(self, node: fx.Node) -> None:
        (source,) = self._tensors(node)
        dims = cast("int | Sequence[int] | None", argument_of(node, 1, "dim"))
        axis = self._axis.get(source)
        if dims is None or axis is None:
            self._refuse(node)
            return
        n_dims = len(self._shapes[source])
        gone = {dim % n_dims for dim in ((dims,) if isinstance(dims, int) else dims)}
        if axis in gone:
            self._refuse(node)
            return
        keeps = len(self._shapes[node]) == n_dims
        self._axis[node] = axis if keeps else axis - sum(dim < axis for dim in gone)
        self.relations.tie(source, node)

    def _joined(self, node: fx.Node) -> None:
        parts = node.args[0] if node.args else node.kwargs["tensors"]
        dim = cast("int | None", argument_of(node, 1, "dim"))
        assert isinstance(parts, Sequence)
        sources = [part for part in parts if isinstance(part, fx.Node)]
        axes = {self._axis.get(source) for source in sources}
        axis = axes.pop()
        if axes or axis is None:
            self._refuse(node)
            return
        self._axis[node] = axis
        if (dim or 0) % len(self._shapes[node]) == axis:
            sizes = [self.relations.n_channels(source) for source in sources]
            self.relations.derive(node, sources, _concatenated(sizes))
        else:
            for source in sources:
                self.relations.tie(source, node)


def _repeated(n: int) -> Combine:
    """Turn every channel into ``n`` in a row: pixels of a flattened image, or filters of a depthwise layer."""
    return lambda sources: (sources[0][:, None] * n + torch.arange(n)).flatten()


def _concatenated(sizes: Sequence[int]) -> Combine:
    offsets = [sum(sizes[:i]) for i in range(len(sizes))]
    return lambda sources: torch.cat([copies + offset for copies, offset in zip(sources, offsets, strict=True)])
