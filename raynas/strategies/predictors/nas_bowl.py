"""NAS-BOWL: Bayesian optimisation with a Gaussian process on graphs, whose motifs explain its predictions.

Ru, Wan, Dong and Osborne, "Interpretable Neural Architecture Search via Bayesian Optimisation with Weisfeiler-Lehman
Kernels" (ICLR 2021, arXiv:2006.07556). Deviations: a pattern of height h holds the nodes before a node as well as those
after it, which ranks networks better; noise and scale of the kernel have a prior; a small space is ranked as a whole.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from raynas.core.evaluation import Evaluation
from raynas.core.goal import Goal
from raynas.core.space import SearchSpace
from raynas.errors import SettingError
from raynas.strategies.base import require_at_least, require_one_of
from raynas.strategies.predictors.acquisition import Acquisition
from raynas.strategies.predictors.base import PredictorStrategy
from raynas.strategies.predictors.candidate_pool import CandidatePool
from raynas.strategies.predictors.graph_kernels import SmoothPredictor
from raynas.strategies.predictors.predictor import Predictor
from raynas.strategies.predictors.targets import log_regret
from raynas.strategies.predictors.wl_predictor import Motif, WeisfeilerLehmanPredictor


@dataclass(frozen=True, kw_only=True)
class NASBOWL(PredictorStrategy):
    """Predict every candidate by a Gaussian process on graphs of operations (``SearchSpace.operation_graph``).

    ``motifs`` tells which patterns of operations help and which hurt. For budgets up to some hundred trials, on spaces
    of cells; a space without graphs is treated as a chain of its decisions.

    Args:
        max_height: the largest patterns that are counted, in steps around a node; at least 0. Each fit chooses
            a height up to this one by marginal likelihood.
        kernel: "assignment" (a pattern counts as often as both graphs have it), "subtree" (counts are multiplied, as
            the authors do on NAS-Bench-201), or "smooth": Matérn 5/2 kernels on the counts of each height, as in
            ``GaussianProcess``, each with its weight and length scale instead of a choice of height.
    """

    acquisition: Acquisition = "ei"
    max_height: int = 3
    kernel: Literal["assignment", "smooth", "subtree"] = "smooth"

    sees_features: ClassVar[bool] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        require_at_least(self, {"max_height": 0})
        require_one_of(self, "kernel", ("assignment", "smooth", "subtree"))

    def make_predictor(self) -> Predictor:
        if self.kernel == "smooth":
            return SmoothPredictor(self.max_height)
        return WeisfeilerLehmanPredictor(self.max_height, self.kernel == "assignment")


def motifs(
    space: SearchSpace,
    evaluations: Iterable[Evaluation],
    goal: Goal | None = None,
    *,
    max_height: int = 1,
    assignment: bool = True,
) -> list[Motif]:
    """Find the patterns of operations that help or hurt, from the evaluations of any search.

    The effect of a pattern is the derivative of the posterior mean by its number of occurrences (section 3.2 of the
    paper); it is near 0 for a pattern that all architectures have equally often.

    Args:
        space: the space that was searched.
        evaluations: at least 2 that have a score.
        goal: its first objective counts; default: a high "accuracy".
        max_height: of the patterns, in steps around an operation; the likelihood chooses a height up to this one.
        assignment: see ``WeisfeilerLehmanPredictor``.

    Returns:
        Motifs, the most helpful first.

    Raises:
        SettingError: if fewer than two evaluations have a score.
    """
    goal = goal or Goal()
    scored = [e for e in evaluations if np.isfinite(goal.violation(e))]
    if len(scored) < 2:
        raise SettingError(f"motifs need at least 2 evaluations with a score, got {len(scored)}")
    scores = np.array([goal.scores(e)[0] for e in scored])
    predictor = WeisfeilerLehmanPredictor(max_height, assignment)
    pool = CandidatePool(space)
    pool.add(e.arch for e in scored)
    observed = pool.indices(e.arch for e in scored)
    targets = log_regret(scores.max() - scores)
    predictor.fit(pool, observed, targets, np.random.default_rng(0))
    return predictor.motifs(observed, targets)
