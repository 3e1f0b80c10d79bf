"""Check of each group and row of blocks: a member in which it alone is reduced must run as the given model does."""

import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

from raynas.converting.blocks import BlockRow
from raynas.converting.groups import Group
from raynas.converting.kernels import ConvKernel
from raynas.converting.members import Number, Wiring
from raynas.converting.numbers import groupings, numbers_around, scales_around
from raynas.converting.ties import reason
from raynas.converting.traceable import traceable
from raynas.core.inputs import Arguments
from raynas.errors import one_line
from raynas.nn.dimensions.expressions import Kept, size_of
from raynas.nn.dimensions.tracing import Recording, Trace, tensors_in

Rows = Mapping[str, tuple[BlockRow, Sequence[int]]]
"""Rows of blocks with their depths, by name of the decision."""


class Verification:
    """Members of a model, built and run: each operation must give the shapes that follow from the trace.

    Args:
        wiring: the model.
        example: what it takes.
        trace: its run.
    """

    def __init__(self, wiring: Wiring, example: Arguments, trace: Trace) -> None:
        self.wiring = wiring
        self.example = example
        self.trace = trace
        self.tied: dict[Group, Sequence[int]] = {}
        """Groups that vary with others tied to them, with their options, as ``failures`` found them."""

    def failures(
        self, widths: Mapping[Group, Sequence[int]], depths: Rows, ties: Mapping[Group, Sequence[int]]
    ) -> dict[str, str]:
        """Return the reasons of those that cannot vary, by name.

        Args:
            widths: the groups with their options.
            depths: the rows of blocks with theirs.
            ties: groups with others tied to them, tried in this order where they do not vary alone; without options if
                they are to stay.
        """
        for group in dict.fromkeys((*widths, *(each for tie in ties for each in tie.tied))):
            known = {scale[:2] for scale in self.wiring.scales}  # Queries and keys come before values.
            scales = scales_around(self.wiring.model, group)
            self.wiring.scales += [scale for scale in scales if scale[:2] not in known]
        failed = self._failures_of_groups(widths, ties)
        for name, (row, options) in depths.items():
            error = self._error_without(row.paths[min(options) :])
            if error is not None:
                failed[name] = error
        return failed

    def failures_of_kernels(self, sizes: Mapping[ConvKernel, Sequence[int]]) -> dict[str, str]:
        """Return the reasons of the kernels that cannot shrink, by name."""
        errors = {kernel.name: self._error_of_kernel(kernel, min(options)) for kernel, options in sizes.items()}
        return {name: error for name, error in errors.items() if error is not None}

    def _error_of_kernel(self, kernel: ConvKernel, size: int) -> str | None:
        """Return the reason why a smaller kernel does not compute what the given one does with zeros at its edges.

        Operations that pad may give other shapes, so the outputs are compared.
        """
        given = self.wiring.model.get_submodule(kernel.layer).get_parameter("weight")

        def edgeless(tensor: Tensor) -> Tensor:
            return kernel.edgeless(tensor.detach(), size) if tensor is given else tensor.detach().clone()

        try:
            found = self._outputs(self._member(kernel.kept(size)))
        except Exception as error:
            return f"the model's code does not allow it ({one_line(error)[:200]})"
        whole = self.wiring.member({}, (), edgeless)
        return _difference(found, self._outputs(whole), "with a smaller kernel", "the given one had zeros at its edges")

    def _failures_of_groups(
        self, widths: Mapping[Group, Sequence[int]], ties: Mapping[Group, Sequence[int]]
    ) -> dict[str, str]:
        failed: dict[str, str] = {}
        for some in _separating(list(widths)):
            failed |= self._failures_among([(group, widths[group]) for group in some if group.name not in failed])
        good = {group: options for group, options in widths.items() if group.name not in failed}
        self.tied = self._ties_that_vary(ties, failed, {group.name for group in good})
        good |= self.tied
        if self._error(smallest(good)) is None:
            return failed
        together: dict[Group, Sequence[int]] = {}
        for group, options in good.items():  # Leave out those that do not run with the ones before.
            error = self._error(smallest({**together, group: options}))
            if error is None:
                together[group] = options
            else:
                why = f"not together with other groups: {error}"
                failed |= dict.fromkeys((each.name for each in group.all), why)
        return failed

    def _failures_among(self, widths: Sequence[tuple[Group, Sequence[int]]]) -> dict[str, str]:
        """Return the groups that fail alone, found by halving: few of many are found with few members."""
        if not widths or self._error(smallest(dict(widths))) is None:
            return {}
        if len(widths) == 1:
            ((group, options),) = widths
            error = self._error_alone(group, min(options))
            return {} if error is None else {group.name: error}
        middle = len(widths) // 2
        return self._failures_among(widths[:middle]) | self._failures_among(widths[middle:])

    def _ties_that_vary(
        self, ties: Mapping[Group, Sequence[int]], failed: dict[str, str], good: Collection[str]
    ) -> dict[Group, Sequence[int]]:
        """Return the ties that run, without what varies alone; groups that stay get the reason that was found."""
        found: dict[Group, Sequence[int]] = {}
        running: set[str] = set()  # widths that a tie was found for, which may have to stay
        taken = set(good)
        for given, options in ties.items():
            tie = replace(given, tied=tuple(group for group in given.tied if group.name not in taken))
            those = [group.name for group in tie.all if group.name in failed]
            if tie.name in good or not tie.tied or not those:
                continue
            is_tried = tie.name not in running or (tie.name not in taken and bool(options))
            error = self._error_alone(tie, min(options or [tie.step(1)])) if is_tried else None
            if (why := reason(tie, None if tie.name in running else error)) is not None:
                failed |= dict.fromkeys(those, why)
            if error is None:
                running.add(tie.name)
                if options and tie.name not in taken:
                    found[tie] = options
                    taken |= {group.name for group in tie.all}
        for name in taken:
            failed.pop(name, None)
        return found

    def _error_alone(self, group: Group, size: int) -> str | None:
        kept = _kept(group, size)
        error = self._error(kept)
        if error is None:
            return None
        before = list(self.wiring.numbers)
        found = numbers_around(self.wiring.model, group, before)
        for numbers in groupings(found, is_tied=bool(group.tied)):
            self.wiring.numbers[:] = [*before, *numbers]
            if self._error(kept) is None:
                self._leave_out_settings(numbers, kept)
                return None
        self.wiring.numbers[:] = before
        return error

    def _leave_out_settings(self, numbers: Sequence[Number], kept: Kept) -> None:
        """Leave out numbers in settings that nothing reads, such as a number of layers equal to that of heads."""
        in_settings = [number for number in numbers if number.is_setting]
        for number in in_settings if len(numbers) > 1 else ():
            self.wiring.numbers.remove(number)
            if self._error(kept) is not None:
                self.wiring.numbers.append(number)

    def _error(self, kept: Kept) -> str | None:
        """Return the reason why a narrower member does not compute what the trace says that it does."""
        try:
            log = self._log(kept)
        except Exception as error:
            return f"the model's code does not allow it ({one_line(error)[:200]})"
        if len(log) != len(self.trace.log):
            return "the model computes other operations when it is narrower"
        for (name, shapes), (traced, results) in zip(log, self.trace.log, strict=True):
            expected = [tuple(size_of(d, kept) for d in dimensions) for dimensions in results]
            if name != traced or [tuple(shape) for shape in shapes] != expected:
                wrong = f"{[tuple(s) for s in shapes]} instead of {expected}"
                return f"the model's code does not allow it ({name} would give {wrong})"
        return None

    def _error_without(self, dropped: Sequence[str]) -> str | None:
        """Return the reason why a shallower member does not compute what the model does if the blocks are skipped."""
        try:
            found = self._outputs(self._member({}, dropped))
        except Exception as error:
            return f"the model's code does not allow it ({one_line(error)[:200]})"
        whole = self._member({})
        for path in dropped:
            whole.get_submodule(path).register_forward_hook(_pass_on, with_kwargs=True)
        return _difference(found, self._outputs(whole), "without blocks", "they passed their inputs on")

    def _member(self, kept: Kept, dropped: Sequence[str] = ()) -> nn.Module:
        def part(tensor: Tensor) -> Tensor:
            found = self.wiring.sliced(tensor, kept)
            # A forward pass may write into buffers also in eval mode.
            writes = found is tensor and not isinstance(tensor, nn.Parameter)
            return found.detach().clone() if writes else found.detach()

        return self.wiring.member(kept, dropped, part)

    def _log(self, kept: Kept) -> list[tuple[str, list[torch.Size]]]:
        """Return the operations of a member with the shapes of their results."""
        recording = Recording()
        self._outputs(self._member(kept), recording)
        return recording.log

    def _outputs(self, member: nn.Module, watching: AbstractContextManager[object] | None = None) -> list[Tensor]:
        member.eval()
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with traceable(member), watching or nullcontext():
                return list(tensors_in(self.example.call(member)))


