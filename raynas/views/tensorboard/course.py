"""Course: the state of a search, as the pictures of TensorBoard read it."""

from collections import Counter

from raynas.analysis import CheapScore, cheap_scores
from raynas.core.archive import Archive
from raynas.core.evaluation import Evaluation
from raynas.core.goal import Goal
from raynas.core.relaxed_weights import RelaxedWeights
from raynas.core.space import SearchSpace
from raynas.views.tensorboard.best_of_each import BestOfEach


class Course:
    """The state of a search.

    Args:
        space: of the search.
    """

    def __init__(self, space: SearchSpace) -> None:
        self.space = space.architecture_space
        # That of the networks whose weights a trial trains, where the only architecture of the search is a supernet.
        self.derived_space: SearchSpace = getattr(self.space, "derived_space", self.space)
        self.archive = Archive()
        self.evaluations: list[Evaluation] = []
        self.counts = Counter[str]()
        self.best = BestOfEach(Goal())
        self.weights: RelaxedWeights | None = None
        self._places: dict[str, int] = {}

    @property
    def goal(self) -> Goal:
        """Ranks the evaluations."""
        return self.best.goal

    @property
    def n(self) -> int:
        """Number of trials that have ended."""
        return len(self.evaluations)

    def rank_by(self, goal: Goal) -> None:
        """Take a goal over, also one that has only learned of the baseline's figures."""
        if goal is not self.goal:
            self.best = BestOfEach(goal, self.evaluations)

    def add(self, evaluation: Evaluation) -> bool:
        """Take the end of a trial into account; return whether it is the best in an objective."""
        self._places[evaluation.trial] = self.n
        self.evaluations.append(evaluation)
        self.counts[evaluation.status] += 1
        return self.best.add(evaluation)

    def measure_again(self, trial: str, metrics: "dict[str, float]") -> None:
        """Take into account what was measured of a trial at the end of the search."""
        if trial in self._places:
            place = self._places[trial]
            self.evaluations[place] = self.evaluations[place].measured_again(metrics)
            self.best = BestOfEach(self.goal, self.evaluations)

    def cheap_scores(self) -> list[CheapScore]:
        """Return the cheap scores that some trials have beside the final one."""
        return cheap_scores(self.archive, self.goal)
