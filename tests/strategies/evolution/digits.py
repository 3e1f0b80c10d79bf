"""NSGA-II on a space whose members are written as digits."""

from typing import Any

from raynas.core.architecture import Architecture
from raynas.core.evaluation import Evaluation
from raynas.core.goal import Goal
from raynas.strategies import NSGA2
from raynas.strategies.evolution.nsga2 import NSGA2Searcher
from raynas.testing import ToySpace

SPACE = ToySpace(n_layers=4, n_options=5)


def made(goal: Goal | None = None, **settings: Any) -> NSGA2Searcher:
    return NSGA2Searcher(SPACE, goal, settings=NSGA2(**{"n_initial": 1, **settings}))


def arch(digits: str) -> Architecture:
    return Architecture({f"layers.{i}": int(digit) for i, digit in enumerate(digits)})


def evaluation(digits: str = "0000", **metrics: float) -> Evaluation:
    return Evaluation(arch(digits), metrics)


def n_differences(first: Architecture, second: Architecture) -> int:
    return sum(first[name] != second[name] for name in first.keys() & second.keys())
