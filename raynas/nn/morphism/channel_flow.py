"""ChannelFlow: the channels of a network that depend on each other, read off a ``torch.fx`` trace of it."""

from collections import defaultdict
from collections.abc import Iterator, Mapping

import torch
from torch import fx, nn
from torch.nn.utils.parametrize import is_parametrized

from raynas.core.inputs import Inputs
from raynas.errors import RaynasError
from raynas.nn.morphism.channel_groups import ChannelGroup, Conv, Norm, is_depthwise
from raynas.nn.morphism.channel_relations import ChannelRelations, Copies, Derived
from raynas.nn.morphism.channel_rules import ChannelRules
from raynas.nn.morphism.tracing import function_name, shapes_in, traced


class ChannelFlow:
    """The trace of a network, and the consequences of changing the channels of one of its layers.

    Args:
        model: the network; looked at in eval mode, not changed.
        input_example: a batch that it can be called with.

    Raises:
        RaynasError: if the network cannot be traced, e.g. because its control flow depends on its input.

    Attributes:
        modules: of the trace, by dotted path.
        nodes: of the trace, in the order of execution.
        relations: between the channels of their outputs.
    """

    def __init__(self, model: nn.Module, input_example: Inputs) -> None:
        self.model = model
        trace = traced(model)
        self.modules = dict(trace.named_modules(remove_duplicate=False))
        self.nodes: list[fx.Node] = list(trace.graph.nodes)
        self.relations = ChannelRelations(shapes_in(trace, input_example))
        self._rules = ChannelRules(self.relations, self.modules)
        for node in self.nodes:
            if node in self.relations.shapes or node.op == "output":
                self._rules.relate(node)

    # --- layers ----------------------------------------------------------------------------------------------------

    def calls(self, name: str) -> list[fx.Node]:
        """Return the nodes at which the module ``name`` is called."""
        module = self.modules.get(name)
        if module is None:
            return []
        return [n for n in self.nodes if n.op == "call_module" and self.modules[str(n.target)] is module]

    def the_call(self, name: str) -> fx.Node:
        """Return the only node at which the module ``name`` is called.

        Raises:
            RaynasError: if there is none, or more than one.
        """
        calls = self.calls(name)
        if len(calls) != 1:
            known = ", ".join(str(n.target) for n in self.nodes if n.op == "call_module")
            raise RaynasError(f"layer {name!r} must be called once in a forward pass, got {len(calls)}; known: {known}")
        return calls[0]

    def is_independent(self, name: str) -> bool:
        """Return whether the module ``name`` is called once and shares its weights with no other."""
        module = self.modules[name]
        own = {id(parameter) for parameter in module.parameters(recurse=False)}
        others = (p for m in self.model.modules() if m is not module for p in m.parameters(recurse=False))
        shares = any(id(parameter) in own for parameter in others)
        return len(self.calls(name)) == 1 and not is_parametrized(module) and not shares

    # --- groups ----------------------------------------------------------------------------------------------------

    def groups(self) -> list[ChannelGroup]:
        """Return the channels that can be removed or put into another order without a change anywhere else.

        Left out are channels of the network's input and output, those that are concatenated, split or flattened, those
        that meet an operation without a rule, and those of layers that are called twice or share their weights.
        """
        root, shapes = self.relations.root, self.relations.shapes
        bound = {root(node) for node, _ in self.relations.fixed}
        bound |= {root(node) for derived in self.relations.derived for node in (derived.node, *derived.sources)}
        bound |= {root(node) for node in self._split_tensors()}
        producers, consumers = defaultdict[fx.Node, list[str]](list), defaultdict[fx.Node, list[str]](list)
        for node, name in self._layers():
            (source,) = (tensor for tensor in node.all_input_nodes if tensor in shapes)
            consumers[root(source)].append(name)
            if not isinstance(self.modules[name], Norm) and not is_depthwise(self.modules[name]):
                producers[root(node)].append(name)
            if not self.is_independent(name):
                bound |= {root(node), root(source)}
        return [
            ChannelGroup(tuple(names), tuple(consumers[node]), self.relations.n_channels(node))
            for node, names in producers.items()
            if node not in bound
        ]

    def _split_tensors(self) -> Iterator[fx.Node]:
        """Yield the inputs of operations with several outputs, such as ``chunk`` or ``topk``."""
        for node in self.nodes:
            is_tensor = node in self.relations.shapes or node.op == "output"
            if not is_tensor and function_name(node) not in ("size", "getattr", "dim", "len", "numel"):
                yield from (source for source in node.all_input_nodes if source in self.relations.axis)

    def _layers(self) -> Iterator[tuple[fx.Node, str]]:
        """Yield the calls of layers whose weights depend on the number of channels."""
        for node in self.nodes:
            if node.op == "call_module" and isinstance(self.modules[str(node.target)], (*Conv, *Norm, nn.Linear)):
                yield node, str(node.target)

    # --- changes ---------------------------------------------------------------------------------------------------

    def spread(self, start: fx.Node, copies: Copies) -> Mapping[fx.Node, Copies]:
        """Return the copies in every tensor that changes, if those in the output of ``start`` become ``copies``.

        Raises:
            RaynasError: if an operation, or the input or output of the network, does not allow other channels.
        """
        root = self.relations.root
        changed = {root(start): copies}
        for _ in self.relations.derived:
            for derived in self.relations.derived:
                is_changed = any(root(source) in changed for source in derived.sources)
                if is_changed and root(derived.node) is not root(start):
                    changed[root(derived.node)] = self._combined(derived, changed)
        self._check(changed)
        return {n: changed[root(n)] for n in self.nodes if n in self.relations.axis and root(n) in changed}

    def _copies(self, node: fx.Node, changed: Mapping[fx.Node, Copies]) -> Copies:
        copies = changed.get(self.relations.root(node))
        return torch.arange(self.relations.n_channels(node)) if copies is None else copies

    def _combined(self, derived: Derived, changed: Mapping[fx.Node, Copies]) -> Copies:
        return derived.combine([self._copies(source, changed) for source in derived.sources])

    def _check(self, changed: Mapping[fx.Node, Copies]) -> None:
        root = self.relations.root
        for node, reason in self.relations.fixed:
            if root(node) in changed:
                raise RaynasError(f"the channels cannot be changed: {reason}")
        for derived in self.relations.derived:
            is_changed = changed.keys() & {root(derived.node), *map(root, derived.sources)}
            if is_changed and not torch.equal(self._combined(derived, changed), self._copies(derived.node, changed)):
                raise RaynasError(
                    f"the channels cannot be changed: {self._rules.describe(derived.node)} joins them with others in "
                    "an order that an addition elsewhere does not share"
                )
