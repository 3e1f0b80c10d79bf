"""The command line: what it takes, what it refuses and how it says so; one search from flags to report."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ray.tune.search import sample

from raynas.cli import commands, retrain_found, run_tune
from raynas.cli.flags import DEMO_FIELDS
from raynas.cli.hyperparameters import parse_domain
from raynas.cli.options import names_code
from raynas.cli.retrain_command import RetrainCommand, parse_retrain
from raynas.cli.search_command import SearchCommand, parse_search
from raynas.cli.search_run import check_reachable
from raynas.cli.tables import TABLES
from raynas.cli.winner import fitted, folder_for, keep, read_architecture
from raynas.core.architecture import Architecture, Option
from raynas.errors import RaynasError, UnknownNameError
from raynas.search_spaces import CNN, MLP, NASBench201
from raynas.strategies import Asha, ByBudget, LocalSearch, MedianStopping, Optuna
from raynas.trials import Function, Training

ROOT = Path(__file__).resolve().parents[2]
MLP_ARCH: dict[str, Option] = {
    "n_layers": 1,
    "activation": "relu",
    "dropout": 0.0,
    "norm": "none",
    "layers.0.width": 32,
}


def search(*argv: str) -> SearchCommand:
    return parse_search(argv)


def retrain(*argv: str) -> RetrainCommand:
    return parse_retrain(argv)


def written(folder: Path, text: str, name: str = "options.yaml") -> str:
    (folder / name).write_text(text)
    return str(folder / name)


# --- what it takes ---------------------------------------------------------------------------------------------------


def test_the_demo() -> None:
    command = search()
    assert command.names == {"space": "cnn", "strategy": "auto", "early_stopping": "asha", "trainable": "train"}
    assert command.space() == CNN()
    assert command.strategy == ByBudget(early_stopping=Asha())
    assert command.trainable == Training(**DEMO_FIELDS["train"])
    assert command.run.name == "cnn-digits-auto"
    assert command.retrain and command.retrain.epochs > 0


def test_names_and_fields() -> None:
    command = search(
        *("--space", "nasbench201", "--space.channels", "8"),
        *("--strategy=optuna", "--strategy.sampler", "gp", "--early_stopping", "median"),
        *("--trainable.lr", "0.05", "--trainable.scale.channels", "4", "--epochs", "3"),
        *("--objectives", "accuracy", "latency_ms", "--constraints", "latency_ms <= 5", "params <= 1e6"),
        *("--num_samples", "30", "--no_compare_random", "--retrain.space.channels", "32"),
    )
    assert command.space() == NASBench201(channels=8)
    assert command.strategy == Optuna(sampler="gp", early_stopping=MedianStopping())
    assert isinstance(command.trainable, Training)
    assert (command.trainable.lr, command.trainable.scale, command.trainable.epochs) == (0.05, {"channels": 4}, 3)
    assert command.search.objectives == ("accuracy", "latency_ms")
    assert command.search.constraints == ("latency_ms <= 5", "params <= 1e6")
    assert not command.report.compare_random
    assert command.retrain and command.retrain.space == {"channels": 32}


def test_sequences_stay_tuples() -> None:
    space = search("--space.filters", "8", "16", "--space.dropouts", "0.2").space()
    assert space == CNN(filters=(8, 16), dropouts=(0.2,))


def test_yes_and_no() -> None:
    for value in ("no", "false"):
        strategy = search("--strategy", "local", "--strategy.first_improvement", value).strategy
        assert strategy == LocalSearch(first_improvement=False, early_stopping=Asha())
    assert search("--no_tensorboard", "--progress").run.tensorboard is False


def test_dashes_and_none() -> None:
    command = search("--early-stopping", "none", "--max-concurrent", "none", "--trainable.lr=none", "--num-samples=3")
    assert command.strategy.early_stopping is None
    assert command.run.max_concurrent is None
    assert command.search.num_samples == 3


def test_a_function_of_the_users() -> None:
    command = search("--trainable", "function", "--trainable.fn", "mine:train", "--objectives", "max:reward")
    assert command.trainable == Function(fn="mine:train")
    assert command.retrain is None
    assert command.run.name and command.run.name.startswith("cnn-mine_train-auto-")


def test_the_demos_fields_are_for_its_data_alone() -> None:
    assert search("--data", "digits").trainable == search().trainable
    assert search("--data", "mnist").trainable == Training(data="mnist", epochs=9)


def test_data_by_its_long_name() -> None:
    assert search("--trainable.data", "mnist").trainable == search("--data=mnist").trainable


def test_a_name_for_every_different_search() -> None:
    names = [
        search(*flags).run.name
        for flags in (
            (),
            ("--seed", "1"),
            ("--constraints", "params <= 1e5"),
            ("--epochs", "3"),
            ("--strategy.few", "12"),
            ("--data", "npz:/somewhere/my data.npz"),
            ("--early_stopping", "none"),
        )
    ]
    assert names[1] == "cnn-digits-auto-seed1"
    assert names[5] == "cnn-my_data-auto"
    assert len(set(names)) == len(names)


def test_what_does_not_make_a_search_another() -> None:
    same = ("--num_samples", "200", "--max_concurrent", "1", "--no_progress", "--retrain.epochs", "3", "--seed", "0")
    assert search(*same).run.name == search().run.name


def test_hyperparameters() -> None:
    given = ("--hyperparameters.lr", "loguniform(1e-3, 1e-1)", "--hyperparameters.batch_size", "[32, 64]")
    domains = search(*given, "--hyperparameters.momentum", "0.5").search.hyperparameters
    assert isinstance(domains["lr"], sample.Float) and isinstance(domains["lr"].sampler, sample.LogUniform)
    assert domains["batch_size"].categories == [32, 64]
    assert domains["momentum"] == 0.5


# --- a file ----------------------------------------------------------------------------------------------------------

FILE = """
space: {name: nasbench201, channels: 4}
data: mnist
trainable:
  epochs: 4
