import json
import os
import pickle
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch

from raynas.core.architecture import Architecture, Option
from raynas.errors import SpaceError

OPTIONS: dict[str, Option] = {"depth": 3, "op": "conv", "rate": 0.5, "bias": True}


def test_is_a_mapping_that_cannot_be_changed() -> None:
    arch = Architecture(OPTIONS)
    assert dict(arch) == OPTIONS and len(arch) == 4 and arch["op"] == "conv"
    with pytest.raises(TypeError):
        arch["op"] = "pool"  # type: ignore[index]


def test_keeps_what_it_was_given_when_that_changes() -> None:
    options = dict(OPTIONS)
    arch = Architecture(options)
    options["depth"] = 4
    assert arch["depth"] == 3


def test_equality_ignores_order() -> None:
    other = Architecture(dict(reversed(OPTIONS.items())))
    assert other == Architecture(OPTIONS)
    assert hash(other) == hash(Architecture(OPTIONS))
    assert other.key == Architecture(OPTIONS).key
    assert len({other, Architecture(OPTIONS)}) == 1


def test_differs_from_another_and_from_a_dict() -> None:
    assert Architecture(OPTIONS) != Architecture({**OPTIONS, "depth": 4})
    assert Architecture(OPTIONS).key != Architecture({**OPTIONS, "depth": 4}).key
    assert Architecture(OPTIONS) != OPTIONS


def test_key_is_the_same_on_every_machine() -> None:
    assert Architecture({"a": 1, "b": "x"}).key == "ce5c626fb4"


def test_hash_and_key_survive_a_process_with_another_hash_seed() -> None:
    arch = Architecture(OPTIONS)
    code = (
        "import pickle, sys; arch = pickle.loads(sys.stdin.buffer.read()); "
        "from raynas.core.architecture import Architecture; "
        "assert {arch: 1}[Architecture(dict(arch))]; print(arch.key)"
    )
    seed = "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"
    done = subprocess.run(
        [sys.executable, "-c", code], input=pickle.dumps(arch), env={"PYTHONHASHSEED": seed}, capture_output=True
    )
    assert done.stdout.decode().strip() == arch.key, done.stderr.decode()


def test_refuses_names_that_tune_cannot_hold() -> None:
    with pytest.raises(SpaceError, match="must not hold '/', got 'a/b'"):
        Architecture({"a/b": 1})


@pytest.mark.parametrize(
    "option", [{"x": 1}, {1}, np.zeros(2), object(), float("nan"), float("inf"), 1j, ("a", {}), torch.float32, b"x"]
)
def test_refuses_what_can_be_no_option(option: Any) -> None:
    with pytest.raises(SpaceError, match="'x' must hold a string, a finite number, True, False, None, or a tuple"):
        Architecture({"x": option})


@pytest.mark.parametrize("option", [None, (), (8, "relu", None), ((1, 2), (3,)), -0.5, "", True])
def test_options_survive_files_and_configs_as_they_are(option: Any) -> None:
    arch = Architecture({"x": option, "y": 1})
    for back in (
        Architecture.from_json(arch.to_json()),
        Architecture.from_config({"arch": arch.to_config()}),
        Architecture(json.loads(json.dumps(arch.to_config()))),
        pickle.loads(pickle.dumps(arch)),
    ):
        assert back == arch and hash(back) == hash(arch) and back.key == arch.key
        assert back["x"] == option and type(back["x"]) is type(option)


@pytest.mark.parametrize(
    ("given", "plain"),
    [
        *((np.int32(3), 3), (np.float64(0.5), 0.5), (np.bool_(True), True), (np.str_("a"), "a"), (np.array(7), 7)),
        *((torch.tensor(2), 2), ([1, [2]], (1, (2,))), ((np.int64(1), np.str_("b")), (1, "b"))),
    ],
)
def test_numbers_of_numpy_become_plain(given: Any, plain: Any) -> None:
    option = Architecture({"x": given})["x"]
    assert option == plain and type(option) is type(plain)
    if isinstance(option, tuple):
        assert list(map(type, option)) == list(map(type, plain))


def test_json_round_trip_keeps_types() -> None:
    back = Architecture.from_json(Architecture(OPTIONS).to_json())
    assert back == Architecture(OPTIONS)
    assert {name: type(option) for name, option in back.items()} == {n: type(o) for n, o in OPTIONS.items()}


@pytest.mark.parametrize("text", ["", "{", "[1, 2]", '"x"', "null", '{"x": {"y": 1}}', '{"x": NaN}', '{"a/b": 1}'])
def test_refuses_malformed_json(text: str) -> None:
    with pytest.raises(SpaceError):
        Architecture.from_json(text)


def test_config_round_trip() -> None:
    assert Architecture.from_config({"arch": Architecture(OPTIONS).to_config(), "lr": 0.1}) == Architecture(OPTIONS)


def test_config_may_hold_numpy_scalars() -> None:
    arch = Architecture.from_config({"arch": {"depth": np.int64(3), "op": np.str_("conv")}})
    assert arch == Architecture({"depth": 3, "op": "conv"})
    assert type(arch["depth"]) is int


@pytest.mark.parametrize("config", [{}, {"arch": "conv"}, {"arch": None}])
def test_says_how_a_config_must_look(config: dict[str, Any]) -> None:
    with pytest.raises(SpaceError, match=r"under 'arch' .*param_space=\{'arch'"):
        Architecture.from_config(config)
