"""A search by propose and observe with nothing but ``--json``, and 200 nonsense proposals."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from raynas.cli.exit_codes import ExitCode
from raynas.cli.main import main
from raynas.core.archive import Archive

SPACE = ["--space", "tests.cli.toy_of_a_user:space"]


class Program:
    """A script that knows the command line, ``--json`` and the documents, and nothing else of raynas."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self._capsys = folder, capsys

    def __call__(self, command: str, *options: str) -> dict[str, Any]:
        code = main([command, str(self.folder), *options, *SPACE, "--json"])
        out, err = self._capsys.readouterr()
        assert out.count("\n") == 1 and "Traceback" not in err
        answer: dict[str, Any] = json.loads(out)
        assert answer["version"] == 1 and answer["exit_code"] == code
        assert (answer["result"] is None) is (answer["error"] is not None) is (code != 0)
        return answer


@pytest.fixture
def program(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Program:
    return Program(tmp_path / "search", capsys)


def test_a_search_to_its_end(program: Program) -> None:
    first = ["--strategy", "evolution", "--objectives", "accuracy", "min:cost", "--num_samples", "12"]
    answer = program("propose", *first)["result"]
    best = None
    while not answer["ended"]:
        for n, proposal in enumerate(answer["proposals"]):
            trial, layers = proposal["trial"], proposal["config"]["arch"]
            accuracy = sum(v for v in layers.values() if isinstance(v, int)) / 15
            result = [f"--result.accuracy={accuracy}", f"--result.cost={1 + n}"]
            best = program("observe", trial, *(["--error", "out of memory"] if trial == "00003" else result))["result"]
        answer = program("propose", "--n", "5")["result"]
    assert answer["ended_because"].startswith("all 12 proposals were made")
    assert (answer["n_proposed"], answer["open"]) == (12, []) and best and best["best"]["metrics"]["accuracy"] > 0.3


def test_results_of_a_file(program: Program, tmp_path: Path) -> None:
    program("propose", "--n", "2")
    arch = {f"layers.{i}": 1 for i in range(5)}
    lines = [
        {"trial": "00001", "metrics": {"accuracy": 0.5}, "fidelity": 3, "notes": {"host": "a"}},
        {"config": {"arch": arch}, "metrics": {"accuracy": 0.6}},
        {"trial": "00002", "error": "out of memory"},
        {"trial": "00002", "metrics": {"accuracy": 0.5}},
    ]
    file = tmp_path / "results.jsonl"
    file.write_text("\n".join(map(json.dumps, lines)))
    error = program("observe", "--file", str(file))["error"]
    assert error["message"].startswith(f"{file}, line 4: trial '00002' has its result already")
    assert error["message"].endswith("the 3 before it are booked")
    assert program("propose")["result"]["n_proposed"] == 4


def test_busy(program: Program) -> None:
    from raynas.core.archive import Archive

    holder = Archive(program.folder / "archive.jsonl")
    assert program("propose", "--wait", "0.05")["exit_code"] == ExitCode.BUSY
    holder.close()
    (program.folder / "archive.jsonl").write_text("{\n")
    assert program("propose")["exit_code"] == ExitCode.UNUSABLE


def test_people_read_it_too(program: Program, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["propose", str(program.folder)]) == ExitCode.BAD_INPUT
    assert "say what is searched" in capsys.readouterr().err
    assert main(["propose", str(program.folder), *SPACE, "--num_samples", "2", "--n", "3"]) == 0
    out = capsys.readouterr().out
    assert out.startswith('00001 {"arch":{"layers.0"') and "2 of 3 proposals: all 2 proposals were made" in out
    assert main(["observe", str(program.folder), "00001", "--result.accuracy", "0.25"]) == ExitCode.BAD_INPUT
    assert "say so: --space tests.cli.toy_of_a_user:space" in capsys.readouterr().err, "a file names no code"
    assert main(["observe", str(program.folder), "00001", "--result.accuracy", "0.25", *SPACE]) == 0
    assert capsys.readouterr().out == "00001 booked: accuracy = 0.25\n"


# --- nonsense --------------------------------------------------------------------------------------------------------

GOOD: dict[str, Any] = {"layers.0": 3, **{f"layers.{i}": 1 for i in range(1, 5)}, "head": "linear"}
VALUES: list[Any] = [
    None,
    True,
    -1,
    4,
    1.5,
    10**30,
    "conv",
    "",
    "x" * 100_000,
    [],
    [1],
    {},
    {"a": 1},
    "../..",
    "\u0000é",
]


def nested(rng: random.Random) -> str:
    depth = rng.choice([20, 400, 5000, 100_000])
    return "[" * depth + "]" * depth


def wrong_value(rng: random.Random) -> str:
    return json.dumps({**GOOD, rng.choice(list(GOOD)): rng.choice([v for v in VALUES if v != "linear"])})


def wrong_names(rng: random.Random) -> str:
    name = rng.choice(["layers.9", "../layers.0", "a/b", "", "x" * 50_000, "__class__", "layers.0 "])
    return json.dumps({**GOOD, name: rng.choice(VALUES)})


def without_one(rng: random.Random) -> str:
    return json.dumps({name: v for name, v in GOOD.items() if name != rng.choice(list(GOOD))} | {"head": None})


def inactive(rng: random.Random) -> str:
    return json.dumps({**GOOD, "layers.0": rng.randrange(3)})


def no_config(rng: random.Random) -> str:
    return json.dumps({"arch": rng.choice([*VALUES, GOOD]), "lr": rng.choice(VALUES)})


def broken(rng: random.Random) -> str:
    text = json.dumps(GOOD)
    cut = rng.randrange(1, len(text) - 1)
    return rng.choice([text[:cut], text + text, text[:cut] + "\ud800" + text[cut:], text.replace(":", "=")])


def deep(rng: random.Random) -> str:
    return f'{{"layers.0": {nested(rng)}}}'


def path(rng: random.Random) -> str:
    return rng.choice(["../../../etc/passwd", "/dev/zero", "/etc", "", "no\nfile", "x" * 5000, "~nobody/a", "a\u0000b"])


def no_result(rng: random.Random) -> dict[str, Any]:
    wrong = [
        {},
        {"loss": 1},
        {"accuracy": "0.5"},
        {"accuracy": None},
        {"accuracy": True},
        {"accuracy": [0.5]},
        3,
        "0.5",
    ]
    metrics = rng.choice([*wrong, *({"accuracy": 0.5, name: 1} for name in ("pid", "1st", "a\nb", "x:y"))])
    return {"trial": "00001", "metrics": metrics}


def no_trial(rng: random.Random) -> dict[str, Any]:
    trial = rng.choice([-1, 1, 1.0, None, "", "-1", "00002", "../00001", "x" * 100_000, ["00001"], {"trial": "00001"}])
    return {"trial": trial, "metrics": {"accuracy": 0.5}}


def wrong_fields(rng: random.Random) -> dict[str, Any]:
    name, value = rng.choice([("fidelity", -1), ("fidelity", 10**12), ("fidelity", 0.5), ("notes", 3), ("status", "x")])
    return {"trial": "00001", "metrics": {"accuracy": 0.5}, name: value}


def not_finite(rng: random.Random) -> str:
    return f'{{"trial": "00001", "metrics": {{"accuracy": {rng.choice(["NaN", "Infinity", "1e999", "-Infinity"])}}}}}'


PROPOSALS: list[Callable[[random.Random], str]] = [
    *(wrong_value, wrong_names, without_one, inactive, no_config, broken, deep, path)
]
RESULTS: list[Callable[[random.Random], Any]] = [no_result, no_trial, wrong_fields, not_finite, nested, broken]


def test_two_hundred_nonsense_proposals_are_refused_in_one_line(program: Program, tmp_path: Path) -> None:
    """Architectures and results; the archive is as it was, and the search continues."""
    rng = random.Random(14)
    program("propose")
    archive = (program.folder / "archive.jsonl").read_bytes()
    file = tmp_path / "results.jsonl"
    for n in range(200):
        if n % 2:
            text = PROPOSALS[n // 2 % len(PROPOSALS)](rng)
            option = rng.choice(["propose --add", "observe --result.accuracy=0.5 --architecture"])
            command, *flags = option.split()
            answer = program(command, *flags[:-1], f"{flags[-1]}={text}")
        else:
            one = RESULTS[n // 2 % len(RESULTS)](rng)
            file.write_text(one if isinstance(one, str) else json.dumps(one), errors="replace")
            answer = program("observe", "--file", str(file))
        assert answer["exit_code"] == ExitCode.BAD_INPUT, answer
        message = answer["error"]["message"]
        assert message and "\n" not in message and len(message) <= 2100 and "root:" not in message
    assert (program.folder / "archive.jsonl").read_bytes() == archive
    assert program("observe", "00001", "--result.accuracy=0.5")["result"]["observed"][0]["trial"] == "00001"


def test_nonsense_options_are_one_line_too(program: Program) -> None:
    for flags in (["--n", "0"], ["--n", "x"], ["--wait", "-1"], ["--bogus"], ["--generation_size", "3"]):
        assert program("propose", *flags)["exit_code"] == ExitCode.BAD_INPUT
    for flags in ([], ["00001", "--file", "a"], ["--file", "a", "--error", "b"], ["00001", "--result.accuracy", "nan"]):
        assert program("observe", *flags)["exit_code"] == ExitCode.BAD_INPUT
    assert program("propose", "--constraints", "params >= 1")["exit_code"] == ExitCode.NO_RESULT


def test_a_study_learns_from_the_folder_of_another_search(program: Program, tmp_path: Path) -> None:
    program("propose", "--strategy", "random", "--num_samples", "3", "--n", "3")
    for number in (1, 2, 3):
        program("observe", f"{number:05d}", f"--result.accuracy={number / 10}")
    first, program.folder = program.folder, tmp_path / "second"
    answer = program("propose", "--warm_start", str(first), "--num_samples", "2")["result"]
    assert answer["n_proposed"] == 1  # what was learned counts as no trials
    imported = Archive.load(program.folder / "archive.jsonl").events("imported")
    assert sorted(record["metrics"]["accuracy"] for record in imported) == [0.1, 0.2, 0.3]
    (first / "archive.jsonl").unlink()
    assert program("propose", "--n", "1")["result"]["n_proposed"] == 2  # they were copied
    program.folder = tmp_path / "third"
    nowhere = ["propose", *SPACE, "--warm_start", str(tmp_path / "nowhere"), "--json"]
    assert main([nowhere[0], str(program.folder), *nowhere[1:]]) == ExitCode.UNUSABLE