strategy: local
early_stopping: null
objectives: accuracy
constraints: [params <= 1e5, latency_ms <= 3]
hyperparameters:
  lr: loguniform(1e-3, 1e-1)
  optimizer: [sgd, adam]
compare_random: false
"""


def test_a_file(tmp_path: Path) -> None:
    command = search("--config", written(tmp_path, FILE))
    assert command.space() == NASBench201(channels=4)
    assert command.trainable == Training(data="mnist", epochs=4)
    assert command.strategy == LocalSearch(early_stopping=None)
    assert command.search.objectives == ("accuracy",)
    assert command.search.constraints == ("params <= 1e5", "latency_ms <= 3")
    assert command.search.hyperparameters["optimizer"].categories == ["sgd", "adam"]
    assert not command.report.compare_random


def test_flags_win_wherever_they_stand(tmp_path: Path) -> None:
    file = written(tmp_path, FILE)
    for argv in (("--seed", "3", "--epochs", "7", "--config", file), (f"--config={file}", "--epochs=7", "--seed=3")):
        command = search(*argv, "--compare_random")
        assert isinstance(command.trainable, Training)
        assert (command.trainable.epochs, command.search.seed, command.report.compare_random) == (7, 3, True)


def test_the_options_of_a_search_are_a_file(tmp_path: Path) -> None:
    first = search("--strategy", "optuna", "--hyperparameters.lr", "uniform(0.1, 1)", "--constraints", "macs <= 1e6")
    again = search("--config", written(tmp_path, first.text))
    assert (again.strategy, again.trainable, again.run) == (first.strategy, first.trainable, first.run)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("- a list", "must hold options"),
        ("a: [", "not a YAML file"),
        ("!!python/object/apply:os.system ['exit 3']", "not a YAML file"),
        ("stratgy: local", "did you mean '--strategy'"),
        ("strategy: {name: local, population_size: 3}", "option of strategy 'local'"),
        ("num_samples: many", "--num_samples takes a whole number, got 'many'"),
    ],
)
def test_a_bad_file(text: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(RaynasError, match=told):
        search("--config", written(tmp_path, text))


def test_a_missing_file() -> None:
    with pytest.raises(RaynasError, match=r"cannot read the options in 'nowhere.yaml'"):
        search("--config", "nowhere.yaml")


# --- what it refuses -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("option", ["space", "strategy", "early_stopping", "trainable"])
def test_a_wrong_name_lists_the_known_ones(option: str) -> None:
    with pytest.raises(UnknownNameError) as caught:
        search(f"--{option}", "nonsense")
    assert all(name in str(caught.value) for name in TABLES[option])


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (
            ("--strategy", "local", "--strategy.population_size", "3"),
            "Known: --strategy.first_improvement, --strategy.n_i",
        ),
        (("--space", "mlp", "--space.channels", "3"), "option of search space 'mlp'"),
        (("--early_stopping", "none", "--early_stopping.grace_period", "3"), "option of early stopping 'none'"),
        (("--trainable", "function", "--trainable.fn", "a:b", "--data", "digits"), "option of trainable 'function'"),
        (("--trainable", "function", "--trainable.fn", "a:b", "--retrain.epochs", "3"), "unknown option '--retrain.e"),
        (("--num_sample", "3"), "did you mean '--num_samples'"),
        (("--strategy", "evolution", "--strategy.popul", "3"), "did you mean '--strategy.population_size'"),
        (("--hyperparameters.lr.low", "3"), "unknown option"),
        (("--objectives", "accurcy"), "needs a direction"),
        (("--objectives", "max:reward"), "unknown metric 'reward'"),
        (("--constraints", "latency <= 3"), "did you mean 'latency_ms'"),
        (("--constraints", "latency_ms < 3"), "cannot read constraint"),
        (("--trainable.optimizer", "sgdd"), "did you mean 'sgd'"),
        (("--strategy.few", "many"), "--strategy.few takes a whole number, got 'many'"),
        (("--strategy", "optuna", "--strategy.sampler", "x"), "--strategy.sampler takes 'tpe' or 'gp' or 'nsga2'"),
        (("--trainable.lr", "fast"), "--trainable.lr takes a number or none, got 'fast'"),
        (("--strategy", "evolution", "--strategy.population_size", "1"), "population_size >= 2"),
        (("--trainable", "function"), "--trainable.fn is missing"),
        (("--num_samples", "0"), "num_samples must be at least 1"),
        (("--seed", "-1"), "seed must be at least 0"),
        (("--max_concurrent", "0"), "max_concurrent must be at least 1"),
        (("--retrain.epochs", "-1"), "retrain.epochs must be at least 0"),
        (("--name", "../elsewhere"), "name must be letters"),
        (("--seed",), "--seed: expected one argument"),
        (("stray",), "nrecognized arguments: stray"),
    ],
)
def test_a_wrong_option_gets_one_line(argv: tuple[str, ...], told: str) -> None:
    with pytest.raises(ValueError if "must be at least" in told else (RaynasError, ValueError)) as caught:
        search(*argv)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('exit 3')",
        "choice(__import__('os'))",
        "uniform(low=1, high=2)",
        "tune.choice(1, 2)",
        "(lambda: 1)()",
        "{'a': 1}",
        "choice([[1]])",
        "1 +",
        "(" * 10_000,
    ],
)
def test_hyperparameters_are_never_evaluated(text: str) -> None:
    with pytest.raises(RaynasError, match="cannot read hyperparameter 'lr'"):
        parse_domain("lr", text)


@pytest.mark.parametrize(
    ("text", "constant"), [("adam", "adam"), ("0.1", 0.1), ("-3", -3), ("'a b'", "a b"), (64, 64), ("True", True)]
)
def test_constant_hyperparameters(text: Any, constant: Any) -> None:
    assert parse_domain("name", text) == constant


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("normal(0, 1)", "Known: choice, loguniform, randint, uniform"),
        ("loguniform(0, 1)", "hyperparameter 'lr' cannot be"),
        ("uniform(1)", "hyperparameter 'lr' cannot be"),
        ("uniform(-1, 1)", "lr must be"),
        ("choice(0.1, -1)", "lr must be"),
    ],
)
def test_wrong_domains(text: str, told: str) -> None:
    with pytest.raises((RaynasError, ValueError), match=told):
        search("--hyperparameters.lr", text)


def test_an_unknown_hyperparameter() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'lr'"):
        search("--hyperparameters.lrr", "0.1")


# --- help ------------------------------------------------------------------------------------------------------------


def test_help_tells_of_every_entry(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        search("--help")
    assert caught.value.code == 0
    text = capsys.readouterr().out
    for option, table in TABLES.items():
        assert option == "method" or all(f"  {name} " in text for name in table)
    for part in ("--strategy.few N", "(default: 300)", "--[no_]compare_random", "examples:", "--data, --tr"):
        assert part in text
    assert "``" not in text and "type:" not in text


def test_help_of_another_entry(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        search("--strategy", "local", "--space", "mlp", "--help")
    text = capsys.readouterr().out
    assert "--strategy.first_improvement" in text and "--space.widths" in text
    assert "population_size" not in text


def test_help_of_retraining(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        retrain("--help")
    text = capsys.readouterr().out
    assert "ARCHITECTURE.json" in text and "--output" in text and "--strategy" not in text


# --- architectures in files ------------------------------------------------------------------------------------------


def test_an_architecture(tmp_path: Path) -> None:
    file = written(tmp_path, json.dumps(MLP_ARCH), "arch.json")
    assert read_architecture(file, MLP()) == Architecture(MLP_ARCH)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "must be a JSON object"),
        (b"[1]", "must be a JSON object"),
        (b"[" * 200_000, "holds no architecture"),
        (b"\xff\xfe\x00", "holds no architecture"),
        (b" " * 2**21, "more than 1048576 bytes"),
        (b'{"n_layers": 1}', "lacks decision"),
        (b'{"__class__": "os.system"}', "no decision '__class__'"),
        (b'{"n_layers": {"a": 1}}', "must hold a string or a number"),
        (b'{"n_layers": NaN}', "cannot be nan"),
        (b'{"n_layers": ' + b"9" * 5000 + b"}", "holds no architecture"),
    ],
)
def test_a_hostile_architecture(content: bytes, told: str, tmp_path: Path) -> None:
    file = tmp_path / "arch.json"
    file.write_bytes(content)
    with pytest.raises(RaynasError, match=told):
        read_architecture(file, MLP())


def test_an_architecture_that_is_not_there(tmp_path: Path) -> None:
    for path in (tmp_path / "nowhere.json", tmp_path):
        with pytest.raises(RaynasError, match="cannot read the architecture"):
            read_architecture(path, MLP())


def test_settings_beside_an_architecture(tmp_path: Path) -> None:
    space = NASBench201(channels=4, cells=1, input_shape=(1, 8, 8))
    arch = next(space.enumerate())
    keep(arch, tmp_path, space, Training(epochs=7, lr=0.2))
    command = retrain(str(tmp_path / "architecture.json"))
    assert command.space() == space and command.training == Training(epochs=7, lr=0.2)
    assert command.settings == tmp_path / "retrain.yaml"
    assert retrain(str(tmp_path / "architecture.json"), "--epochs", "8").training.epochs == 8
    assert retrain(str(tmp_path / "architecture.json"), "--space", "mlp").space() == MLP()


def test_an_architecture_alone() -> None:
    command = retrain("my.json", "--space", "mlp", "--data", "mnist")
    assert command.space() == MLP() and command.settings is None
    assert command.training == Training(data="mnist", epochs=30)


def test_settings_that_name_code_do_not_run_it(tmp_path: Path) -> None:
    keep(next(MLP().enumerate()), tmp_path, MLP(), Training(data="mine:loaders"))
    file = str(tmp_path / "architecture.json")
    with pytest.raises(RaynasError, match="say so: --data mine:loaders"):
        retrain(file)
    assert retrain(file, "--data", "mine:loaders").training.data == "mine:loaders"
    assert [names_code(d) for d in ("digits", "npz:a.npz", "folder:b", "mine:f")] == [False, False, False, True]


def test_retraining_needs_a_file() -> None:
    with pytest.raises(RaynasError, match="give the architecture file first"):
        retrain("--space", "mlp")


def test_another_training_has_another_folder(tmp_path: Path) -> None:
    arch = next(MLP().enumerate())
    folders = [
        folder_for(tmp_path, arch, space, training)
        for space in (MLP(), MLP(widths=(32, 64)))
        for training in (Training(), Training(epochs=6), Training(lr=0.2))
    ]
    assert len(set(folders)) == len(folders)
    assert folder_for(tmp_path, arch, MLP(), Training()) == folders[0]


# --- data and space --------------------------------------------------------------------------------------------------


def test_the_space_fits_the_data() -> None:
    command = search("--space.n_strides", "2")
    assert fitted(command.space, command.trainable, command.given) == (
        CNN(input_shape=(1, 8, 8), n_strides=2),
        "digits",
    )


@pytest.mark.parametrize("flags", [("--space.n_classes", "7"), ("--space.input_shape", "3", "8", "8")])
def test_a_size_that_contradicts_the_data(flags: tuple[str, ...]) -> None:
    command = search(*flags)
    with pytest.raises(RaynasError, match="but data digits has"):
        fitted(command.space, command.trainable, command.given)


def test_nothing_listens() -> None:
    with pytest.raises(RaynasError, match="nothing listens"):
        check_reachable("127.0.0.1:1")
    check_reachable("auto")


# --- exit codes ------------------------------------------------------------------------------------------------------


def test_an_error_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_tune(["--space", "nasbench2"]) == commands.BAD_INPUT
    out, err = capsys.readouterr()
    assert (
        err.startswith("error: unknown search space 'nasbench2'; did you mean 'nasbench201'") and err.count("\n") == 1
    )
    assert not out


def test_an_interrupt_says_how_to_resume(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(command: Any) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(commands, "_search", interrupted)
    assert run_tune([]) == commands.INTERRUPTED
    assert capsys.readouterr().err == "Interrupted. Run the same command again to go on from here.\n"


def test_a_fault_of_ours_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "_search", lambda command: int("a fault"))
    with pytest.raises(ValueError, match="invalid literal"):
        run_tune([])


# --- end to end ------------------------------------------------------------------------------------------------------


def test_a_search_from_flags_to_report(
    ray_cluster: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    argv = ["--space", "mlp", "--num_samples", "3", "--epochs", "1", "--retrain.epochs", "1", "--no_progress"]
    assert run_tune(argv) == commands.OK
    first = capsys.readouterr().out
    (path,) = Path("results").iterdir()
    summary = json.loads((path / "summary.json").read_text())
    assert summary["counts"]["finished"] == 3
    assert summary["comparison"]["n_random_trials"] == 3
    assert 0 <= summary["retrained"]["test_accuracy"] <= 1
    for place in summary["files"].values():
        assert Path(place).is_file() and place in first

    assert run_tune(argv) == commands.OK
    assert json.loads((path / "summary.json").read_text())["best"] == summary["best"]

    capsys.readouterr()
    assert retrain_found([str(path / "best" / "architecture.json")]) == commands.OK
    out = capsys.readouterr().out
    assert "test_accuracy" in out and str(path / "best" / "retrained-") in out


def test_the_scripts() -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    running = [
        subprocess.Popen(
            [sys.executable, ROOT / "scripts" / script, "--no_such_option"],
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for script in ("run_tune.py", "retrain.py")
    ]
    for process in running:
        _, err = process.communicate(timeout=120)
        assert process.returncode == commands.BAD_INPUT
        assert err.startswith("error: ") and err.count("\n") == 1
