"""ConvertedModel: a given model as the one elastic layer of a ModelSpace, whose sizes are its widths and depths."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from raynas.converting.blocks import BlockRow
from raynas.converting.groups import Group
from raynas.converting.images import Images
from raynas.converting.kernels import ConvKernel
from raynas.converting.members import Wiring
from raynas.core.architecture import Option
from raynas.core.inputs import Arguments
from raynas.errors import SpaceError
from raynas.nn.dimensions.expressions import Atom, Kept
from raynas.nn.elastic import ElasticLayer, Numbers, Sizes
from raynas.nn.extraction import current_extraction
from raynas.nn.selection import Mixture, current_call

MAX_SKELETONS = 16
"""Number of members whose structure a supernet remembers."""


@dataclass(frozen=True, eq=False)
class Plan:
    """A given model, and what of it may vary.

    Args:
        wiring: the model, and the dimensions of its tensors.
        widths: the options of each group, by name of the decision.
        groups: the groups that vary, by name of the decision.
        depths: the options of each row of blocks, by name of the decision.
        rows: the rows of blocks that vary, by name of the decision.
        orders: the indices of each group, the most important first.
        block_orders: the blocks of each row, the most important first.
        kernel_sizes: the options of each kernel, by name of the decision.
        kernels: the kernels that vary, by name of the decision.
        resolutions: the options of images, by name of the decision.
        images: the images that vary, by name of the decision.
    """

    wiring: Wiring
    widths: Mapping[str, Sequence[int]]
    groups: Mapping[str, Group]
    depths: Mapping[str, Sequence[int]]
    rows: Mapping[str, BlockRow]
    orders: Mapping[Atom, Tensor]
    block_orders: Mapping[str, Sequence[str]]
    kernel_sizes: Mapping[str, Sequence[int]]
    kernels: Mapping[str, ConvKernel]
    resolutions: Mapping[str, Sequence[int]]
    images: Mapping[str, Images]

    @property
    def options(self) -> dict[str, Sequence[int]]:
        """The options of each decision, the given one first: of widths, then of kernels, depths and resolutions."""
        return {**self.widths, **self.kernel_sizes, **self.depths, **self.resolutions}

    def kept(self, options: Mapping[str, Option]) -> Kept:
        """Return the indices that a member keeps of each group and kernel that it does not keep whole."""
        middles = [kernel.kept(int(options[name])) for name, kernel in self.kernels.items()]
        kept = {
            atom: self.orders[atom][:size].sort().values
            for name, group in self.groups.items()
            if int(options[name]) < group.size
            for atom, size in group.sizes(int(options[name])).items()
        }
        return {**kept, **{atom: index for middle in middles for atom, index in middle.items()}}

    def dropped(self, options: Mapping[str, Option]) -> list[str]:
        """Return the paths of the blocks that a member leaves out."""
        return [path for name in self.rows for path in self.block_orders[name][int(options[name]) :]]

    def member(self, options: Mapping[str, Option]) -> nn.Module:
        """Return a member with the weights of the given model; on the meta device if that is the default device."""
        kept, dropped = self.kept(options), self.dropped(options)
        device = torch.empty(0).device
        if device.type == "meta":
            return self.resizing(self.wiring.skeleton(kept, dropped), options)
        with torch.no_grad():
            member = self.wiring.member(kept, dropped, lambda tensor: self.wiring.sliced(tensor, kept).detach().clone())
            return self.resizing(member, options)

    def resized(self, arguments: Arguments, options: Mapping[str, Option]) -> Arguments:
        """Return arguments with the images that a member computes with."""
        for name, images in self.images.items():
            arguments = images.resized(arguments, int(options[name]))
        return arguments

    def resizing(self, member: nn.Module, options: Mapping[str, Option]) -> nn.Module:
        """Return a member behind the resizes of its images; the member itself where these keep their resolution."""
        for name, images in self.images.items():
            member = images.resizing(member, int(options[name]))
        return member


class ConvertedModel(ElasticLayer):
    """The given model; in a supernet it holds a copy of all weights, of which each member uses its part.

    Args:
        plan: what may vary.
    """

    shared: nn.Module

    def __init__(self, plan: Plan) -> None:
        kinds = {"width": plan.widths, "kernel_size": plan.kernel_sizes, "depth": plan.depths, "side": plan.resolutions}
        super().__init__(
            1,
            **{
                f"{kind}{i}": Numbers(options, name)
                for kind, group in kinds.items()
                for i, (name, options) in enumerate(group.items())
            },
        )
        self.plan = plan
        self._skeletons: dict[tuple[Option, ...], tuple[nn.Module, dict[str, int]]] = {}
        self._paths: dict[int, str] = {}

    def plain(self, n_in: int, sizes: Sizes) -> nn.Module:
        return self.plan.member(self._options(sizes))

    def _options(self, sizes: Mapping[str, Any]) -> dict[str, Option]:
        return {str(size.label): sizes[argument] for argument, size in self.size_choices.items()}

    def _shared(self, given: int) -> Tensor:
        """Return the shared tensor of a tensor of the given model; it may be another after weights were loaded."""
        if given not in self._paths:
            model = self.plan.wiring.model
            self._paths = {id(tensor): name for name, tensor in (*model.named_parameters(), *model.named_buffers())}
        path, _, attribute = self._paths[given].rpartition(".")
        found: Tensor = getattr(self.shared.get_submodule(path), attribute)
        return found

    def sliced(self, n_in: int, sizes: Sizes) -> Mapping[str, Tensor]:
        raise SpaceError("the weights of a converted model are taken by its members")

    def run(self, x: Tensor, sizes: Sizes, mixtures: Mapping[str, Mixture]) -> Tensor:
        raise SpaceError("a converted model is called with all its arguments")

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the member that the current call selects, with its part of the shared weights.

        Raises:
            SpaceError: outside a supernet's call, or if sizes are to be mixed.
        """
        call = current_call()
        options = {name: call.of(name) for name in self.names.values()}
        if any(isinstance(option, Mixture) for option in options.values()):
            raise SpaceError(
                "widths and depths of a converted model can be chosen, not mixed: use a single-path method"
            )
        call.widths[self] = 1
        return self._run(options, args, kwargs)  # type: ignore[arg-type]

    def _run(self, options: Mapping[str, Option], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        skeleton, origins = self._skeleton(options)
        kept, whole = self.plan.kept(options), self.plan.wiring.tensors
        tensors, written = {}, []
        for name, origin in origins.items():
            shared, pattern = self._shared(origin), whole[origin]
            part = self._part(shared, pattern, kept)
            tensors[name] = part
            if self.training and part is not shared and not isinstance(shared, nn.Parameter):
                written.append((shared, pattern, part))
        _same_modes(skeleton, self.training)
        given = self.plan.resized(Arguments(args, kwargs), options)
        result = functional_call(skeleton, tensors, given.args, dict(given.kwargs))
        with torch.no_grad():
            for shared, pattern, part in written:  # Statistics were updated in the copy.
                indices = dict(self.plan.wiring.indices(pattern, kept))
                axes = [
                    indices.get(axis, torch.arange(size)).to(shared.device) for axis, size in enumerate(shared.shape)
                ]
                shared[torch.meshgrid(*axes, indexing="ij")] = part
        return result

    def _part(self, shared: Tensor, given: Tensor, kept: Kept) -> Tensor:
        for axis, index in self.plan.wiring.indices(given, kept):
            shared = shared.index_select(axis, index.to(shared.device))
        return shared

    def _skeleton(self, options: Mapping[str, Option]) -> tuple[nn.Module, dict[str, int]]:
        """Return a member without values, and for each of its tensors the identity of the one that it is part of."""
        key = tuple(options.values())
        if key not in self._skeletons:
            if len(self._skeletons) >= MAX_SKELETONS:
                del self._skeletons[next(iter(self._skeletons))]
            self._skeletons[key] = self._made(options)
        return self._skeletons[key]

    def _made(self, options: Mapping[str, Option]) -> tuple[nn.Module, dict[str, int]]:
        wiring, kept = self.plan.wiring, self.plan.kept(options)
        origin: dict[int, int] = {}

        def empty(tensor: Tensor) -> Tensor:
            made = torch.empty(wiring.shape(tensor, kept), dtype=tensor.dtype, device="meta")
            made = nn.Parameter(made, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else made
            origin[id(made)] = id(tensor)
            return made

        skeleton = wiring.member(kept, self.plan.dropped(options), empty)
        named = (*skeleton.named_parameters(), *skeleton.named_buffers())
        return skeleton, {name: origin[id(tensor)] for name, tensor in named}

    def __deepcopy__(self, memo: dict[int, object]) -> nn.Module:
        extraction = current_extraction()
        if extraction is None:
            clone = ConvertedModel(self.plan)
            memo[id(self)] = clone
            if self.names:
                clone.expand(self.names)
                clone.load_state_dict(self.state_dict())
                clone.shared.requires_grad_(True)
            return clone.train(self.training)
        options = {name: extraction.option(name) for name in self.names.values()}
        memo[id(self)] = member = self._extracted_member(options, extraction.copy)
        return member

    def _extracted_member(self, options: Mapping[str, Option], copy: bool) -> nn.Module:
        kept, given = self.plan.kept(options), self.plan.wiring.tensors

        def part(tensor: Tensor) -> Tensor:
            shared = self._shared(id(tensor))
            if not copy and isinstance(shared, nn.Parameter) and not self.plan.wiring.indices(tensor, kept):
                return shared
            part = self._part(shared.detach(), given[id(tensor)], kept)
            return (
                part.clone() if part.data_ptr() == shared.data_ptr() else part
            )  # Selected indices are a copy already.

        member = self.plan.wiring.member(kept, self.plan.dropped(options), part)
        return self.plan.resizing(member, options).train(self.training)

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_skeletons": {}, "_paths": {}}


def _same_modes(skeleton: nn.Module, training: bool) -> None:
    if skeleton.training is not training:
        with suppress(AttributeError):
            skeleton.train(training)
