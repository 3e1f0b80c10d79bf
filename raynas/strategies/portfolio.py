"""Portfolio: several strategies one after another on one archive, each learning from all earlier evaluations.

After the algorithm portfolios of Huberman, Lukose and Hogg, "An Economics Approach to Hard Computational Problems"
(Science 275, 1997). Deviation: the strategies run in a fixed order, not at random side by side.
"""

import dataclasses
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from typing_extensions import Unpack

from raynas.core.architecture import Architecture
from raynas.core.evaluation import Evaluation
from raynas.core.goal import Goal
from raynas.core.searcher import ArchitectureSearcher, SearcherOptions
from raynas.core.space import SearchSpace
from raynas.errors import SettingError, UnknownNameError
from raynas.seeds import seed_of
from raynas.strategies.base import Strategy

_STAGE = re.compile(r"\s*(?P<name>\w+)(\s+(?P<amount>\d+(\.\d+)?)\s*(?P<percent>%)?)?\s*")


@dataclass(frozen=True)
class PortfolioStage:
    """A strategy and its number of trials.

    Args:
        strategy: makes the proposals; without early stopping, which belongs to the portfolio.
        n: number of trials.
        share: instead, share of all trials, in (0, 1).

    Raises:
        SettingError: if a value is out of range, or both ``n`` and ``share`` are given.
    """

    strategy: Strategy
    n: int | None = field(default=None, kw_only=True)
    share: float | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        if not isinstance(self.strategy, Strategy):
            raise SettingError(f"a stage needs a strategy such as RandomSearch(), got {self.strategy!r}")
        if isinstance(self.strategy, Portfolio):
            raise SettingError("a portfolio cannot be a stage of another: list its stages instead")
        if self.strategy.early_stopping is not None:
            raise SettingError(
                "early stopping is of the whole search: Portfolio(..., early_stopping=...), not of a stage"
            )
        if self.n is not None and self.share is not None:
            raise SettingError(f"a stage has n or share, not both, got {self.n} and {self.share}")
        if self.n is not None and (not isinstance(self.n, int) or self.n < 1):
            raise SettingError(f"n of a stage must be a whole number of at least 1, got {self.n!r}")
        if self.share is not None and not 0 < self.share < 1:
            raise SettingError(f"share of a stage must be above 0 and below 1, got {self.share}")

    @classmethod
    def parse(cls, text: "str | PortfolioStage") -> "PortfolioStage":
        """Read ``"random 10"`` (trials), ``"gp 60%"`` (of all trials) or ``"local"`` (the rest).

        Raises:
            UnknownNameError: if there is no strategy of that name.
            SettingError: if the text has another form.
        """
        if isinstance(text, PortfolioStage):
            return text
        if not isinstance(text, str):
            raise SettingError(f"a stage must be a PortfolioStage or a text such as 'random 10', got {text!r}")
        from raynas.strategies import STRATEGIES  # imported here because it imports this module

        match = _STAGE.fullmatch(text)
        if not match or (match["amount"] and "." in match["amount"] and not match["percent"]):
            raise SettingError(f"cannot read stage {text!r}: write NAME TRIALS, NAME PERCENT% or, for the last, NAME")
        if match["name"] not in STRATEGIES:
            raise UnknownNameError("strategy", match["name"], STRATEGIES)
        amount = float(match["amount"]) if match["amount"] else None
        strategy = STRATEGIES[match["name"]]()
        if amount is None:
            return cls(strategy)
        return cls(strategy, share=amount / 100) if match["percent"] else cls(strategy, n=int(amount))


