"""Contract tests for search spaces and strategies of your own: derive from the class, give the fixture, run pytest."""

from raynas.testing.in_process import run_trials
from raynas.testing.space_contract import SpaceContract
from raynas.testing.strategy_contract import StrategyContract
from raynas.testing.toy_space import ToySpace

__all__ = ["SpaceContract", "StrategyContract", "ToySpace", "run_trials"]
