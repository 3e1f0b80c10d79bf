"""MinedFront: a front of smaller networks, and how far its scores can be believed."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from torch import nn
from typing_extensions import Unpack

from raynas.analysis import RankCorrelation, rank_correlation
from raynas.compressing.mining.recovering import Recovered, Recovery, network_in, recover
from raynas.compressing.mining.sample import front_of
from raynas.converting import ConvertedSpace
from raynas.core.architecture import Option
from raynas.core.evaluation import Evaluation
from raynas.core.goal import Goal
from raynas.core.metric import Metric
from raynas.core.networks import ExportOptions
from raynas.core.result import SearchResult
from raynas.data.preprocessing import preprocessing_of
from raynas.errors import RaynasError
from raynas.exporting import Exported, Provenance, export
from raynas.files.replacing import write_whole
from raynas.metrics import Measurer
from raynas.trials import Subnet, TrainedSupernet

SUMMARY = "mined.json"


@dataclass(frozen=True)
class Belief:
    """Agreement of inherited scores with those after further training.

    Args:
        metric: the score.
        spearman: rank correlation over all members that were trained further, with a 95 % interval.
        kendall: tau-b of the same; None where it is not defined.
        on_front: rank correlation over those of the front alone, which are more alike, so that it is lower.
    """

    metric: str
    spearman: RankCorrelation
    kendall: float | None
    on_front: RankCorrelation

    def __str__(self) -> str:
        tau = "" if self.kendall is None else f", Kendall {self.kendall:+.2f}"
        return f"{self.metric}: Spearman {self.spearman}{tau}; on the front alone {self.on_front}"


@dataclass(frozen=True)
class MinedFront:
    """Smaller relatives of a given model, scored with the weights of one fine-tune.

    Args:
        space: the space; members that it builds have the trained weights. Its fingerprint is another than that of the
            space that was mined.
        members: all that were scored, as a search.
        supernet: the shared weights.
        scoring: how members were scored.
        recovery: settings of the further training.
        recovered: members that were trained further.
        folder: of these members.
        path: the folder of all.
        failed: members whose further training failed; their errors say why.
    """

    space: ConvertedSpace = field(repr=False)
    members: SearchResult
    supernet: TrainedSupernet = field(repr=False)
    scoring: Subnet = field(repr=False)
    recovery: Recovery = field(repr=False)
    recovered: tuple[Recovered, ...] = field(repr=False)
    folder: Path = field(repr=False)
    path: Path
    failed: tuple[Evaluation, ...] = field(default=(), repr=False)

    @property
    def goal(self) -> Goal:
        """Objectives and constraints."""
        return self.members.goal

    @property
    def front(self) -> list[Evaluation]:
        """The front of the inherited scores, in the order of the last objective."""
        return front_of(self.goal, self.members.evaluations)

    @property
    def recovered_front(self) -> list[Evaluation]:
        """The front of what was trained further, in the order of the last objective."""
        return front_of(self.goal, [each.evaluation for each in self.recovered])

    @property
    def belief(self) -> tuple[Belief, ...]:
        """Agreement of inherited scores with those after further training, for each objective that is a score."""
        known = self.goal.metrics
        names = [o.metric for o in self.goal.objectives]
        scores = [name for name in names if name not in known or known[name].measure is None]
        return tuple(belief(name, self.recovered) for name in scores)

    def pick(self, *constraints: str) -> Evaluation:
        """Return the best member within further limits, by the first objective with inherited weights.

        Args:
            constraints: such as ``"macs <= 0.4 * baseline"``; the baseline is the given model.

        Raises:
            RaynasError: if no member that was scored is within them.
        """
        goal = Goal.parse([self.goal.first], [*self.goal.constraints, *constraints], self.goal.metrics)
        given = next((e.metrics for e in self.members.evaluations if e.arch == self.space.largest), {})
        costs = Measurer(self.space).costs(goal.metrics[constraint.metric] for constraint in goal.constraints)
        measured = {name: cost(self.space.largest) for name, cost in costs.items() if name not in given}
        goal = goal.against({**measured, **given, **self.goal.baseline})
        best = goal.best(self.members.eligible)
        if best is None:
            limits = ", ".join(map(str, goal.hard))
            raise RaynasError(f"no member that was scored meets {limits}: loosen it, or score more members")
        return best

    def recover(self, *archs: Mapping[str, Option], workers: int | None = None) -> list[Evaluation]:
        """Train members further, such as one that ``pick`` returned; what was trained before is not repeated.

        Raises:
            RaynasError: if a training fails.
        """
        members = [self.space.canonical(arch) for arch in archs]
        metrics = asked_of(self.goal)
        found = recover(self.space, members, self.recovery, self.folder, metrics=metrics, workers=workers)
        done = {e.arch: e for e, _ in found}
        for e in done.values():
            if not e.ok:
                raise RaynasError(f"member {e.arch.key} could not be trained: {e.error}")
        return [done[member] for member in members]

    def model(self, arch: Mapping[str, Option]) -> nn.Module:
        """Return a member in eval mode: as it was trained further, or with inherited weights and its own statistics.

        Raises:
            RaynasError: if it is no member, or its weights cannot be read.
        """
        member = self.space.canonical(arch)
        if (self.folder / member.key / "recovered.json").exists():
            return network_in(self.folder, self.space, member)
        return self.scoring.trained_model(self.members.space, member, None)

    def export(self, arch: Mapping[str, Option], directory: str | Path, **options: Unpack[ExportOptions]) -> Exported:
        """Write ``model(arch)`` to files that run without raynas; see ``raynas.export``.

        Raises:
            RaynasError: if there are no weights, the folder is not free, or a file disagrees with the network.
        """
        member = self.space.canonical(arch)
        trained = next((each.evaluation for each in self.recovered if each.arch == member), None)
        known = trained or next((e for e in self.members.evaluations if e.arch == member), None)
        source = self.scoring.source_of_trials()
        how = f"trained for {trained.fidelity} epochs from" if trained else "with"
        about = Provenance(
            arch=member,
            metrics=known.metrics if known else {},
            measured=f"A member {how} the weights of a supernet; scored on the validation split of {source.name}.",
            preprocessing=preprocessing_of(source),
            seed=self.recovery.seed,
        )
        return export(self.model(member), self.space.example(2), directory, about=about, **options)

    def to_frame(self) -> pd.DataFrame:
        """Return a row per member that was scored; ``recovered/NAME`` has metrics after further training."""
        frame = self.members.to_frame()
        after = {each.inherited.trial: each.evaluation.metrics for each in self.recovered}
        names = dict.fromkeys(name for metrics in after.values() for name in metrics)
        for name in names:
            frame[f"recovered/{name}"] = [after.get(trial, {}).get(name) for trial in frame["trial"]]
        return frame

    def __str__(self) -> str:
        objectives = [o.metric for o in self.goal.objectives]
        lines = [
            f"{len(self.members.evaluations)} members of {self.space.name} scored, {len(self.front)} on the front, "
            f"{len(self.recovered)} trained further; in {self.path}",
            "member".ljust(14) + "".join(name.rjust(14) + "recovered".rjust(12) for name in objectives),
        ]
        for each in self.recovered:
            cells = [
                f"{each.inherited.metrics[name]:14.5g}{each.evaluation.metrics.get(name, float('nan')):12.5g}"
                for name in objectives
            ]
            lines.append(f"{each.arch.key[:8] + ('' if each.on_front else ' (off)'):14}" + "".join(cells))
        lines += [f"Inherited against recovered, {told}" for told in self.belief]
        lines += [f"{e.arch.key} failed: {e.error}" for e in self.failed]
        return "\n".join(lines)

    def write(self) -> None:
        """Write a summary, ``mined.json``, into the folder.

        Raises:
            RaynasError: if it cannot be written.
        """
        about: dict[str, Any] = {
            "objectives": [f"{o.mode}:{o.metric}" for o in self.goal.objectives],
            "constraints": list(map(str, self.goal.constraints)),
            "members": len(self.members.evaluations),
            "front": [_row(e) for e in self.front],
            "recovered": [
                {**_row(each.evaluation), "inherited": dict(each.inherited.metrics), "on_front": each.on_front}
                for each in self.recovered
            ],
            "belief": {
                told.metric: {
                    "spearman": _correlation(told.spearman),
                    "kendall": told.kendall,
                    "on_front": _correlation(told.on_front),
                }
                for told in self.belief
            },
            "failed": {e.arch.key: e.error for e in self.failed},
        }
        try:
            write_whole(self.path / SUMMARY, json.dumps(about, indent=1) + "\n")
        except OSError as error:
            raise RaynasError(f"cannot write to {self.path}: {error.strerror}") from None


def asked_of(goal: Goal) -> list[Metric | str]:
    """Return the metrics that every evaluation must hold: those that a goal names."""
    return [goal.metrics.get(name, name) for name in sorted(goal.asked)]


def belief(metric: str, recovered: Sequence[Recovered]) -> Belief:
    """Compare inherited scores with those after further training."""
    pairs = [
        (each.inherited.metrics[metric], each.evaluation.metrics[metric], each.on_front)
        for each in recovered
        if metric in each.inherited.metrics and metric in each.evaluation.metrics
    ]
    spearman = rank_correlation([a for a, _, _ in pairs], [b for _, b, _ in pairs])
    of_front = [(a, b) for a, b, on_front in pairs if on_front]
    kendall = None
    if spearman.rho is not None:
        from scipy.stats import kendalltau  # its import takes half a second

        kendall = float(kendalltau([a for a, _, _ in pairs], [b for _, b, _ in pairs]).statistic)
    on_front = rank_correlation([a for a, _ in of_front], [b for _, b in of_front])
    return Belief(metric, spearman, kendall, on_front)


def _row(e: Evaluation) -> dict[str, Any]:
    return {"key": e.arch.key, "arch": e.arch.to_config(), "metrics": dict(e.metrics)}


def _correlation(found: RankCorrelation) -> dict[str, Any]:
    return {"n": found.n, "rho": found.rho, "low": found.low, "high": found.high}
