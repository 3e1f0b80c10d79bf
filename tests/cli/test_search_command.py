"""A search made of the classes that its options name."""

from pathlib import Path

import pytest

from raynas.cli.flags import DEMO_FIELDS
from raynas.cli.search_command import parse_search
from raynas.errors import RaynasError
from raynas.metrics.latency import latency
from raynas.search_spaces import CNN, NASBench201
from raynas.strategies import Asha, ByBudget, LocalSearch, MedianStopping, Optuna
from raynas.trials import Function, Training
from tests.cli.command_lines import search


def test_soft_limits_are_one_flag_each() -> None:
    texts = ("latency_ms <= 20 soft (0, -1)", "params <= 1e6 soft linear (-0.1)")
    assert parse_search(["--constraints", *texts]).search.constraints == texts


def test_the_demo() -> None:
    command = search()
    assert command.names == {"space": "cnn", "strategy": "auto", "early_stopping": "asha", "trainable": "train"}
    assert command.space() == CNN()
    assert command.strategy == ByBudget(early_stopping=Asha())
    assert command.trainable == Training(**DEMO_FIELDS["train"])
    assert command.run.name == "cnn-digits-auto"
    assert command.retrain and command.retrain.epochs > 0


def test_a_demo_for_which_other_flags_win() -> None:
    command = search("--demo", "--num_samples", "3")
    assert command.space() == CNN(channels=8, filters=(8, 16, 32))
    assert command.search.constraints == ("params <= 5000",) and command.search.num_samples == 3
    assert command.trainable == Training(data="scattered_digits", epochs=9, valid_share=0.5)
    assert command.strategy == ByBudget()


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


def test_generations_leave_early_stopping_out() -> None:
    command = search("--generation-size", "8")
    assert command.search.generation_size == 8
    assert command.strategy.early_stopping is None
    assert search("--generation_size=none").strategy.early_stopping == Asha()
    both = search("--generation_size", "8", "--early_stopping", "asha")  # refused by the search
    assert both.strategy.early_stopping == Asha()
    with pytest.raises(ValueError, match="generation_size must be a whole number of at least 1, got 0"):
        search("--generation_size", "0")


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


# --- metrics ----------------------------------------------------------------------------------------------------------


def test_metrics_of_the_users_are_named_by_a_flag(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = (
        "from raynas import Metric\nENERGY = Metric(name='energy_mj', mode='min', measure=lambda c: c.macs)\nNO = 3\n"
    )
    (tmp_path / "my_energy_metric.py").write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path))
    mine = ("--metrics", "my_energy_metric:ENERGY", "latency_ms", "--objectives", "accuracy", "energy_mj")
    command = parse_search([*mine, "--constraints", "energy_mj <= 1e6 soft"])
    assert [getattr(metric, "name", metric) for metric in command.metrics] == ["energy_mj", "latency_ms"]
    for wrong, message in (
        (("--metrics", "my_energy_metric:NO"), "is a int, not a raynas.Metric"),
        (("--metrics", "latencyms"), "did you mean 'latency_ms'"),
        (("--constraints", "energymj <= 1", *mine), "did you mean 'energy_mj'"),
    ):
        with pytest.raises(RaynasError, match=message):
            parse_search(wrong)


def test_a_file_of_options_names_no_code(tmp_path: Path) -> None:
    file = tmp_path / "options.yaml"
    file.write_text("metrics: ['my_energy_metric:ENERGY']\n")
    with pytest.raises(RaynasError, match=r"names code.*say so: --metrics my_energy_metric:ENERGY"):
        parse_search(["--config", str(file)])


def test_latency_is_measured_as_the_flags_say() -> None:
    assert search().metrics == []
    (metric,) = search("--latency.backend", "onnxruntime", "--latency.batch_size", "8").metrics
    assert metric == latency("onnxruntime", batch_size=8)
    command = search(
        *(
            "--latency.device",
            "jetson",
            "phone",
            "--latency.measure",
            "./measure.sh --fast",
            "--latency.time_limit",
            "9",
        ),
        *("--objectives", "accuracy", "latency_ms@phone", "--constraints", "latency_ms@jetson <= 5"),
    )
    measured = [latency(device=device, measure="./measure.sh --fast", time_limit=9) for device in ("jetson", "phone")]
    assert command.metrics == measured
    assert command.run.name != search("--latency.device", "jetson").run.name != search().run.name
    for wrong, reason in (
        (("--latency.backend", "onnx"), "unknown latency back end 'onnx'"),
        (("--latency.batch_size", "0"), r"latency\.batch_size must be a whole number of at least 1"),
        (("--latency.device", "a b"), "device must be a name"),
    ):
        with pytest.raises(RaynasError, match=reason):
            search(*wrong)


def test_a_file_names_no_measurement(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("latency: {measure: ./measure.sh}\n")
    with pytest.raises(RaynasError, match=r"names code.*say so: --latency\.measure \./measure\.sh"):
        search("--config", str(file))
    file.write_text("latency: {measure: null, backend: onnxruntime}\n")
    assert search("--config", str(file)).metrics == [latency("onnxruntime")]
    assert search("--config", str(file), "--latency.measure", "./measure.sh").metrics == [
        latency("onnxruntime", measure="./measure.sh")
    ]