def _pass_on(module: nn.Module, args: object, kwargs: object, output: object) -> object:
    taken, given = next(tensors_in((args, kwargs))), next(tensors_in(output))
    return tree_map_only(Tensor, lambda tensor: taken if tensor is given else tensor, output)


def _difference(found: Sequence[Tensor], expected: Sequence[Tensor], change: str, instead: str) -> str | None:
    if [tensor.shape for tensor in found] != [tensor.shape for tensor in expected]:
        return "the output would have another shape"
    if not all(map(_close, found, expected)):
        return f"{change} the model computes something else than if {instead}"
    return None


def _close(a: Tensor, b: Tensor) -> bool:
    """Compare values up to rounding, relative to the largest one."""
    scale = float(b.abs().max()) if b.is_floating_point() and b.numel() else 0.0
    return torch.allclose(a, b, rtol=0, atol=1e-4 * scale, equal_nan=True)


def _separating(groups: Sequence[Group]) -> Iterator[list[Group]]:
    """Yield sets of groups: all of them, then sets such that of any two groups, each is in one without the other."""
    yield list(groups)
    for bit in range((len(groups) - 1).bit_length()):
        for value in (1, 0):
            yield [group for i, group in enumerate(groups) if i >> bit & 1 == value]


def smallest(widths: Mapping[Group, Sequence[int]]) -> Kept:
    """Return the indices that the narrowest member keeps, whichever they are."""
    return {atom: index for group, options in widths.items() for atom, index in _kept(group, min(options)).items()}


def _kept(group: Group, size: int) -> Kept:
    return {atom: torch.arange(n) for atom, n in group.sizes(size).items()}
