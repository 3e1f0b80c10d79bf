"""Training: settings, schedule, fidelity, and the same outcome wherever and however often it is interrupted."""

import dataclasses
import math
import sys
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from ray import tune
from torch.utils.data import TensorDataset

from raynas.core.joint_space import JointSpace
from raynas.errors import DataError, SpaceError, UnknownNameError
from raynas.trials import Training
from raynas.trials.checkpoint import CHECKPOINT_KEY
from tests.data.files import photos
from tests.trials.spaces import Fixed, NeedsValues, TinyCnn

ARCH = {"depth": 2, "kernel": 3}
FAST = Training(epochs=2, data_fraction=0.3)

# --- settings --------------------------------------------------------------------------------------------------------

BAD: list[tuple[dict[str, Any], str]] = [
    ({"parallel": "pipeline"}, "unknown kind of data parallelism 'pipeline'"),
    ({"parallel": "fsdp", "dtype": "float16"}, "parallel='fsdp' trains with dtype 'float32' or 'bfloat16', got"),
    ({"workers": 0}, "workers must be a whole number of at least 1, got 0"),
    ({"workers": 3}, r"batch_size must be a multiple of workers \(3\), got 64"),
    ({"epochs": 0}, "epochs must be a whole number of at least 1, got 0"),
    ({"batch_size": 2.5}, "batch_size must be a whole number of at least 1, got 2.5"),
    ({"lr": 0.0}, "lr must be a number above 0"),
    ({"lr": "0.1"}, "lr must be a number above 0, got '0.1'"),
    ({"lr": float("nan")}, "lr must be a number above 0"),
    ({"momentum": 1.0}, r"momentum must be a number in \[0, 1\), got 1.0"),
    ({"weight_decay": -1}, "weight_decay must be a number in"),
    ({"label_smoothing": True}, "label_smoothing must be a number in"),
    ({"data_fraction": 0}, "data_fraction must be a number above 0 and at most 1, got 0"),
    ({"data_fraction": 1.5}, "data_fraction must be a number above 0 and at most 1, got 1.5"),
    ({"valid_share": 0}, "valid_share must be a number above 0"),
    ({"warmup_epochs": 5}, r"warmup_epochs must be below epochs \(5\), got 5"),
    ({"stream_above_gb": -1}, "stream_above_gb must be a number from 0, got -1"),
    ({"cache_images": "no"}, "cache_images must be True or False, got 'no'"),
    ({"data_workers": -1}, "data_workers must be a whole number of at least 0, got -1"),
    ({"resolution": 0}, "resolution must be a whole number of at least 1"),
    ({"dtype": "float64"}, "dtype must be one of float32, bfloat16, float16, got 'float64'"),
    ({"device": "gpu"}, "device must be one of auto, cpu, cuda, mps, xpu, got 'gpu'"),
    ({"n_threads": 0}, "n_threads must be a whole number of at least 1"),
    ({"gpus": 0}, "gpus must be above 0 and at most 1"),
    ({"gpus": 2}, "at most 1: a process computes on one GPU"),
    ({"seed": -1}, "seed must be a whole number of at least 0"),
    ({"optimizer": "sdg"}, "unknown optimizer 'sdg'; did you mean 'sgd'.*adam"),
    ({"schedule": "step"}, "unknown schedule 'step'.*constant, cosine"),
    ({"augment": "flip"}, "unknown augmentation 'flip'.*auto, crop_flip"),
]


