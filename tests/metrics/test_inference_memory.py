"""Memory of inference: by hand, and against runs with values."""

import json
import random
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode

from raynas.core.inputs import TensorSpec, leaves
from raynas.metrics import MetaModels, inference_memory
from raynas.search_spaces import NASBench201

CELL = 4 * 8 * 8  # bytes of a channel of an image of 8 x 8


class Calls(nn.Module):
    """Runs a function of an image."""

    def __init__(self, function: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Any:
        return self.function(x)


def shortcut(x: Tensor) -> Tensor:
    y = torch.cat([x, x], 1)  # 2 + 4 channels
    y = y.sigmoid()  # 2 + 4 + 4
    y = y[:, :2].tanh()  # 2 + 4 + 2: the whole of what is read in part
    return y + x


def views(x: Tensor) -> Tensor:
    whole = x.repeat(1, 2, 1, 1)
    part = whole.view(4, 64)[:1]
    del whole
    wide = x.repeat(1, 3, 1, 1).sigmoid_()  # 2 of the input, 4 behind the view, 6
    return part.sum() + wide.sum()


@pytest.mark.parametrize(
    ("function", "n_channels"),
    [
        (lambda x: x.relu(), 2 + 2),
        (lambda x: x.relu_(), 2),
        (lambda x: x.relu().relu_().relu_(), 2 + 2),
        (lambda x: x.relu().sigmoid().tanh(), 2 + 2),
        (shortcut, 2 + 4 + 4),
        (views, 2 + 4 + 6),
        (lambda x: (x[:, :1] + 1, x.sum(1)), 2 + 1 + 1),
        (lambda x: x, 2),
        (lambda x: (x + torch.zeros(2, 8, 8)).relu(), 2 + 2 + 2),
    ],
    ids=["new", "in place", "in place later", "chain", "shortcut", "views", "outputs", "nothing", "constant made"],
)
def test_by_hand(function: Callable[[Tensor], Any], n_channels: int) -> None:
    assert inference_memory(Calls(function), (2, 8, 8)) == n_channels * CELL


def test_weights_are_apart() -> None:
    assert inference_memory(nn.Linear(100, 3), (100,)) == 4 * (100 + 3)
    tokens = nn.Sequential(nn.Embedding(50, 6), nn.Linear(6, 2))
    assert inference_memory(tokens, TensorSpec((5,), torch.long, high=50)) == max(5 * 8 + 5 * 6 * 4, 5 * (6 + 2) * 4)
    assert inference_memory(nn.Linear(100, 3).half(), (100,)) == 2 * (100 + 3)


class Memory(TorchDispatchMode):
    """Follows which memory is held, during a computation with values."""

    def __init__(self, given: Tensor) -> None:
        super().__init__()
        self.held: dict[int, tuple[StorageWeakRef, int]] = {}
        self.add(given)
        self.peak = given.nbytes

    def add(self, tensor: Tensor) -> None:
        storage = StorageWeakRef(tensor.untyped_storage())
        self.held[storage.cdata] = storage, tensor.untyped_storage().nbytes()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        known = {leaf.untyped_storage()._cdata for leaf in leaves((args, kwargs)) if isinstance(leaf, Tensor)}
        result = func(*args, **(kwargs or {}))
        for tensor in leaves(result):
            if isinstance(tensor, Tensor) and tensor.untyped_storage()._cdata not in known:
                self.add(tensor)
        self.peak = max(self.peak, sum(n_bytes for storage, n_bytes in self.held.values() if not storage.expired()))
        return result


def held_by(model: nn.Module, size: tuple[int, ...]) -> int:
    """Return the most memory that tensors hold in a run with values."""
    given = [torch.rand(1, *size)]
    with torch.no_grad(), Memory(given[0]) as memory:
        model.eval().forward(given.pop())  # a call of the module would hold its input to the end
    return int(memory.peak)


class Residual(nn.Module):
    def __init__(self, n_channels: int, *, inplace: bool) -> None:
        super().__init__()
        self.first, self.second = (nn.Conv2d(n_channels, n_channels, 3, padding=1) for _ in range(2))
        self.norm, self.relu = nn.BatchNorm2d(n_channels), nn.ReLU(inplace)

    def forward(self, x: Tensor) -> Tensor:
        y = self.second(self.relu(self.norm(self.first(x))))
        y += x
        out: Tensor = self.relu(y)
        return out


@pytest.mark.parametrize(
    "model",
    [
        nn.Sequential(nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Conv2d(16, 32, 3, stride=2), nn.ReLU(True), nn.Flatten()),
        nn.Sequential(nn.Conv2d(3, 8, 1), Residual(8, inplace=True), nn.MaxPool2d(2), Residual(8, inplace=False)),
        nn.Sequential(nn.Conv2d(3, 8, 3, groups=1), nn.Hardswish(), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        nn.Sequential(nn.Flatten(2), nn.LSTM(256, 8, batch_first=True)),
    ],
    ids=["chain", "residual", "head", "lstm"],
)
def test_is_what_tensors_hold_in_a_run(model: nn.Module) -> None:
    # On the meta device batch norm puts out statistics, of a few bytes, that it leaves out on the CPU.
    assert inference_memory(model, (3, 16, 16)) == pytest.approx(held_by(model, (3, 16, 16)), rel=0.02)


class RandomGraph(nn.Module):
    """Adds up, concatenates, cuts and changes random earlier tensors; each is given up after its last use."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        draw = random.Random(seed)
        self.steps = [(draw.randrange(5), draw.randrange(i + 1), draw.randrange(i + 1)) for i in range(12)]

    def forward(self, x: Tensor) -> Tensor:
        values = {0: x}
        del x
        for i, (kind, *indices) in enumerate(self.steps):
            values[i + 1] = self.step(kind, *(values[index] for index in indices))
            used = {index for _, *later in self.steps[i + 1 :] for index in later} | {len(self.steps)}
            values = {index: value for index, value in values.items() if index in used}
        return values[len(self.steps)]

    @staticmethod
    def step(kind: int, a: Tensor, b: Tensor) -> Tensor:
        """Return a new tensor, a view, or the first one changed; all kinds read both."""
        n = min(a.shape[-1], b.shape[-1])
        if kind == 0:
            return a[..., :n] + b[..., :n]
        if kind == 1:
            return torch.cat([a, b], -1)
        if kind == 2:
            return torch.maximum(a[..., :n], b[..., :n]).view(1, 1, n)[0, :, : max(1, n // 2)]
        a[..., :n].mul_(b[..., :n])
        return a


@pytest.mark.parametrize("seed", range(20))
def test_is_what_a_program_holds_that_gives_up_tensors_after_their_last_use(seed: int) -> None:
    model = RandomGraph(seed)
    assert inference_memory(model, (64,)) == held_by(model, (64,))


def test_is_what_the_allocator_gave(tmp_path: Path) -> None:
    widths = (4, 300, 200, 500, 10)
    layers = [m for i, j in pairwise(widths) for m in (nn.Linear(i, j), nn.SiLU())]
    model, given = nn.Sequential(*layers).eval(), torch.rand(1, widths[0])
    with torch.no_grad(), torch.profiler.profile(profile_memory=True) as profile:
        model(given)
    profile.export_chrome_trace(str(tmp_path / "trace.json"))
    events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    changes = [event["args"] for event in events if event.get("name") == "[memory]"]
    allocated = [change["Total Allocated"] for change in changes]
    before = allocated[0] - changes[0]["Bytes"]
    assert inference_memory(model, (widths[0],)) == max(allocated) - before == 4 * 2 * 500


def test_a_model_that_reads_values_is_computed() -> None:
    model = Calls(lambda x: torch.cat([x, x]) if x.sum().item() >= 0 else x)
    assert inference_memory(model, (2, 8, 8)) == (2 + 4) * CELL


def test_of_a_member_is_that_of_its_network() -> None:
    space = NASBench201()
    models, archs = MetaModels(space), [space.sample(np.random.default_rng(seed)) for seed in range(3)]
    for arch in archs:
        assert models.inference_memory(arch) == inference_memory(space.build(arch), space.input_shape)
    assert len({models.inference_memory(arch) for arch in archs}) > 1
