"""Memory that runs out: a batch is halved once, an evaluation as often as needed, and a trial fails alone."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from raynas.trials import Training
from raynas.trials.checkpoint import CHECKPOINT_KEY
from raynas.trials.portions import Portions
from tests.pretend_gpu import pretend_gpu
from tests.trials.spaces import TinyCnn

ARCH = {"depth": 2, "kernel": 3}


@pytest.fixture(autouse=True)
def gpu() -> Iterator[torch.device]:
    with pretend_gpu() as device:
        yield device


def with_room_for(monkeypatch: pytest.MonkeyPatch, n: int, *, training: bool = True) -> list[int]:
    """Let networks run out of memory on more than ``n`` examples; return the sizes of the batches that they see."""
    seen: list[int] = []
    forward = torch.nn.Conv2d.forward

    def limited(conv: torch.nn.Conv2d, x: Tensor) -> Tensor:
        if conv.training == training and x.is_cuda:
            seen.append(len(x))
            if len(x) > n:
                raise torch.OutOfMemoryError(f"CUDA out of memory: {len(x)} examples")
        return forward(conv, x)

    monkeypatch.setattr(torch.nn.Conv2d, "forward", limited)
    return seen


def settings(**changes: Any) -> Training:
    given: dict[str, Any] = {"epochs": 2, "data_fraction": 0.05, "batch_size": 24, "augment": "none", "device": "cuda"}
    return Training(**{**given, **changes})


def test_a_batch_is_halved_once_and_the_result_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen = with_room_for(monkeypatch, 12)
    runner = settings().runner(TinyCnn())
    runner.begin({"arch": ARCH})
    first = runner.step()
    assert not first["failed"], first["error"]
    assert first["accumulation"] == "memory ran out: each batch goes through the network in 2 parts"
    assert seen.count(24) == 1 and set(seen) == {24, 12}
    runner.save(tmp_path)
    seen.clear()
    runner.begin({"arch": ARCH, CHECKPOINT_KEY: str(tmp_path)})
    assert not runner.step()["failed"] and set(seen) == {12}, "a trial that continues remembers"


def test_halves_give_the_gradients_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.nn.BatchNorm2d, "forward", lambda norm, x: x)  # it would normalise by half a batch

    def weights() -> list[Tensor]:
        runner = settings(epochs=1, batch_size=23).runner(TinyCnn())
        runner.begin({"arch": ARCH})
        runner.step()
        return [p.detach().cpu() for p in runner.trial.trainer.model.parameters()]

    whole = weights()
    seen = with_room_for(monkeypatch, 12)
    for ours, theirs in zip(weights(), whole, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-5)
    assert {11, 12} < set(seen), "of 23 examples"


def test_a_second_time_fails_that_trial_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as room:
        with_room_for(room, 8)
        runner = settings(epochs=1).runner(TinyCnn())
        result = runner.run({"arch": ARCH})
        assert result["failed"] and "out of memory, a smaller batch_size" in result["error"]
    assert not runner.run({"arch": ARCH})["failed"]


def test_an_evaluation_goes_on_with_smaller_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = settings(epochs=1).evaluate(TinyCnn(), ARCH)
    seen = with_room_for(monkeypatch, 20, training=False)
    result = settings(epochs=1).evaluate(TinyCnn(), ARCH)
    assert not result["failed"] and 64 in seen and 16 in seen
    assert result["accuracy"] == expected["accuracy"]
    assert result["loss"] == pytest.approx(expected["loss"], rel=1e-4)


def as_tensor(value: object) -> Tensor:
    assert isinstance(value, Tensor)
    return value


def test_parts_follow_from_the_memory_that_the_first_examples_took() -> None:
    def parts() -> list[int]:
        portions, x = Portions(), torch.ones(500, 10, device="cuda")
        return list(portions.run(lambda part, _: len(2 * as_tensor(part)), x, None))

    with pretend_gpu(memory_bytes=10**9):
        assert parts() == [64, 436]
    with pretend_gpu(memory_bytes=4 * 128 * 40):  # a quarter holds 128 examples of 40 bytes
        assert parts() == [64, 128, 128, 128, 52]


def test_a_cpu_takes_whole_batches_and_so_do_targets_that_cannot_be_divided() -> None:
    portions, taken = Portions(), list[Any]()
    for device, targets in (("cpu", torch.ones(500)), ("cuda", object())):
        taken += portions.run(lambda x, _: len(as_tensor(x)), torch.ones(500, 2, device=device), targets)
    assert taken == [500, 500]
