"""Distillation: any outputs, any targets or none, and the same outcome wherever it is interrupted."""

import dataclasses
import math
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

import raynas
from raynas.converting import ConvertedSpace
from raynas.core.inputs import TensorSpec
from raynas.data import loaders
from raynas.errors import RaynasError, SettingError, SpaceError, UnknownNameError
from raynas.trials import Distillation
from raynas.trials.distillation import DistillationTrial
from raynas.trials.distilled import Distilled, Taught, Teacher, output_of
from raynas.trials.features import FeatureMatching
from raynas.trials.output_kinds import OUTPUT_KINDS, Classes
from tests.trials.spaces import TinyCnn

CPU = torch.device("cpu")


def conv_net() -> nn.Module:
    """Return a network with batch norm and dropout for the digits."""
    torch.manual_seed(0)
    body = [nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 16, 3), nn.ReLU()]
    return nn.Sequential(*body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.1), nn.Linear(16, 10))


def digits_space(model: nn.Module | None = None) -> ConvertedSpace:
    return raynas.convert(model or conv_net(), torch.rand(2, 1, 8, 8))


class Predictor(nn.Module):
    """The next of a sequence of tokens, as libraries of transformers return it."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.hidden, self.head = nn.Embedding(20, 32), nn.Linear(32, 64), nn.Linear(64, 20)

    def forward(self, ids: Tensor) -> dict[str, Tensor]:
        return {"logits": self.head(self.hidden(self.embedding(ids)).relu())}


def tokens_space() -> ConvertedSpace:
    torch.manual_seed(0)
    inputs = TensorSpec((6,), torch.long, high=20)
    return raynas.convert(Predictor(), torch.randint(20, (2, 6)), inputs=inputs, vary={"hidden": raynas_width()})


def raynas_width() -> Any:
    from raynas.converting import Width

    return Width(0.25, 0.5, 1.0)


@pytest.fixture
def user_module(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = ModuleType("own_data")
    monkeypatch.setitem(sys.modules, "own_data", module)
    loaders._parts.cache_clear()
    return module


@pytest.fixture
def texts(user_module: ModuleType) -> str:
    """Return the name of loaders of tokens alone."""
    ids = torch.randint(20, (64, 6), generator=torch.Generator().manual_seed(0))
    user_module.make = lambda: (TensorDataset(ids), TensorDataset(ids[:16]))  # type: ignore[attr-defined]
    return "own_data:make"


FAST = Distillation(data="digits", epochs=2, data_fraction=0.3, warmup_epochs=0)


# --- settings --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ({"outputs": "class"}, "unknown kind of outputs 'class'; did you mean 'classes'"),
        ({"teacher": 3}, "teacher must be a model or package.module:name of what makes it, got 3"),
        ({"teacher": "my_net"}, "code of yours is named as package.module:function"),
        ({"temperature": 0}, "temperature must be a number from 1 to 1000, got 0"),
        ({"label_weight": 1.5}, "label_weight must be a number from 0 to 1, got 1.5"),
        ({"score": 1}, "score must be a function or package.module:function, got 1"),
        ({"features": "body"}, "features must be a sequence of names, got 'body'"),
        ({"class_dim": 1, "outputs": "values"}, "class_dim needs outputs='classes', got 1"),
    ],
)
def test_settings_are_checked(wrong: dict[str, Any], expected: str) -> None:
    with pytest.raises((SettingError, UnknownNameError), match=expected):
        Distillation(**wrong)


def test_a_teacher_is_described_by_its_weights() -> None:
    first, second = Distillation(teacher=conv_net()), Distillation(teacher=conv_net())
    assert first.description == second.description and "Sequential" in first.description
    assert first.description != Distillation(teacher=nn.Linear(2, 2)).description


# --- losses and scores -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", OUTPUT_KINDS)
def test_a_student_that_equals_its_teacher_has_no_divergence_and_others_have(name: str) -> None:
    kind, outputs = OUTPUT_KINDS[name], torch.rand(4, 5, generator=torch.Generator().manual_seed(0))
    rows, others = kind.rows(outputs), kind.rows(outputs.flip(1))
    assert torch.allclose(kind.divergence(rows, rows, 2.0), torch.zeros(len(rows)), atol=1e-6)
    assert float(kind.divergence(rows, others, 2.0).min()) >= -1e-6
    assert float(kind.divergence(rows, others, 2.0).mean()) > 1e-4


def test_the_divergence_of_classes_is_that_of_hinton() -> None:
    student, teacher = torch.randn(3, 5), torch.randn(3, 5)
    expected = 4 * nn.functional.kl_div(
        (student / 2).log_softmax(1), (teacher / 2).log_softmax(1), reduction="batchmean", log_target=True
    )
    assert torch.allclose(Classes().divergence(student, teacher, 2.0).mean(), expected)


def test_rows_of_classes_follow_the_layout() -> None:
    assert Classes().rows(torch.rand(2, 6, 20)).shape == (12, 20)
    assert Classes().rows(torch.rand(2, 4, 8, 8)).shape == (128, 4)
    assert Classes(1).rows(torch.rand(2, 4, 9)).shape == (18, 4)


def test_padding_counts_nowhere() -> None:
    task = Distilled(Teacher(nn.Identity(), CPU), Classes())
    student, given = torch.randn(1, 3, 5), torch.randn(1, 3, 5)
    labels = torch.tensor([[1, 2, -100]])
    with_padding = task.totals(student, Taught(labels, given))
    alone = task.totals(student[:, :2], Taught(labels[:, :2], given[:, :2]))
    assert {n: t.mean for n, t in with_padding.items()} == pytest.approx({n: t.mean for n, t in alone.items()})
    assert torch.allclose(
        task.loss(student, Taught(labels, given)), task.loss(student[:, :2], Taught(labels[:, :2], given[:, :2]))
    )


def test_labels_must_fit_if_they_have_a_weight() -> None:
    task = Distilled(Teacher(nn.Identity(), CPU), Classes(), label_weight=0.5)
    outputs = torch.randn(4, 3)
    assert float(task.loss(outputs, Taught(torch.tensor([0, 1, 2, 0]), outputs))) > 0
    with pytest.raises(RaynasError, match=r"label_weight is 0\.5, but the data has no labels that fit outputs"):
        task.loss(outputs, Taught(None, outputs))


def test_the_prediction_is_found_in_what_libraries_return() -> None:
    assert output_of(Predictor(), torch.zeros(1, 6, dtype=torch.long)).shape == (1, 6, 20)
    assert output_of(nn.LSTM(4, 2), torch.rand(3, 4)).shape == (3, 2)
    with pytest.raises(RaynasError, match="gives a int: distillation needs a tensor of real numbers"):
        output_of(Three(), torch.rand(1))


class Three(nn.Module):
    def forward(self, x: Tensor) -> int:
        return 3


def test_hidden_states_of_narrower_students_are_mapped_to_their_teachers() -> None:
    teacher, space = conv_net().eval(), digits_space()
    student, example = space.build(space.smallest).eval(), torch.rand(4, 1, 8, 8)
    matching = FeatureMatching(student, teacher, {"0": "0", "8": "8"}, example)
    assert isinstance(matching.maps[0], nn.Linear) and isinstance(matching.maps[1], nn.Identity)
    with pytest.raises(RaynasError, match=r"Sequential has no layer '80'; did you mean '8'"):
        FeatureMatching(student, teacher, {"80": "8"}, example)
    with pytest.raises(RaynasError, match="must agree but for the number of channels; name other layers"):
        FeatureMatching(student, teacher, {"0": "8"}, example)


# --- trials ----------------------------------------------------------------------------------------------------------


def test_members_recover_what_their_teacher_predicts() -> None:
    space, epochs = digits_space(), list[Any]()
    result = dataclasses.replace(FAST, epochs=4).evaluate(space, space.smallest, on_result=epochs.append)
    assert not result["failed"] and {"divergence", "agreement", "accuracy", "loss"} <= result.keys()
    assert epochs[-1]["divergence"] < 0.9 * epochs[0]["divergence"]
    whole = FAST.runner(space).run({"arch": space.largest.to_config()})
    assert whole["divergence"] < result["divergence"]


def test_tokens_without_labels(texts: str) -> None:
    space = tokens_space()
    settings = Distillation(data=texts, epochs=3, lr=0.01, features=("hidden",), warmup_epochs=0)
    epochs = list[Any]()
    result = settings.evaluate(space, space.smallest, on_result=epochs.append)
    assert not result["failed"], result["error"]
    assert math.isnan(result["accuracy"]) and epochs[-1]["divergence"] < epochs[0]["divergence"]


def test_scores_of_ones_own_and_other_targets(user_module: ModuleType) -> None:
    torch.manual_seed(0)
    x = torch.rand(40, 8)
    pairs = TensorDataset(x, x.sum(1, keepdim=True))
    user_module.make = lambda: (pairs, pairs)  # type: ignore[attr-defined]
    model = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 1))

    def largest_gap(model: nn.Module, batches: Any) -> dict[str, float]:
        return {"gap": max(float((model(x) - y).abs().max()) for x, y in batches)}

    settings = Distillation(
        data="own_data:make", outputs="values", label_weight=0.5, score=largest_gap, epochs=2, warmup_epochs=0
    )
    space = raynas.convert(model, x[:2])
    result = settings.evaluate(space, space.smallest)
    assert not result["failed"] and {"divergence", "loss", "gap"} <= result.keys() and "agreement" not in result


def test_a_distillation_that_continues_is_exact(tmp_path: Path) -> None:
    space, settings = digits_space(), dataclasses.replace(FAST, epochs=3, features=("3",))
    whole, first = settings.runner(space), settings.runner(space)
    config = {"arch": space.smallest.to_config()}
    expected = whole.run(config)
    first.begin(config)
    first.step()
    first.save(tmp_path / "state")
    second = settings.runner(space)
    second.begin(config)
    second.load(tmp_path / "state")
    last = second.step()
    while not last["done"]:
        last = second.step()
    assert last["divergence"] == expected["divergence"] and last["training_iteration"] == 3
    assert isinstance(second.trial, DistillationTrial)


def test_what_cannot_be_taught_is_refused_before_any_trial() -> None:
    with pytest.raises(RaynasError, match="TinyCnn is made of no trained model: name the teacher"):
        FAST.runner(TinyCnn())
    with pytest.raises(SpaceError, match=r"give outputs of shape \(2, 10\), their teacher \(2, 3\)"):
        dataclasses.replace(FAST, teacher=nn.Sequential(nn.Flatten(), nn.Linear(64, 3))).runner(TinyCnn())
    sure = nn.Sequential(conv_net(), nn.Sigmoid())
    with pytest.raises(SettingError, match="outputs of the teacher are from 0 to 1: set outputs='probabilities'"):
        FAST.runner(digits_space(sure))