@pytest.mark.parametrize(("wrong", "expected"), BAD)
def test_settings_are_checked(wrong: dict[str, Any], expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        Training(**wrong)


def test_the_usual_learning_rate_depends_on_the_optimizer() -> None:
    assert Training().learning_rate == 0.1
    assert Training(optimizer="adamw").learning_rate == 0.001
    assert Training(optimizer="adamw", lr=0.02).learning_rate == 0.02


def test_the_config_of_a_trial_wins() -> None:
    changed = Training(lr=0.1).with_hyperparameters({"lr": 0.2, "batch_size": 32.0, "optimizer": "adam"})
    assert (changed.lr, changed.batch_size, changed.optimizer) == (0.2, 32, "adam")
    with pytest.raises(UnknownNameError, match=r"unknown hyperparameter 'learning_rate'.*batch_size.*weight_decay"):
        Training().with_hyperparameters({"learning_rate": 0.2})
    with pytest.raises(ValueError, match="lr must be a number"):
        Training().with_hyperparameters({"lr": -1})


def test_the_learning_rate_rises_then_falls_to_zero() -> None:
    settings = Training(epochs=4, warmup_epochs=1)
    steps = [settings.lr_factor(i / 10, (i + 1) / 10) for i in range(40)]
    assert steps[0] == pytest.approx(0.1) and steps[9] == steps[10] == pytest.approx(1)
    assert all(a > b for a, b in pairwise(steps[10:])) and steps[-1] < 0.01
    constant = Training(epochs=4, warmup_epochs=0, schedule="constant")
    assert {constant.lr_factor(i, i + 1) for i in range(4)} == {1.0}


def test_the_cosine_ends_at_a_share_of_the_rate() -> None:
    """From 0.025 to 0.001, as in DARTS: the rate of epoch e of 50 is 0.001 + 0.012 * (1 + cos(pi * e / 50))."""
    settings = Training(epochs=50, warmup_epochs=0, lr=0.025, final_lr_share=0.04)
    rates = [0.025 * settings.lr_factor(e, e + 1) for e in (0, 10, 25)]
    assert rates == pytest.approx([0.001 + 0.012 * (1 + math.cos(math.pi * e / 50)) for e in (0, 10, 25)])
    constant = Training(epochs=4, warmup_epochs=0, schedule="constant", final_lr_share=0.5)
    assert {constant.lr_factor(i, i + 1) for i in range(4)} == {1.0}


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [("final_lr_share", 1.5, "from 0 to 1, got 1.5"), ("clip_norm", 0, "clip_norm must be a number above 0, got 0")],
)
def test_settings_of_recipes_are_checked(name: str, value: float, rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        Training().with_hyperparameters({name: value})


# --- a trial without Ray ---------------------------------------------------------------------------------------------


def test_the_defaults_learn_digits() -> None:
    results: list[dict[str, Any]] = []
    last = Training().evaluate(TinyCnn(channels=16), ARCH, on_result=results.append, metrics=["latency_ms"])
    assert last["accuracy"] > 0.95 and last == results[-1]
    assert [r["training_iteration"] for r in results] == [1, 2, 3, 4, 5]
    assert [r["done"] for r in results] == [False] * 4 + [True] and last["complete"] == 1
    assert last["params"] == 16 * 9 + 32 * 16 * 9 + 2 * 16 + 2 * 32 + 33 * 10
    assert last["macs"] > 0 and last["latency_ms"] > 0 and last["peak_memory_mb"] > 50
    assert results[0]["train_seconds"] < last["train_seconds"] < 30


def without_times(result: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in result.items() if k not in ("latency_ms", "train_seconds", "peak_memory_mb")}


def test_the_outcome_depends_on_seed_and_architecture_alone() -> None:
    runner, other = FAST.runner(TinyCnn()), FAST.runner(TinyCnn())
    config = {"arch": ARCH}
    first = runner.run(config)
    other.run({"arch": {"depth": 1, "kernel": 5}, "lr": 0.01})
    torch.manual_seed(99)
    assert without_times(other.run(config)) == without_times(first)
    another_seed = dataclasses.replace(FAST, seed=1).runner(TinyCnn()).run(config)
    assert without_times(another_seed) != without_times(first)


def test_only_torchs_generator_is_changed() -> None:
    import random

    numpy_state, state = np.random.get_state()[1].copy(), random.getstate()  # type: ignore[index]
    threads = torch.get_num_threads()
    dataclasses.replace(FAST, n_threads=threads + 1).evaluate(TinyCnn(), ARCH)
    assert torch.get_num_threads() == threads and random.getstate() == state
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_state)  # type: ignore[index]


def test_streamed_images_train_the_same_network_also_after_an_interruption(tmp_path: Path) -> None:
    held = Training(
        data=f"folder:{photos(tmp_path)}", data_dir=str(tmp_path), image_size=8, batch_size=4, epochs=3, data_workers=1
    )
    streamed = dataclasses.replace(held, stream_above_gb=0)
    assert held.description == streamed.description
    space, config = TinyCnn(), {"arch": ARCH}
    expected = without_times(held.runner(space).run(config))
    runner, other = streamed.runner(space), streamed.runner(space)
    runner.begin(config)
    runner.step()
    runner.save(tmp_path / "checkpoint")
    other.begin({**config, CHECKPOINT_KEY: str(tmp_path / "checkpoint")})
    while not (last := other.step())["done"]:
        pass
    assert without_times(last) == expected and (tmp_path / "decoded").is_dir()


