"""Supernet: all networks of a space at once, on shared weights."""

import copy
from collections.abc import Mapping
from functools import partial

from torch import Tensor, nn

from raynas.core.architecture import Option
from raynas.core.inputs import Arguments, Inputs
from raynas.errors import SpaceError
from raynas.nn.decision_module import DecisionModule
from raynas.nn.elastic import ElasticLayer
from raynas.nn.expansion import ExpandedChoice, expand
from raynas.nn.extraction import Extraction, extracting
from raynas.nn.lazy_layers import resolve_lazy_layers
from raynas.nn.model_space import ModelSpace
from raynas.nn.selection import Call, Mixture, Selection, calling


class Supernet(nn.Module):
    """All networks of a ``ModelSpace`` at once: networks with a branch in common share its weights.

    A forward pass computes a *selection*, which maps each decision to an option (one subnet: single path) or to weights
    for its alternatives (a mixture: differentiable search). Modules keep no state of it. In eval mode
    ``supernet(x, arch)`` equals ``supernet.extract(arch)(x)``.

    Layers whose input width depends on a choice have to be elastic (``ElasticConv2d``, ``ElasticBatchNorm2d``, …): a
    lazy layer has the width of its first input.

    Args:
        space: the networks.
        partial_channels: k, to process only 1/k of the channels in choices with ``narrow`` (PC-DARTS); such a supernet
            finds architectures, but its subnets are not those of the space.

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
        if partial_channels > 1 and not any(choice.k > 1 for choice in self.expanded_choices):
            raise SpaceError(f"no Choice of {space.name} says how to be narrow: Choice(..., narrow=...)")
        resolve_lazy_layers(self, space, (partial(self, selection=arch) for arch in space.showcase()))

    @property
    def expanded_choices(self) -> list[ExpandedChoice]:
        """The choices in the supernet; those with the same ``name`` share a decision."""
        return [module for module in self.net.modules() if isinstance(module, ExpandedChoice)]

    @property
    def choices(self) -> dict[str, DecisionModule]:
        """The choice of each decision, which knows its alternatives, by name."""
        found: dict[str, DecisionModule] = {choice.name: choice.choice for choice in self.expanded_choices}
        for layer in self.net.modules():
            if isinstance(layer, ElasticLayer):
                found |= {layer.names[argument]: size for argument, size in layer.size_choices.items()}
        return {decision.name: found[decision.name] for decision in self.space.decisions}

    def forward(self, x: Inputs, selection: Selection) -> Tensor:
        """Compute a selection.

        Args:
            x: what the networks take: a tensor of shape ``(batch, *input_shape)``, or several; see ``Inputs``.
            selection: an option or weights for every active decision, for example an ``Architecture``.

        Returns:
            The output of the networks, for images logits of shape ``(batch, n_classes)``.

        Raises:
            SpaceError: if a decision or an option is unknown, a decision is missing, or the number of weights is not
                that of the alternatives.
        """
        self._check(selection)
        with calling(Call(selection)):
            out: Tensor = Arguments.of(x).call(self.net)
        return out

    def _check(self, selection: Selection) -> None:
        if unknown := selection.keys() - self._known.keys():
            raise SpaceError(f"{self.space.name} has no decision {sorted(unknown)[0]!r}")
        for name, selected in selection.items():
            if not isinstance(selected, Tensor | Mixture) and not self._known[name].contains(selected):
                options = ", ".join(map(str, self._known[name].options))
                raise SpaceError(f"decision {name!r} must be one of {options}, got {selected!r}")

    def extract(self, arch: Mapping[str, Option], *, copy_weights: bool = True) -> nn.Module:
        """Return the network of ``arch``, plain PyTorch, with the supernet's weights and batch statistics.

        Args:
            arch: a member of the space.
            copy_weights: True to copy the weights; False to share the supernet's parameters, so that training the
                network changes them. Buffers are copies in any case, and so is each parameter of which a member of a
                ``ConvertedSpace`` keeps a part: the channels that matter most are no slice of it.

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


class Selected(nn.Module):
    """A supernet as the network of one selection, with the arguments of that.

    Args:
        supernet: computes it.
        selection: see ``Supernet.forward``.
    """

    def __init__(self, supernet: Supernet, selection: Selection) -> None:
        super().__init__()
        self.supernet, self._selection = supernet, selection
        self.training = supernet.training

    def forward(self, *args: object, **kwargs: object) -> Tensor:
        """Compute the selection."""
        output: Tensor = self.supernet(Arguments(args, kwargs), self._selection)
        return output
