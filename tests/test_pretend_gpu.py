"""The pretend GPU refuses what a real one refuses, and computes what the CPU computes."""

import copy
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from torch import nn

from tests.device_counts import DeviceCounts
from tests.pretend_gpu import pretend_gpu

MIXED = "Expected all tensors to be on the same device"


@pytest.fixture(autouse=True)
def gpu() -> Iterator[torch.device]:
    with pretend_gpu() as device:
        yield device


def x(device: str = "cuda") -> torch.Tensor:
    return torch.ones(2, 3, device=device)


REFUSED: dict[str, Callable[[], object]] = {
    "add": lambda: x() + x("cpu"),
    "in place": lambda: x("cpu").add_(x()),
    "into a number": lambda: torch.zeros(()).add_(x().sum()),
    "module": lambda: nn.Linear(3, 2)(x()),
    "input": lambda: nn.Linear(3, 2).cuda()(x("cpu")),
    "views": lambda: x()[0] * torch.zeros(3),
    "cat": lambda: torch.cat([x(), x("cpu")]),
    "loss": lambda: nn.functional.cross_entropy(x(), torch.zeros(2, dtype=torch.long)),
    "gather": lambda: x().index_select(0, torch.tensor([0])),
    "indices on the GPU": lambda: x("cpu")[torch.tensor([0], device="cuda")],
    "comparison": lambda: torch.equal(x(), x("cpu")),
    "copies": lambda: copy.deepcopy(x()) + x("cpu"),
    "moved back": lambda: x().cpu() + x(),
    "as another": lambda: torch.zeros(2, 3).to(x()) + x("cpu"),
    "like another": lambda: torch.zeros_like(x(), device="cpu") + x(),
    "loaded": lambda: nn.Linear(3, 2).to("cuda").weight + torch.zeros(2, 3),
}


@pytest.mark.parametrize("case", REFUSED)
def test_devices_do_not_mix(case: str) -> None:
    with pytest.raises(RuntimeError, match=MIXED):
        REFUSED[case]()


def test_nor_in_a_backward_pass() -> None:
    class Careless(torch.autograd.Function):
        @staticmethod
        def forward(ctx: object, tensor: torch.Tensor) -> torch.Tensor:
            return tensor * 2

        @staticmethod
        def backward(ctx: object, gradient: torch.Tensor) -> torch.Tensor:
            return gradient * torch.full((2, 3), 2.0)

    with pytest.raises(RuntimeError, match=MIXED):
        Careless.apply(x().requires_grad_()).sum().backward()


def test_numpy_reads_the_cpu_alone() -> None:
    for read in (lambda: x().numpy(), lambda: np.asarray(x())):
        with pytest.raises(TypeError, match="can't convert cuda:0"):
            read()
    assert x().cpu().numpy().sum() == 6


def test_what_a_real_one_takes() -> None:
    assert (x() * torch.tensor(2.0)).device.type == "cuda"  # a number on the CPU
    assert x()[torch.tensor([1])].device.type == "cuda"  # indices on the CPU
    assert x("cpu").copy_(x()).device.type == "cpu" and x().copy_(x("cpu")).device.type == "cuda"
    assert x().is_cuda and not x().is_cpu and x("cpu").is_cpu
    assert torch.randn_like(x()).new_zeros(2).device.type == "cuda"
    assert copy.deepcopy(nn.Linear(2, 2).cuda()).weight.device == x().device
    with torch.device("cuda"):
        assert nn.Linear(2, 2).weight.device.type == torch.zeros(1).device.type == "cuda"
    assert torch.zeros(1).device.type == "cpu"
    assert x().sum().item() == 6


@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.Adam])
def test_training_gives_what_it_gives_on_the_cpu(optimizer: type[torch.optim.Optimizer]) -> None:
    def trained(device: str) -> list[float]:
        torch.manual_seed(0)
        model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3))
        model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        steps = optimizer(model.parameters(), lr=0.01)  # type: ignore[call-arg]
        images, labels = torch.randn(8, 1, 4, 4).to(device), torch.arange(8).remainder(3).to(device)
        losses = []
        for _ in range(3):
            loss = nn.functional.cross_entropy(model(images), labels)
            steps.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            steps.step()
            losses.append(loss.item())
        assert all(p.grad is not None and p.grad.device.type == device for p in model.parameters())
        return losses

    assert trained("cuda") == pytest.approx(trained("cpu"), rel=1e-5)


def test_gradients_cross_between_devices() -> None:
    weight = torch.ones(3, requires_grad=True)
    (weight.to("cuda") * torch.full((3,), 2.0, device="cuda")).sum().cpu().backward()
    assert weight.grad is not None and weight.grad.device.type == "cpu" and weight.grad.tolist() == [2, 2, 2]


def test_what_it_does_is_counted() -> None:
    counts = DeviceCounts()
    with pretend_gpu(counts):
        here = torch.arange(6.0)
        there = here.to("cuda")
        assert (counts.to_device, counts.bytes_to_device, dict(counts.waits)) == (1, 24, {"copies to the GPU": 1})
        assert here.pin_memory().to("cuda", non_blocking=True).is_cuda and counts.n_waits == 1
        assert here.to("cuda", non_blocking=True).is_cuda and counts.n_waits == 2  # from memory that is not pinned
        there.copy_(here.pin_memory(), non_blocking=True)
        assert (counts.to_device, counts.n_waits, counts.n_operations) == (4, 2, 0)
        total = (there.view(2, 3).t() * 2).sum()  # a view starts nothing
        assert dict(counts.operations) == {"mul": 1, "sum": 1} and counts.allocated == 28
        assert float(total) == 30 and total > 0 and there.tolist()[1] == 1 and there.cpu()[1] == 1
        assert counts.to_host == 4 and counts.n_waits == 6
        there[there > 3].nonzero()
        assert counts.waits["shape depends on values (index)"] == counts.waits["shape depends on values (nonzero)"] == 1
        counts.clear()
        torch.zeros(3, device="cuda"), torch.empty(3, device="cuda"), torch.tensor([1.0], device="cuda")
        torch.cuda.synchronize()
        assert dict(counts.operations) == {"zeros": 1} and counts.to_device == 1 and counts.n_waits == 2


def test_a_backward_pass_is_counted() -> None:
    counts = DeviceCounts()
    with pretend_gpu(counts):
        weight = torch.ones(3, device="cuda", requires_grad=True)
        x = torch.ones(3, device="cuda")
        counts.clear()
        (weight * x).sum().backward()
        assert dict(counts.operations) == {"mul": 2, "sum": 1, "ones_like": 1}
