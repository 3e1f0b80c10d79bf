"""Counts of multiply-adds and activations in a forward pass, on the meta device or with values."""

import gc
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, ClassVar, NamedTuple

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from raynas.core.inputs import Arguments, Inputs
from raynas.errors import RaynasError, code_of, one_line
from raynas.nn.modes import evaluating
from raynas.nn.stand_ins import attributes_kept, is_bare, without_values


class _Outcome(NamedTuple):
    """Multiply-adds, activations and outputs of an operation.

    Args:
        macs: multiply-adds.
        activations: number of elements that a convolution or a matrix product puts out.
        outputs: shape, stride and type of each tensor; none if the operation changes its first argument instead.
        is_single: True if the output is a tensor, False if it is a tuple of them.
    """

    macs: int
    activations: int
    outputs: tuple[tuple[torch.Size, tuple[int, ...], torch.dtype], ...]
    is_single: bool

    def repeat(self, args: Sequence[object]) -> object:
        """Return the output of the same operation for other arguments of the same description."""
        if not self.outputs:
            return args[0]
        tensors = tuple(
            torch.empty_strided(size, stride, dtype=dtype, device="meta") for size, stride, dtype in self.outputs
        )
        return tensors[0] if self.is_single else tensors


MAX_KNOWN = 10_000
"""Maximum number of outcomes that are remembered, about ten MB."""

Outcomes = dict[object, _Outcome]
"""Outcomes by operation and description of its arguments."""


def macs_of(model: nn.Module, example: Callable[[], Inputs], counter: "MacCounter") -> int:
    """Return the multiply-adds of a forward pass; see ``run_without_values``."""
    before = counter.macs
    run_without_values(model, example, counter)
    return counter.macs - before


def run_without_values(model: nn.Module, example: Callable[[], Inputs], counter: "MacCounter") -> None:
    """Count in a forward pass in eval mode; the model is left as it was.

    Args:
        model: on any device; its tensors are replaced by tensors without values.
        example: makes the inputs, on the meta device.
        counter: its counts grow by those of the pass.

    Raises:
        RaynasError: if the model cannot run without values.
    """
    try:
        # Under a caller's inference mode the counter would see whole layers instead of the operations in them.
        with torch.inference_mode(False), evaluating(model), ExitStack() as stack:
            if not is_bare(model):
                stack.enter_context(without_values(model))
            counter.run(model, Arguments.of(example()))
    except RaynasError:
        raise
    except Exception as error:
        raise RaynasError(
            f"{type(model).__name__} cannot run on the meta device, where tensors have no values, so its "
            f"{counter.subject} cannot be counted: {one_line(error)}{code_of(error)}"
        ) from error


def run_with_values(model: nn.Module, inputs: Arguments, counter: "MacCounter") -> None:
    """Count in a forward pass that is computed; the model is left as it was.

    Args:
        model: in any mode.
        inputs: on its device.
        counter: one that knows no outcomes; its counts grow by those of the pass.

    Raises:
        RaynasError: if the model cannot run.
    """
    fast = torch.backends.mha.get_fastpath_enabled()
    try:
        # Fused attention and recurrent layers would hide the operations in them.
        torch.backends.mha.set_fastpath_enabled(False)
        with torch.inference_mode(False), evaluating(model), attributes_kept(model), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="TF32 acceleration on top of oneDNN")  # of the flags
            with torch.backends.mkldnn.flags(enabled=False), sdpa_kernel(SDPBackend.MATH):
                counter.run(model, inputs)
    except Exception as error:
        raise RaynasError(
            f"the {counter.subject} of {type(model).__name__} cannot be counted: {one_line(error)}{code_of(error)}"
        ) from error
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


@contextmanager
def no_garbage_collection() -> Iterator[None]:
    """Suspend garbage collection while a network is built.

    A network is some thousand containers without cycles; searching them, and everything else in a Ray process, for
    garbage would take as long as building it.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


class MacCounter(TorchDispatchMode):
    """Adds up the multiply-adds and the activations of the operations that run under it.

    It uses the formulas of torch's FlopCounterMode, but remembers outcomes: a network repeats few different operations,
    and the shape rules of the meta device are slow Python (0.6 ms for a batch norm).

    Args:
        known: outcomes of earlier operations on the meta device; more are added. None to compute every operation.
    """

    subject: ClassVar[str] = "multiply-adds"
    """The counts, in messages."""

    def __init__(self, known: Outcomes | None) -> None:
        super().__init__()
        self.macs: int = 0
        self.activations: int = 0
        self._known = known
        if known and len(known) > MAX_KNOWN:
            known.clear()

    def run(self, model: nn.Module, inputs: Arguments) -> None:
        """Count in a forward pass."""
        with self:
            inputs.call(model)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if self._known is None:
            result = func(*args, **kwargs)
            self._add(*_counts(func, args, kwargs, result))
            return result
        if kwargs.get("device") is not None:  # A tensor that the forward pass makes has to be on the meta device too.
            kwargs["device"] = torch.device("meta")
        key = (func, description(args), description(tuple(kwargs.items())))
        known = self._known.get(key)
        if known is not None:
            self._add(known.macs, known.activations)
            return known.repeat(args)
        result = func(*args, **kwargs)
        counts = _counts(func, args, kwargs, result)
        self._add(*counts)
        if _is_pure(func, result):
            tensors = (result,) if isinstance(result, torch.Tensor) else result
            outputs = () if result is args[0] else tuple((t.shape, t.stride(), t.dtype) for t in tensors)
            self._known[key] = _Outcome(*counts, outputs, tensors is not result)
        return result

    def _add(self, macs: int, activations: int) -> None:
        self.macs += macs
        self.activations += activations


def description(value: object) -> object:
    """Return everything that the shape of an operation's output can depend on, hashable; of tensors not the values."""
    if isinstance(value, torch.Tensor):
        return value.shape, value.stride(), value.dtype
    if isinstance(value, (list, tuple)):
        return tuple(description(item) for item in value)
    return type(value), value  # 1, 1.0 and True are equal, but give different types.


def _is_pure(func: Any, result: Any) -> bool:
    """Return whether the description of the result, a new tensor or the first argument, follows from the arguments'."""
    if torch.Tag.pointwise in func.tags:
        return isinstance(result, torch.Tensor)
    if any(end.alias_info is not None for end in (*func._schema.arguments, *func._schema.returns)):
        return False
    return isinstance(result, torch.Tensor) or (
        isinstance(result, tuple) and bool(result) and all(isinstance(item, torch.Tensor) for item in result)
    )


def _counts(func: Any, args: Any, kwargs: Any, result: Any) -> tuple[int, int]:
    """Return the multiply-adds and the activations of an operation."""
    operation = func.overloadpacket
    if operation not in flop_registry:
        return 0, 0
    has_bias = operation in _BIAS_AT and args[_BIAS_AT[operation]] is not None
    flops = int(flop_registry[operation](*args, **kwargs, out_val=result))
    n_outputs = int((result if isinstance(result, torch.Tensor) else result[0]).numel())
    return flops // 2 + (n_outputs if has_bias else 0), n_outputs


_BIAS_AT = {torch.ops.aten.addmm: 0, torch.ops.aten.baddbmm: 0, torch.ops.aten.convolution: 2}
"""Index of the bias among the arguments of the operations that add one."""
