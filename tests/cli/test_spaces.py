"""Spaces and models of the user's, as a command line names them and a result remembers them."""

import sys
from pathlib import Path

import pytest
import torch
import yaml

from raynas.cli.winner import fitted
from raynas.converting import ConvertedSpace
from raynas.core.inputs import TensorSpec
from raynas.core.space import SearchSpace
from raynas.errors import RaynasError
from raynas.nn import ModelSpace
from raynas.run.best import keep
from raynas.trials import Training
from tests.cli.command_lines import retrain, search

SOURCE = """
import torch
from torch import nn
from raynas import Choice, ModelSpace
from raynas.search_spaces import MLP


class Net(nn.Module):
    def __init__(self, n_classes=10):
        super().__init__()
        self.stem = nn.Conv2d(1, 16, 3)
        self.head = nn.Linear(16, n_classes)

    def forward(self, x):
        return self.head(self.stem(x).relu().mean((2, 3)))


def choices():
    return nn.Sequential(nn.Flatten(), Choice({"relu": nn.ReLU, "silu": nn.SiLU}), nn.Linear(64, 10))


space = ModelSpace(choices, input_shape=(1, 8, 8))
large = ModelSpace(choices, input_shape=(1, 16, 16))


def sized(n_classes, input_shape, layers=2):
    return MLP(n_classes=n_classes, input_shape=input_shape, max_layers=layers)


def losses(model):
    yield model(torch.ones(2, 1, 8, 8)).logsumexp(1).mean()


def batches():
    return [torch.ones(2, 1, 8, 8)]
"""


