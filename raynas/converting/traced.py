"""Run of a model that shows which dimensions of its tensors go together."""

import copy
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.nn.parameter import is_lazy

from raynas.converting import importance as criteria
from raynas.converting.blocks import BlockWatch
from raynas.converting.reading import LayerWatch
from raynas.converting.traceable import traceable
from raynas.core.inputs import Arguments, make_example
from raynas.errors import SpaceError, one_line
from raynas.nn.dimensions.expressions import freeze, unify
from raynas.nn.dimensions.tracing import INPUT, OUTPUT, Trace
from raynas.nn.modes import modes_kept

UNUSED = "no operation computes with it"
"""Reason why a layer is fixed that neither an evaluation nor a training step runs."""


class Traced:
    """A run of the model under a ``Trace``.

    Args:
        model: the given one; it is not changed.
        example: what it takes.

    Raises:
        SpaceError: if it is of a kind that cannot be converted, or does not run on the example.
    """

    def __init__(self, model: nn.Module, example: Arguments) -> None:
        _refuse(model)
        self.trace = Trace()
        self.layers = LayerWatch(model)
        watch = BlockWatch(model)
        for tensor in (*model.parameters(), *model.buffers()):
            self.trace.of(tensor)
        self.trace.freeze(example, INPUT)
        self.trace.asked.clear()
        self._run(model, example, watch)
        if not {id(parameter) for parameter in model.parameters()} <= self.trace.asked:
            self._run_in_training(model, example)
        self._freeze(model)
        rows = list(watch.rows())
        for row in rows:
            for before, after in row.joints:
                for a, b in zip(self.trace.of(before), self.trace.of(after), strict=True):
                    unify(a, b)
        named = dict((*model.named_parameters(), *model.named_buffers()))
        self.dimensions = {name: self.trace.of(tensor) for name, tensor in named.items()}
        inputs_of = self.trace.inputs_of
        self.inputs_of = {name: inputs_of[id(tensor)] for name, tensor in named.items() if id(tensor) in inputs_of}
        self.rows = [replace(row, joints=()) for row in rows]
        self.reads = self.layers.reads(self.trace)
        self.block_scores = {row.name: criteria.block_scores(row) for row in rows}

    def _run(self, model: nn.Module, example: Arguments, watch: BlockWatch) -> None:
        try:
            with _unchanged(model), torch.no_grad(), watch.watching():
                model.eval()
                with traceable(model), self.layers.watching(), self.trace:
                    result = example.call(model)
        except Exception as error:
            raise SpaceError(f"{type(model).__name__} does not run on the example inputs: {one_line(error)}") from error
        self.trace.freeze(result, OUTPUT)

    def _run_in_training(self, model: nn.Module, example: Arguments) -> None:
        """Tie the dimensions of layers that run in training alone, such as auxiliary classifiers.

        A model that cannot be trained on the example is left with what is known from eval mode.
        """
        log, self.trace.log = self.trace.log, []
        batch = Arguments.of(make_example(example, max(example.n_examples, 2)))  # for statistics of batches
        self.trace.freeze(batch, INPUT)
        try:
            with _unchanged(model), torch.no_grad(), torch.random.fork_rng(devices=[]):
                model.train()
                with traceable(model), self.layers.watching(), self.trace:
                    result = batch.call(model)
            self.trace.freeze(result, OUTPUT)
        except Exception:
            return
        finally:
            self.trace.log = log

    def _freeze(self, model: nn.Module) -> None:
        """Freeze what the operations do not show."""
        for module in model.modules():
            if isinstance(module, nn.LSTM) and module.proj_size:
                hidden = self.trace.of(module.get_parameter("weight_ih_l0"))[0]
                freeze(hidden, "hidden features of an LSTM must outnumber the projected ones")
        unused = [parameter for parameter in model.parameters() if id(parameter) not in self.trace.asked]
        self.trace.freeze(
            [buffer for buffer in model.buffers() if not buffer.is_floating_point()], "a table of numbers"
        )
        self.trace.freeze(unused, UNUSED)


def _refuse(model: nn.Module) -> None:
    """Refuse a model of which no smaller copies can be made.

    Raises:
        SpaceError: with the reason.
    """
    name = type(model).__name__
    if torch.is_inference_mode_enabled():
        raise SpaceError("operations cannot be followed in torch.inference_mode: convert the model outside of it")
    if isinstance(model, nn.DataParallel | DistributedDataParallel):
        raise SpaceError(f"{name} spreads a model over devices: convert the model in it, model.module")
    if hasattr(model, "_orig_mod"):
        raise SpaceError("the model is compiled: convert it before torch.compile, model._orig_mod")
    for path, module in model.named_modules():
        if isinstance(module, torch.jit.ScriptModule):
            raise SpaceError(f"{path or name} is scripted, so its code cannot be followed: convert it before torch.jit")
    if any(map(is_lazy, (*model.parameters(), *model.buffers()))):
        raise SpaceError("the model has lazy layers; run it once before it is converted")
    tensors = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
    try:
        copy.deepcopy(model, dict(tensors))
    except Exception as error:
        raise SpaceError(f"{name} cannot be copied, as its smaller relatives are: {one_line(error)}") from error


@contextmanager
def _unchanged(model: nn.Module) -> Iterator[None]:
    """Restore the modes and buffers of a model when the context ends, and keep warnings from the terminal."""
    before = {buffer: buffer.clone() for buffer in model.buffers()}
    try:
        with modes_kept(model), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        with torch.no_grad():
            for buffer, values in before.items():
                if buffer.device.type != "meta":
                    buffer.copy_(values)
