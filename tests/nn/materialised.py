"""The plain module of an option, without a model around the choice."""

from torch import nn

from raynas.nn.decision_module import DecisionModule


def materialised(choice: DecisionModule, option: str | int) -> nn.Module:
    return choice.assemble(option, choice.make)
