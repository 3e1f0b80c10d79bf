"""Search strategies: one file per published algorithm, and the only table of their names."""

from raynas.strategies.base import EarlyStopping, Strategy
from raynas.strategies.by_budget import ByBudget
from raynas.strategies.evolution.genetic_algorithm import GeneticAlgorithm
from raynas.strategies.evolution.nsga2 import NSGA2
from raynas.strategies.evolution.regularized_evolution import RegularizedEvolution
from raynas.strategies.external.hyperopt import HyperOpt
from raynas.strategies.external.optuna import Optuna
from raynas.strategies.grid_search import GridSearch
from raynas.strategies.local_search import LocalSearch
from raynas.strategies.portfolio import Portfolio, PortfolioStage
from raynas.strategies.predictors.bananas import BANANAS
from raynas.strategies.predictors.boosted_trees import BoostedTrees
from raynas.strategies.predictors.gaussian_process import GaussianProcess
from raynas.strategies.predictors.gnn import GraphNetwork
from raynas.strategies.predictors.nas_bowl import NASBOWL, motifs
from raynas.strategies.predictors.progressive import Progressive
from raynas.strategies.random_search import RandomSearch
from raynas.strategies.reinforcement.ppo import PPO
from raynas.strategies.reinforcement.q_learning import QLearning
from raynas.strategies.reinforcement.reinforce import Reinforce
from raynas.strategies.schedulers.asha import Asha
from raynas.strategies.schedulers.hyperband import Hyperband
from raynas.strategies.schedulers.learning_curve import LearningCurve
from raynas.strategies.schedulers.median_stopping import MedianStopping
from raynas.strategies.schedulers.multi_objective_asha import MultiObjectiveAsha
from raynas.strategies.schedulers.pb2 import PopulationBasedBandits
from raynas.strategies.schedulers.pbt import PopulationBasedTraining
from raynas.strategies.trees.lanas import LaNAS
from raynas.strategies.trees.mcts import MCTS

STRATEGIES: dict[str, type[Strategy]] = {
    "auto": ByBudget,
    "bananas": BANANAS,
    "boosted_trees": BoostedTrees,
    "evolution": RegularizedEvolution,
    "genetic": GeneticAlgorithm,
    "gnn": GraphNetwork,
    "gp": GaussianProcess,
    "grid": GridSearch,
    "hyperopt": HyperOpt,
    "lanas": LaNAS,
    "local": LocalSearch,
    "mcts": MCTS,
    "nas_bowl": NASBOWL,
    "nsga2": NSGA2,
    "optuna": Optuna,
    "portfolio": Portfolio,
    "ppo": PPO,
    "progressive": Progressive,
    "q_learning": QLearning,
    "random": RandomSearch,
    "reinforce": Reinforce,
}
"""Strategies by the name that ``--strategy`` takes."""

EARLY_STOPPING: dict[str, type[EarlyStopping]] = {
    "asha": Asha,
    "hyperband": Hyperband,
    "learning_curve": LearningCurve,
    "median": MedianStopping,
    "mo_asha": MultiObjectiveAsha,
}
"""Rules of early stopping by the name that ``--early-stopping`` takes."""

__all__ = [
    "BANANAS",
    "EARLY_STOPPING",
    "MCTS",
    "NASBOWL",
    "NSGA2",
    "PPO",
    "STRATEGIES",
    "Asha",
    "BoostedTrees",
    "ByBudget",
    "EarlyStopping",
    "GaussianProcess",
    "GeneticAlgorithm",
    "GraphNetwork",
    "GridSearch",
    "HyperOpt",
    "Hyperband",
    "LaNAS",
    "LearningCurve",
    "LocalSearch",
    "MedianStopping",
    "MultiObjectiveAsha",
    "Optuna",
    "PopulationBasedBandits",
    "PopulationBasedTraining",
    "Portfolio",
    "PortfolioStage",
    "Progressive",
    "QLearning",
    "RandomSearch",
    "RegularizedEvolution",
    "Reinforce",
    "Strategy",
    "motifs",
]
