from collections.abc import Callable

import pytest
import torch
from torch import nn

from raynas.metrics.option_costs import NoSumError, macs_by_option, options_of, params_by_option
from raynas.nn import Choice, Repeat
from raynas.nn.expansion import ExpandedChoice, expand


def linear(n_out: int = 4) -> Callable[[], nn.Module]:
    return lambda: nn.Linear(4, n_out, bias=False)


def expanded(*modules: nn.Module) -> tuple[nn.Module, list[ExpandedChoice]]:
    with torch.device("meta"):
        model = expand(nn.Sequential(*modules))
    return model, [module for module in model.modules() if isinstance(module, ExpandedChoice)]


def example() -> torch.Tensor:
    return torch.empty(1, 4, device="meta")


def test_costs_of_each_option() -> None:
    choice = Choice({"one": linear(), "two": lambda: nn.Sequential(linear()(), linear()()), "skip": nn.Identity})
    model, choices = expanded(linear()(), choice, Repeat(lambda i: linear()(), 0, 2))
    first, second = choices
    assert options_of(first) == ("one", "two", "skip")
    costs = {first: {"one": 16, "two": 32, "skip": 0}, second: {0: 0, 1: 16, 2: 32}}
    assert params_by_option(model, choices) == (16, costs)
    assert macs_by_option(model, choices, example) == (16, costs)


def test_an_operation_counts_for_the_innermost_branch() -> None:
    outer = Choice(
        {"deep": lambda: nn.Sequential(linear()(), Choice({"a": linear(), "b": nn.Identity})), "skip": nn.Identity}
    )
    model, choices = expanded(outer)
    expected = {choices[0]: {"deep": 16, "skip": 0}, choices[1]: {"a": 16, "b": 0}}
    assert macs_by_option(model, choices, example) == (0, expected)
    assert params_by_option(model, choices) == (0, expected)


def test_modules_are_left_as_they_are() -> None:
    model, choices = expanded(Choice({"a": linear(), "b": nn.Identity}))
    macs_by_option(model, choices, example)
    assert "forward" not in vars(choices[0])


def test_outputs_of_different_shapes_do_not_add_up() -> None:
    model, choices = expanded(Choice({"a": linear(4), "b": linear(5)}))
    with pytest.raises(NoSumError, match="different shapes"):
        macs_by_option(model, choices, example)


def test_shared_parameters_do_not_add_up() -> None:
    tied = linear()()
    model, choices = expanded(tied, Choice({"a": linear(), "b": nn.Identity}))
    choices[0]._modules["a"] = tied
    with pytest.raises(NoSumError, match="share parameters"):
        params_by_option(model, choices)
