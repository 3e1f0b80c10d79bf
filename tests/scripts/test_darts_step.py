"""The benchmark's plain implementation of DARTS is the reference for a search step on the supernet."""

import argparse
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

PATH = Path(__file__).parents[2] / "scripts" / "bench" / "darts_step.py"


@pytest.fixture(scope="module")
def bench() -> ModuleType:
    spec = importlib.util.spec_from_file_location("darts_step", PATH)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["darts_step"] = module  # Dataclasses look their module up.
    spec.loader.exec_module(module)
    return module


def test_steps_on_the_supernet_are_those_of_the_plain_implementation(bench: ModuleType) -> None:
    sizes = argparse.Namespace(batch=4, channels=4, cells=3, side=12)
    plain, fast = (bench.Search(way, sizes) for way in ("plain", "fast"))
    for _ in range(2):
        (losses, gradient), (their_losses, their_gradient) = fast.step(), plain.step()
        assert losses == pytest.approx(their_losses, abs=1e-4)
        torch.testing.assert_close(torch.tensor(gradient), torch.tensor(their_gradient), atol=1e-4, rtol=0)
    for ours, theirs in zip(fast.weights, plain.weights, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=0)


def test_bfloat16_is_close(bench: ModuleType) -> None:
    sizes = argparse.Namespace(batch=4, channels=4, cells=3, side=12)
    plain, half = (bench.Search(way, sizes) for way in ("plain", "bfloat16"))
    (losses, gradient), (their_losses, their_gradient) = half.step(), plain.step()
    assert losses[0] == pytest.approx(their_losses[0], rel=0.02)
    ours, theirs = torch.tensor(gradient), torch.tensor(their_gradient)
    assert torch.cosine_similarity(ours, theirs, dim=0) > 0.9
