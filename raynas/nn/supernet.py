"""Supernet: all networks of a space at once, on shared weights."""

import copy
from collections.abc import Mapping

from torch import Tensor, nn

from raynas.core.architecture import Option
from raynas.errors import SpaceError
from raynas.nn.decision_module import DecisionModule
from raynas.nn.elastic import ElasticLayer
from raynas.nn.expansion import ExpandedChoice, expand
from raynas.nn.extraction import Extraction, extracting
from raynas.nn.lazy_layers import resolve_lazy_layers
from raynas.nn.model_space import ModelSpace
from raynas.nn.selection import Call, Mixture, Selection, calling


class Supernet(nn.Module):
    """All networks of a ``ModelSpace`` at once: where two of them have a part in common, they share its weights.

    A forward pass computes a *selection*, which maps each decision to an option (one subnet: single path) or to weights
    for its ways (a mixture: differentiable search). Nothing of it stays on the modules. In eval mode
    ``supernet(x, arch)`` equals ``supernet.extract(arch)(x)``.

    Args:
        space: the networks.
        partial_channels: k, to send only 1/k of the channels through choices with ``narrow`` (PC-DARTS); such a
            supernet finds architectures, but its subnets are not those of the space.

    Layers whose input width depends on a choice have to be elastic (``ElasticConv2d``, ``ElasticBatchNorm2d``, …): a
    lazy layer takes one width for good.

    Raises:
        SpaceError: if the space is not read off a model with choices, no choice can be narrow though k > 1, or lazy
            layers cannot be made.
    """

    def __init__(self, space: ModelSpace, *, partial_channels: int = 1) -> None:
        super().__init__()
        if not isinstance(space, ModelSpace):
            raise SpaceError(f"a supernet needs a ModelSpace, one read off a model with choices, got {space.name}")
        self.space = space
        self.partial_channels = partial_channels
        self.net = expand(space.factory(), partial_channels=partial_channels)
        self._known = {decision.name: decision for decision in space.decisions}
        if partial_channels > 1 and not any(place.k > 1 for place in self.expanded_choices):
            raise SpaceError(f"no Choice of {space.name} says how to be narrow: Choice(..., narrow=...)")
        resolve_lazy_layers(self, space, ((arch,) for arch in space.showcase()))

    @property
    def expanded_choices(self) -> list[ExpandedChoice]:
        """The places of choices; those with the same ``name`` are decided together."""
        return [module for module in self.net.modules() if isinstance(module, ExpandedChoice)]

    @property
    def choices(self) -> dict[str, DecisionModule]:
        """By the name of each decision, the choice that says what its ways are."""
        found: dict[str, DecisionModule] = {place.name: place.choice for place in self.expanded_choices}
        for layer in self.net.modules():
            if isinstance(layer, ElasticLayer):
                found |= {layer.names[argument]: size for argument, size in layer.size_choices.items()}
        return {decision.name: found[decision.name] for decision in self.space.decisions}

    def forward(self, x: Tensor, selection: Selection) -> Tensor:
        """Compute a selection.

        Args:
            x: shape ``(batch, *input_shape)``.
            selection: an option or weights for every decision that the computed part of the network needs; an
                ``Architecture`` is one.

        Returns:
            What the networks of the space return, logits of shape ``(batch, n_classes)`` for images.

        Raises:
            SpaceError: if a decision or an option is unknown, a decision is lacking, or weights are not one for each
                way.
        """
        self._refuse_unknown(selection)
        with calling(Call(selection)):
            out: Tensor = self.net(x)
        return out

    def _refuse_unknown(self, selection: Selection) -> None:
        if unknown := selection.keys() - self._known.keys():
            raise SpaceError(f"{self.space.name} has no decision {sorted(unknown)[0]!r}")
        for name, selected in selection.items():
            if not isinstance(selected, Tensor | Mixture) and not self._known[name].contains(selected):
                options = ", ".join(map(str, self._known[name].options))
                raise SpaceError(f"decision {name!r} must be one of {options}, got {selected!r}")

    def extract(self, arch: Mapping[str, Option], *, copy_weights: bool = True) -> nn.Module:
        """The network of ``arch``, plain PyTorch, with the supernet's weights and batch statistics.

        Args:
            arch: a member of the space.
            copy_weights: whether it has weights of its own; otherwise it shares the supernet's tensors, buffers
                apart, and training it changes them.

        Raises:
            SpaceError: if ``arch`` is not a member, or the supernet is one of partial channels.
        """
        options = self.space.canonical(arch)
        paths = self.space.elastic_widths(options) if self._elastic else {}
        widths: dict[nn.Module, int] = {layer: paths[path] for path, layer in self._elastic.items() if path in paths}
        shared = {} if copy_weights else {id(tensor): tensor for tensor in self.net.parameters()}
        with extracting(Extraction(options, widths, copy_weights)):
            return copy.deepcopy(self.net, memo=shared)

    @property
    def _elastic(self) -> dict[str, ElasticLayer]:
        return {path: module for path, module in self.net.named_modules() if isinstance(module, ElasticLayer)}
