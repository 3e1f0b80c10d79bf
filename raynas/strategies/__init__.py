"""Search strategies: one file per published algorithm, and the only table of their names."""

from raynas.strategies.bananas import BANANAS
from raynas.strategies.base import EarlyStopping, Strategy
from raynas.strategies.boosted_trees import BoostedTrees
from raynas.strategies.by_budget import ByBudget
from raynas.strategies.early_stopping import Asha, Hyperband, MedianStopping
from raynas.strategies.gaussian_process import GaussianProcess
from raynas.strategies.genetic_algorithm import GeneticAlgorithm
from raynas.strategies.gnn import GraphNetwork
from raynas.strategies.grid_search import GridSearch
from raynas.strategies.hyperopt import HyperOpt
from raynas.strategies.lanas import LaNAS
from raynas.strategies.learning_curve import LearningCurve
from raynas.strategies.local_search import LocalSearch
from raynas.strategies.mcts import MCTS
from raynas.strategies.multi_objective_asha import MultiObjectiveAsha
from raynas.strategies.nas_bowl import NASBOWL, motifs
from raynas.strategies.nsga2 import NSGA2
from raynas.strategies.optuna import Optuna
from raynas.strategies.pb2 import PopulationBasedBandits
from raynas.strategies.pbt import PopulationBasedTraining
from raynas.strategies.portfolio import Portfolio, PortfolioStage
from raynas.strategies.ppo import PPO
from raynas.strategies.progressive import Progressive
from raynas.strategies.q_learning import QLearning
from raynas.strategies.random_search import RandomSearch
from raynas.strategies.regularized_evolution import RegularizedEvolution
from raynas.strategies.reinforce import Reinforce

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
"""What ``--strategy`` takes."""

EARLY_STOPPING: dict[str, type[EarlyStopping]] = {
    "asha": Asha,
    "hyperband": Hyperband,
    "learning_curve": LearningCurve,
    "median": MedianStopping,
    "mo_asha": MultiObjectiveAsha,
}
"""What ``--early-stopping`` takes."""

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
