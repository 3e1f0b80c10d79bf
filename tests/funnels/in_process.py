"""A search without a cluster, for tests of what is made of searches."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ray import tune

from raynas import Architecture, SearchResult, SearchSpace
from raynas.core.archive import Archive
from raynas.core.cost_limits import Costs
from raynas.strategies import Strategy


@dataclass
class InProcess:
    """Stands for ``raynas.search``: the same searchers and archives, one trial after another, no cluster.

    Args:
        score: the result of a trial, of its settings and config.
        costs: what is known before a trial.
        n_left: how many more trials may end before it is interrupted.
    """

    score: Callable[[Any, Mapping[str, Any]], dict[str, Any]]
    costs: Costs = field(default_factory=dict)
    n_left: int = 10_000
    scored: Counter[tuple[str, Architecture]] = field(default_factory=Counter)

    def __call__(
        self,
        space: SearchSpace,
        settings: Any,
        strategy: Strategy,
        *,
        objectives: Any,
        constraints: Any,
        num_samples: int,
        run_config: tune.RunConfig,
        seed: int = 0,
        baseline: Any = None,
        points_to_evaluate: Any = (),
        **rest: Any,
    ) -> SearchResult:
        path = Path(str(run_config.storage_path)) / str(run_config.name)
        archive = Archive(path / "archive.jsonl")
        searcher = strategy.searcher(
            space,
            objectives,
            constraints,
            seed=seed,
            baseline=baseline,
            points_to_evaluate=points_to_evaluate,
            costs=self.costs,
            archive=archive,
        )
        searcher.replay(archive)
        todo = {trial: record["config"] for trial, record in archive.unfinished().items()}
        interrupted = False
        while not interrupted:
            if not todo and len(archive.events("proposed")) < num_samples:
                trial = f"{len(archive.events('proposed')) + 1:05d}"
                config = searcher.suggest(trial)
                todo = {trial: config} if isinstance(config, dict) else {}
            if not todo:
                break
            if interrupted := self.n_left == 0:
                break
            trial, config = todo.popitem()
            self.n_left -= 1
            self.scored[path.name, space.from_config(config)] += 1
            searcher.on_trial_complete(trial, self.score(settings, config))
        archive.close()
        return SearchResult(
            space=space, goal=searcher.goal, archive=archive, path=path, interrupted=interrupted, ended_because=""
        )
