"""What a file of options may set, and what only a flag may."""

from pathlib import Path

import pytest

from raynas.cli.from_files import lies_among_results
from raynas.errors import RaynasError
from raynas.run.best import keep
from raynas.search_spaces import MLP
from raynas.trials import Training
from tests.cli.command_lines import retrain, search, written


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A folder of results, as somebody else may have sent it."""
    (tmp_path / "results" / "best").mkdir(parents=True)
    (tmp_path / "results" / "archive.jsonl").touch()
    keep(next(MLP().enumerate()), tmp_path / "results" / "best", MLP(), Training(epochs=7))
    return tmp_path / "results"


CODE = ("data: mine:loaders", "metrics: [params, 'mine:ENERGY']", "funnel: ['train 9 data=mine:loaders', 'train 2']")


@pytest.mark.parametrize("text", CODE)
def test_no_file_names_code(text: str, tmp_path: Path) -> None:
    with pytest.raises(RaynasError, match=r"config\.yaml names code, data or an output.*say so: --\w+ .*mine:"):
        search("--config", written(tmp_path, text, "config.yaml"))


def test_the_code_of_other_trainables(tmp_path: Path) -> None:
    for text in (
        "trainable: {name: function, fn: 'mine:train'}",
        "trainable: {name: tabular, table: a.csv, read_arch: 'mine:read'}",
    ):
        with pytest.raises(RaynasError, match=r"say so: --trainable\.\w+ mine:"):
            search("--config", written(tmp_path, text))


@pytest.mark.parametrize(
    ("text", "flags"),
    [
        ("data: folder:/home/me/photos", "--data folder:/home/me/photos"),
        ("data: npz:a.npz", "--data npz:a.npz"),
        ("trainable.data_dir: /somewhere", "--trainable.data_dir /somewhere"),
        ("results: /somewhere", "--results /somewhere"),
        ("name: other", "--name other"),
        ("address: 10.0.0.1:6379", "--address 10.0.0.1:6379"),
        ("baseline: /etc/passwd", "--baseline /etc/passwd"),
        ("funnel: ['zero_cost 9 data=folder:x', 'train 2']", "--funnel 'zero_cost 9 data=folder:x' 'train 2'"),
        ("{results: 'a b', name: other}", "--results 'a b' --name other"),
    ],
)
def test_a_file_among_results_names_neither_data_nor_an_output(text: str, flags: str, results: Path) -> None:
    for folder in (results, results / "best"):
        file = folder / "options.yaml"
        file.write_text(text)
        with pytest.raises(RaynasError, match="only a flag may do") as caught:
            search("--config", str(file))
        assert str(caught.value).endswith(f"say so: {flags}")


def test_plain_values_and_defaults_among_results(results: Path) -> None:
    file = results / "options.yaml"
    file.write_text(search("--num_samples", "7", "--data", "mnist").text)
    again = search("--config", str(file))
    assert again.search.num_samples == 7 and isinstance(again.trainable, Training) and again.trainable.data == "mnist"


def test_the_same_typed_as_a_flag(results: Path) -> None:
    file = results / "options.yaml"
    file.write_text("{data: 'folder:x', results: a}")
    command = search("--config", str(file), "--data", "folder:y", "--results", "b")
    assert isinstance(command.trainable, Training)
    assert (command.trainable.data, command.run.results) == ("folder:y", "b")


def test_a_file_of_ones_own_names_data_and_outputs(tmp_path: Path) -> None:
    command = search("--config", written(tmp_path, "{data: 'folder:x', results: a}"))
    assert isinstance(command.trainable, Training)
    assert (command.trainable.data, command.run.results) == ("folder:x", "a")


@pytest.mark.parametrize(
    "text",
    [
        "output: /tmp/elsewhere",
        "'output=/tmp/elsewhere #': 1",
        "{trainable: {data: 'folder:/home'}}",
        "{trainable: {data: 'os:system'}}",
        "data: os:system",
        "{trainable: {data_dir: /tmp/elsewhere}}",
    ],
)
def test_the_settings_beside_an_architecture_are_read_unasked_and_set_plain_values_alone(
    text: str, results: Path
) -> None:
    (results / "best" / "retrain.yaml").write_text(f"{text}\n")
    (results / "archive.jsonl").unlink()  # wherever it lies
    with pytest.raises(RaynasError, match=r"retrain\.yaml names code, data or an output, which only a flag may do"):
        retrain(str(results / "best" / "architecture.json"))


@pytest.mark.parametrize("item", ["--output=/tmp/elsewhere", "-h", "--config=x", "--output"])
def test_no_value_is_taken_for_a_flag(item: str, results: Path) -> None:
    (results / "best" / "retrain.yaml").write_text(f"{{space: {{name: mlp, widths: [8, '{item}', /tmp/elsewhere]}}}}")
    with pytest.raises(RaynasError, match="looks like a flag"):
        retrain(str(results / "best" / "architecture.json"))


def test_retraining_what_a_search_left_needs_no_flags(results: Path) -> None:
    command = retrain(str(results / "best" / "architecture.json"))
    assert command.training == Training(epochs=7) and command.space() == MLP() and command.output is None


def test_aliases_in_a_value(tmp_path: Path) -> None:
    bomb = "{a: &a [1, 1], b: &b [*a, *a], c: [*b, *b]}"
    for text in (f"trainable.scale: '{bomb}'", f"hyperparameters.lr: '{bomb}'"):
        with pytest.raises(RaynasError, match="alias"):
            search("--config", written(tmp_path, text))


def test_among_results(results: Path, tmp_path: Path) -> None:
    assert lies_among_results(results / "options.yaml") and lies_among_results(results / "best" / "x.yaml")
    assert lies_among_results(tmp_path / "retrain.yaml")
    assert not lies_among_results(tmp_path / "options.yaml")
