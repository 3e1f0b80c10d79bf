"""The command line of ``raynas compress``: what is missing is said in one line, and files name no code."""

from pathlib import Path

import pytest

from raynas.cli.compress_request import read_compress
from raynas.errors import RaynasError, SettingError, UnknownNameError

COMMAND = ["my_net:Net", "--data", "digits", "--constraints", "macs <= 0.5 * baseline"]


def test_options_reach_their_settings() -> None:
    more = ["--outputs", "values", "--epochs", "7", "--n_scored", "50", "--early_stopping.grace_period", "2"]
    request = read_compress([*COMMAND, *more, "--keep", "head", "--no_export", "--repeats.top", "2"])
    recovery = request.options.fields_of("trainable", "distil")
    assert (recovery["data"], recovery["outputs"], recovery["epochs"]) == ("digits", "values", 7)
    assert request.effort.n_scored == 50 and request.repeats.top == 2 and not request.compress.export
    assert request.names == {"strategy": "auto", "early_stopping": "asha"}
    assert request.options.fields_of("early_stopping", "asha")["grace_period"] == 2
    assert request.model.name == "my_net:Net" and request.model.keep == ("head",)
    assert request.title == "my_net:Net on digits, macs <= 0.5 * baseline"


def test_larger_numbers_continue_in_the_same_folder_and_other_limits_do_not() -> None:
    first = read_compress(COMMAND).run.name
    assert first is not None and first.startswith("my_net_Net-digits-compressed")
    assert read_compress([*COMMAND, "--n_scored", "500", "--final_epochs", "30"]).run.name == first
    assert read_compress([*COMMAND[:-1], "macs <= 0.4 * baseline"]).run.name != first
    assert read_compress([*COMMAND, "--strategy", "evolution"]).run.name != first


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        ([], "give the model first: raynas compress package.module:name"),
        (["my_net:Net"], "--data is missing: name the data that the model recovers on"),
        (["my_net:Net", "--data", "digits"], "--constraints is missing: say how small"),
        ([*COMMAND, "--n_candidates", "300"], r"n_candidates must be at most n_scored \(200\), got 300"),
        ([*COMMAND, "--n_candidate", "3"], "unknown option '--n_candidate'; did you mean '--n_candidates'"),
        ([*COMMAND, "--strategy", "evolutio"], "unknown strategy 'evolutio'"),
        (["my_net", *COMMAND[1:]], "code of yours is named as package.module:function, got 'my_net'"),
    ],
)
def test_mistakes_are_said_in_one_line(argv: list[str], expected: str) -> None:
    with pytest.raises((RaynasError, SettingError, UnknownNameError), match=expected):
        read_compress(argv)


def test_a_file_of_options_names_no_teacher(tmp_path: Path) -> None:
    file = tmp_path / "options.yaml"
    file.write_text("trainable:\n  teacher: evil:make()\n")
    with pytest.raises(RaynasError, match="names code, data or an output, which only a flag may do"):
        read_compress([*COMMAND, "--config", str(file)])