@pytest.fixture(autouse=True)
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The module of a user."""
    file = tmp_path / "spaces_of_a_user.py"
    file.write_text(SOURCE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "spaces_of_a_user", raising=False)
    return file


def made(*argv: str) -> SearchSpace:
    command = search(*(part.replace("mine:", "spaces_of_a_user:") for part in argv))
    return fitted(command.space, command.trainable, command.given)[0]


def test_a_space_of_the_users_and_one_made_for_the_data() -> None:
    assert isinstance(made("--space", "mine:space"), ModelSpace)
    space = made("--space", "mine:sized(layers=1)")
    assert (space.input_shape, vars(space)["n_classes"], vars(space)["max_layers"]) == ((1, 8, 8), 10, 1)


def test_a_model_is_converted_for_the_data() -> None:
    space = made("--model", "mine:Net", "--vary", "stem=width:0.25", "--divisor", "4")
    assert isinstance(space, ConvertedSpace) and space.inputs == TensorSpec((1, 8, 8))
    assert [list(decision.options) for decision in space.decisions] == [[16, 4]]
    assert made("--model", "mine:Net", "--input", "1x8x8").fingerprint == made("--model", "mine:Net").fingerprint
    with pytest.raises(RaynasError, match="nothing in Net can vary"):
        made("--model", "mine:Net", "--keep", "stem")


@pytest.mark.parametrize("flags", [("taylor", "--losses", "mine:losses"), ("activation", "--batches", "mine:batches")])
def test_importance_by_code_of_the_users(flags: tuple[str, ...]) -> None:
    assert made("--model", "mine:Net", "--importance", *flags).fingerprint != made("--model", "mine:Net").fingerprint


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (("--space", "mine:Net"), "is a network: name it by --model, or the space of its choices"),
        (("--space", "mine:nn"), "is a module: name a search space"),
        (("--space", "mine:spaec"), "did you mean 'space'"),
        (("--space", "mine:sized(layer=1)"), "gives no search space: TypeError"),
        (("--space", "mine:large"), "takes images of shape"),
        (("--space", "nowhere:space"), "start from the folder that holds it"),
        (("--space", "mine:space", "--space.channels", "3"), "option of search space 'spaces_of_a_user:space'"),
        (("--space", "nasbench"), "unknown search space 'nasbench'; did you mean"),
        (("--space", "mlp", "--model", "mine:Net"), "give --model or --space, not both"),
        (("--model", "mine:Net", "--space.channels", "3"), "unknown option '--space.channels'"),
        (("--vary", "a=width:1"), "--vary is for a model of yours: name it, --model package.module:name"),
        (("--model.seed", "1"), "--model.seed is for a model of yours"),
        (("--model", "mine:Net", "--untrained", "head"), "give the file, --weights FILE"),
        (("--model", "mine:Net", "--importance", "taylor"), "needs losses"),
        (("--model", "mine:Net", "--input", "3x8x8"), "does not run on the example inputs"),
        (("--model", "mine:Net", "--trainable", "function", "--trainable.fn", "mine:f"), "--input is missing"),
        (("--model", "mine:Net(n_classes=3)", "--batches", "mine:losses"), r"losses\(\) gives no batches: TypeError"),
    ],
)
def test_mistakes_are_one_line(argv: tuple[str, ...], message: str) -> None:
    with pytest.raises(RaynasError, match=message) as caught:
        made(*argv)
    assert "\n" not in str(caught.value)


def test_a_name_for_every_search() -> None:
    flags = (
        ("--space", "mine:space"),
        ("--space", "mine:sized"),
        ("--space", "mine:sized(layers=1)"),
        ("--model", "mine:Net"),
        ("--model", "mine:Net", "--keep", "head"),
        ("--model", "mine:Net(n_classes=3)"),
    )
    names = [search(*given).run.name for given in flags]
    assert names[0] == "mine_space-digits-auto" and names[3] == "mine_Net-digits-auto"
    assert len(set(names)) == len(names)


def left_by(*argv: str, folder: Path) -> str:
    """Leave a best architecture as a search does; return its file."""
    command = search(*argv)
    space, _ = fitted(command.space, command.trainable, command.given)
    keep(space.default, folder, space, Training(epochs=3), None, command.space.origin)
    return str(folder / "architecture.json")


MODEL = ("--model", "spaces_of_a_user:Net")
OWN = ("--space", "spaces_of_a_user:space")


@pytest.mark.parametrize("named", [MODEL, OWN])
def test_a_result_says_what_its_space_was_and_only_a_flag_runs_it(named: tuple[str, ...], tmp_path: Path) -> None:
    options = ("--keep", "head", "--divisor", "4") if named is MODEL else ()
    file = left_by(*named, *options, folder=tmp_path / "best")
    with pytest.raises(RaynasError, match=f"say so: {' '.join(named)}$"):
        retrain(file)
    command = retrain(file, *named)
    space, data = command.fitted()
    assert data == "digits" and command.training.epochs == 3
    assert space.fingerprint == made(*named, *options).fingerprint


def test_weights_are_named_by_a_flag_too(tmp_path: Path) -> None:
    import spaces_of_a_user  # type: ignore[import-not-found]

    torch.save(spaces_of_a_user.Net().state_dict(), tmp_path / "w.pt")
    weights = ("--weights", str(tmp_path / "w.pt"))
    file = left_by(*MODEL, *weights, folder=tmp_path / "best")
    with pytest.raises(RaynasError, match=r"say so: --model \S+:Net --model.weights \S+w.pt$"):
        retrain(file)
    retrain(file, *MODEL, *weights).fitted()
    torch.save(spaces_of_a_user.Net().state_dict(), tmp_path / "w.pt")
    with pytest.raises(RaynasError, match="in the search, its weights changed: restore it, or say"):
        retrain(file, *MODEL, *weights).fitted()


@pytest.mark.parametrize("named", [MODEL, OWN])
def test_changed_code_is_refused(named: tuple[str, ...], mine: Path, tmp_path: Path) -> None:
    file = left_by(*named, folder=tmp_path / "best")
    kept = (tmp_path / "best" / "retrain.yaml").read_text()
    options = yaml.safe_load(kept)
    space, _ = retrain(file, *named).fitted()
    code = options["fingerprint"].rpartition("-")[2]
    (tmp_path / "best" / "retrain.yaml").write_text(kept.replace(code, "0" * 16))
    with pytest.raises(RaynasError, match="in the search, its code changed") as caught:
        retrain(file, *named).fitted()
    assert "\n" not in str(caught.value)
    assert retrain(file, *named, "--fingerprint", "none").fitted()[0].fingerprint == space.fingerprint


def test_a_result_from_python_does_not_name_its_space(tmp_path: Path) -> None:
    space = made("--space", "mine:space")
    keep(space.default, tmp_path / "best", space, Training())
    file = str(tmp_path / "best" / "architecture.json")
    with pytest.raises(RaynasError, match=r"was of a space of yours: name it, --space package.module:name"):
        retrain(file)
    assert retrain(file, *OWN).fitted()[0].fingerprint == space.fingerprint


def test_another_space_drops_that_of_the_search(tmp_path: Path) -> None:
    file = left_by(*MODEL, folder=tmp_path / "best")
    command = retrain(file, "--space", "mlp")
    assert command.fingerprint is None and command.fitted()[0].name == "MLP" and command.training.epochs == 3