@dataclass(frozen=True, kw_only=True)
class Portfolio(Strategy):
    """Run strategies one after another, for example to initialise, to learn and to refine.

    Each learns from all evaluations before its stage, as from a warm start. Stages are counted in trials proposed, so
    they do not depend on the number of concurrent trials. A strategy with nothing more to propose ends its stage early.
    Trials added to a search belong to the last strategy.

    Args:
        stages: stages, or texts: "random 10" has ten trials, "gp 60%" that share of all, and the last one, "local",
            the rest; a stage beyond the last trial is never used.
        n_trials: the number that shares refer to; by default the number of trials that the search was started with.

    Raises:
        UnknownNameError: if a text names no strategy.
        SettingError: if a stage cannot be read, another than the last has neither number nor share, the last has
            one, or shares come to more than the whole.
    """

    stages: Sequence[PortfolioStage | str] = ("random 10", "gp 60%", "local")
    n_trials: int | None = None

    def __post_init__(self) -> None:
        if isinstance(self.stages, str):
            raise SettingError(f"stages must be a sequence of stages, got the one text {self.stages!r}")
        stages = tuple(map(PortfolioStage.parse, self.stages))
        object.__setattr__(self, "stages", stages)
        if not stages:
            raise SettingError("a portfolio needs at least one stage, got none")
        for i, stage in enumerate(stages[:-1], 1):
            if stage.n is None and stage.share is None:
                raise SettingError(f"stage {i} of {len(stages)} needs n or share: only the last takes what is left")
        if stages[-1].n is not None or stages[-1].share is not None:
            raise SettingError("the last stage takes what is left: give it neither n nor share")
        total = sum(stage.share or 0.0 for stage in stages)
        if total > 1:
            raise SettingError(f"shares of all stages must come to at most 1, got {total:g}")
        if self.n_trials is not None and self.n_trials < 1:
            raise SettingError(f"n_trials must be at least 1, got {self.n_trials}")

    def for_budget(self, n_trials: int) -> "Portfolio":
        """Return the same portfolio with ``n_trials``, unless it is set already."""
        return self if self.n_trials is not None else dataclasses.replace(self, n_trials=n_trials)

    @property
    def parsed(self) -> tuple[PortfolioStage, ...]:
        """The stages, texts parsed."""
        return tuple(map(PortfolioStage.parse, self.stages))

    @property
    def strategies(self) -> list[Strategy]:
        """The strategies in their order, adapted to the number of trials of the search."""
        n_trials = self.n_trials
        return [s.strategy if n_trials is None else s.strategy.for_budget(n_trials) for s in self.parsed]

    @property
    def ends(self) -> list[int]:
        """Number of trials of the search at which each stage but the last ends.

        Raises:
            SettingError: if a stage has a share, and the number of trials is not known.
        """
        ends = [0]
        for stage in self.parsed[:-1]:
            if stage.share is not None and self.n_trials is None:
                raise SettingError(
                    "shares are of the number of trials, which is not known here: give Portfolio n_trials"
                )
            ends.append(ends[-1] + (stage.n or round((stage.share or 0.0) * (self.n_trials or 0))))
        return ends[1:]

    def make_searcher(self, space: SearchSpace, goal: Goal, **options: Unpack[SearcherOptions]) -> "PortfolioSearcher":
        return PortfolioSearcher(space, goal, settings=self, **options)


class PortfolioSearcher(ArchitectureSearcher):
    """The searcher of ``Portfolio``: one searcher per stage, all of which observe everything."""

    def __init__(
        self,
        space: SearchSpace,
        goal: Goal | None = None,
        *,
        settings: Portfolio | None = None,
        **options: Unpack[SearcherOptions],
    ) -> None:
        super().__init__(space, goal, **options)
        settings = settings or Portfolio(n_trials=100)
        self._ends = settings.ends
        self._searchers = [
            strategy.make_searcher(
                space, self.goal, seed=seed_of(options.get("seed", 0), "stage", i) % 2**32, costs=self.costs
            )
            for i, strategy in enumerate(settings.strategies)
        ]
        for searcher in self._searchers:
            searcher.join(self)
        self.needs_no_replay = all(searcher.needs_no_replay for searcher in self._searchers)

    @property
    def stage(self) -> int:
        """Index of the stage that proposes the next trial."""
        n_proposed = len(self._running) + len(self._ended)
        return sum(end <= n_proposed for end in self._ends)

    def propose(self) -> Architecture | None:
        for searcher in self._searchers[self.stage :]:
            point = searcher.propose()
            if point is not None or self.running:
                return point
        return None

    def observe(self, evaluation: Evaluation) -> None:
        for searcher in self._searchers:
            searcher.goal = self.goal  # the baseline resolves relative limits during a search
            searcher.observe(evaluation)