def test_lower_fidelity_changes_the_training_and_not_the_costs() -> None:
    space = TinyCnn(channels=16)
    runner = Training(epochs=1, data_fraction=0.2, resolution=4, scale={"channels": 4}).runner(space)
    result = runner.run({"arch": ARCH})
    full = Training(epochs=1).evaluate(space, ARCH)
    assert not result["failed"] and (result["params"], result["macs"]) == (full["params"], full["macs"])
    runner.begin({"arch": ARCH})
    assert next(runner.trial.trainer.model.parameters()).shape[0] == 4
    assert next(iter(runner.trial.trainer.batches.examine("valid")))[0].shape[1:] == (1, 4, 4)


def test_hyperparameters_are_searched_jointly() -> None:
    space = JointSpace(TinyCnn(), {"lr": tune.loguniform(1e-3, 1e-1), "batch_size": tune.choice([16, 32])})
    runner = FAST.runner(space)
    runner.begin({"arch": ARCH, "lr": np.float64(0.01), "batch_size": 16})
    settings = runner.trial.trainer.settings
    assert not runner.progress.error and (settings.lr, settings.batch_size) == (0.01, 16)


# --- spaces and data -------------------------------------------------------------------------------------------------


def test_a_space_is_fitted_to_the_data() -> None:
    runner = FAST.runner(TinyCnn(input_shape=(3, 32, 32), n_classes=2))
    assert runner.space == TinyCnn(input_shape=(1, 8, 8), n_classes=10)


def test_a_space_that_fits_already_is_taken_as_it_is() -> None:
    assert FAST.evaluate(Fixed(), {"bias": True})["failed"] == 0


def test_what_cannot_be_fitted_is_refused_before_any_trial() -> None:
    with pytest.raises(SpaceError, match=r"Fixed takes images of shape \(1, 9, 9\), but digits has \(1, 8, 8\)"):
        FAST.runner(Fixed(size=9))
    with pytest.raises(SpaceError, match=r"outputs of shape \(2, 7\) for 2 examples, but digits has 10 classes"):
        FAST.runner(Fixed(n_classes=7))
    with pytest.raises(SpaceError, match=r"no network of Fixed that was tried runs on images of shape \(1, 4, 4\)"):
        dataclasses.replace(FAST, resolution=4).runner(Fixed())


def test_a_size_that_the_space_does_not_have() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown size of TinyCnn 'chanels'; did you mean 'channels'"):
        Training(scale={"chanels": 4}).runner(TinyCnn())
    with pytest.raises(UnknownNameError, match=r"unknown size of Fixed 'channels'.*none"):
        Training(scale={"channels": 4}).runner(Fixed())


def test_loaders_of_the_users_own(monkeypatch: pytest.MonkeyPatch) -> None:
    from raynas.data import loaders

    def make() -> tuple[TensorDataset, TensorDataset]:
        images = torch.randn(60, 1, 8, 8, generator=torch.Generator().manual_seed(0))
        labels = (images.mean(dim=(1, 2, 3)) > 0).long()
        return TensorDataset(images[:40], labels[:40]), TensorDataset(images[40:], labels[40:])

    loaders._parts.cache_clear()
    module = ModuleType("my_data")
    module.make = make  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "my_data", module)
    settings = Training(data="my_data:make", epochs=2, batch_size=8)
    first, again = (settings.evaluate(TinyCnn(n_classes=2), ARCH) for _ in range(2))
    assert first["complete"] == 1 and without_times(first) == without_times(again)
    with pytest.raises(DataError, match="my_data:make: a batch of train holds label 1, but labels of 1 classes"):
        dataclasses.replace(settings, epochs=1).evaluate(TinyCnn(n_classes=1), ARCH)


def test_a_network_that_reads_values_is_trained_and_counted() -> None:
    result = FAST.evaluate(NeedsValues(), {"bias": True})
    assert result["complete"] == 1 and result["macs"] == result["params"] == 650
