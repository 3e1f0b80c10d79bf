"""Regret of four ways to choose the smaller member of a trained network, all candidates recovered in full.

For each seed a pool of members within a limit on multiply-adds is drawn and scored with inherited weights. Half of the
candidates are the best of the pool by their divergence from the teacher before recovery, the others are random; one
more has all widths reduced by the same share. Each is trained by distillation for ``--epochs`` epochs, and its
divergence on the validation split is recorded after each. Four ways to choose are read off the same curves:

- best before recovery: the candidate with the least divergence before any training;
- recover, then decide: successive halving on the curves (epochs 1, 3, 4), whose survivor is trained to its end;
- random: candidates drawn at random (all draws, on average);
- uniform width: the member with one width multiplier.

Those that need fewer epochs than recover-then-decide get as many: the best by score, and random ones, as many
candidates to their end as that pays for; uniform width one longer training. Regret is the relative excess of the
divergence over the least among all candidates. Epochs of training, learning rate and pool are the same for all, nothing
was tuned on what is reported. The scores before recovery are compared with the ends of the curves.

    python scripts/bench/recover_then_decide.py --model crepe
    python scripts/bench/recover_then_decide.py --model resnet --folder trained --seeds 3
    python scripts/bench/recover_then_decide.py --quick

The file of results has a line per candidate and seed: what is there is not run again, so that a killed run can be
continued.
"""

import argparse
import itertools
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

import raynas
from raynas.analysis import decision_worth
from raynas.compressing.uniform import uniform_member
from raynas.converting import ConvertedSpace, Width
from raynas.core.architecture import Architecture
from raynas.core.feasible_sampler import MemberLimits
from raynas.metrics import METRICS, Measurer, read_goal
from raynas.strategies import ByBudget, Strategy
from raynas.testing.in_process import run_trials
from raynas.trials import Distillation, Inherited

sys.path.insert(0, str(Path(__file__).parents[2]))  # for the modules beside this file
from scripts.bench import trained_tasks
from scripts.bench.search_quality import read
from scripts.bench.summaries import standard_error
from scripts.bench.trained_tasks import TrainedTask

LIMIT = 0.5
"""Multiply-adds of members, as a share of the given model's."""
DIVISOR = 4
"""Of the widths of members."""
WIDTHS = (0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1.0)
IMAGES = ("resnet", "vit")
RATE = 3
"""Candidates per survivor, and epochs of a rung per epoch of the one before."""
CHEAP = {
    "divergence": -1,
    "loss_increase": -1,
    "weight_share": 1,
    "taylor_share": 1,
    "synflow": 1,
    "l2_norm": 1,
    "macs": 1,
    "params": 1,
}
"""Scores before recovery, and which of their values are better."""


@dataclass(frozen=True)
class Study:
    """Candidates of a model, and how they are recovered.

    Args:
        of: the model.
        space: its members.
        epochs: of a recovery.
        n_candidates: without the one of uniform width.
        n_pool: number of members that are scored before recovery.
        strategy: proposes them, going by the divergence before recovery; None draws them at random.
    """

    of: TrainedTask
    space: ConvertedSpace
    epochs: int
    n_candidates: int
    n_pool: int
    strategy: Strategy | None = None

    @property
    def macs(self) -> Callable[[Architecture], float]:
        """Multiply-adds of a member."""
        return Measurer(self.space).costs([METRICS["macs"]])["macs"]

    def recovery(self, seed: int, epochs: int, *, scores: bool = False) -> Distillation:
        """Return the training of a candidate; with the score of the task, which costs as much as the divergence."""
        return Distillation(
            **{**self.of.settings, "score": self.of.score if scores else None},
            teacher=self.of.model,
            epochs=epochs,
            batch_size=12 if self.of.name == "CREPE tiny" else 32,
            data_fraction=1.0 if self.of.name in ("CREPE tiny", "FCN") else 0.3,
            lr=3e-3,
            warmup_epochs=0.5,
            augment="none",
            seed=seed,
            device="cpu",
        )

    def candidates(self, seed: int) -> dict[str, dict[str, Any]]:
        """Return architectures by name, with their scores before recovery."""
        macs = self.macs
        goal = read_goal("divergence", constraints=f"macs <= {LIMIT * macs(self.space.largest)}")
        limits = MemberLimits(space=self.space, goal=goal, costs={"macs": macs})
        rng = np.random.default_rng(seed)
        scorer = Inherited(recovery=self.recovery(seed, self.epochs), n_batches=1, calibration_batches=2, device="cpu")
        runner = scorer.runner(self.space, ["divergence", "synflow", "l2_norm"])
        scores: dict[Architecture, dict[str, float]] = {}

        def score(config: Mapping[str, Any]) -> Mapping[str, Any]:
            result = runner.run(dict(config))
            assert not result["failed"], result["error"]
            scores[self.space.from_config(config)] = {name: float(result[name]) for name in CHEAP}
            return result

        sampler = limits.sampler(rng)
        if self.strategy is None:
            pool = list(dict.fromkeys(limits.draw(self.n_pool, rng)))
        else:
            strategy = self.strategy.for_budget(self.n_pool)
            searcher = strategy.searcher(self.space, goal, seed=seed, costs={"macs": macs})
            run_trials(searcher, score, self.n_pool)
            pool = list(scores)
        uniform = uniform_member(self.space, sampler.complies)
        assert uniform is not None
        for arch in [*pool, uniform]:
            if arch not in scores:
                score({"arch": arch.to_config()})
        ranked = sorted(pool, key=lambda arch: scores[arch]["divergence"])
        best = ranked[: self.n_candidates // 2]
        others = [arch for arch in pool if arch not in best]
        drawn = [others[i] for i in rng.permutation(len(others))[: self.n_candidates - len(best)]]
        named = {f"screened {i}": arch for i, arch in enumerate(best)}
        named |= {f"random {i}": arch for i, arch in enumerate(drawn)} | {"uniform": uniform}
        return {name: {"arch": arch.to_config(), "before": scores[arch]} for name, arch in named.items()}

    def recovered(self, arch: Mapping[str, Any], seed: int, epochs: int) -> dict[str, Any]:
        """Return the divergence after each epoch, and the metrics of the test split at the end."""
        runner = self.recovery(seed, epochs).runner(self.space)
        runner.begin({"arch": dict(arch)})
        curve: list[float] = []
        began = time.process_time()
        while True:
            result = runner.step()
            assert not result["failed"], result["error"]
            curve.append(float(result["divergence"]))
            if result["done"]:
                seconds = time.process_time() - began
                tested = self.recovery(seed, epochs, scores=True).tested(self.space, runner.trial.trainer.model)
                return {"curve": curve, "test": tested, "seconds": round(seconds, 2)}


# --- choices ---------------------------------------------------------------------------------------------------------


def halved(curves: Sequence[Sequence[float]]) -> tuple[int, int]:
    """Return the survivor of successive halving, and the epochs that it took.

    Args:
        curves: the divergence of each candidate after each epoch.
    """
    alive, spent, before, rung = list(range(len(curves))), 0, 0, 1
    last = len(curves[0])
    while True:
        spent += len(alive) * (rung - before)
        alive.sort(key=lambda i: curves[i][rung - 1])
        if rung == last:
            return alive[0], spent
        alive = alive[: max(len(alive) // RATE, 1)]
        before, rung = rung, min(rung * RATE, last)


def choices(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """Return regret, test metric and epochs of each way to choose, of the candidates of one seed."""
    own = [row for row in rows if row["name"] not in ("uniform", "uniform, longer")]
    by_name = {row["name"]: row for row in rows}
    curves = [row["curve"] for row in own]
    final = [curve[-1] for curve in curves]
    epochs = len(curves[0])
    winner, spent = halved(curves)
    n_paid = max(spent // epochs, 1)
    order = sorted(range(len(own)), key=lambda i: own[i]["before"]["divergence"])
    least = min(*final, by_name["uniform"]["curve"][-1])
    metric = rows[0]["setting"]["metric"]

    def found(value: float, tested: float, cost: float) -> dict[str, float]:
        return {"divergence": value, "regret": value / least - 1, "test": tested, "epochs": cost}

    def of(i: int, cost: float) -> dict[str, float]:
        return found(final[i], own[i]["test"][metric], cost)

    def averaged(groups: Sequence[Sequence[int]], cost: float) -> dict[str, float]:
        bests = [min(group, key=final.__getitem__) for group in groups]
        each = [of(i, cost) for i in bests]
        return {name: float(np.mean([one[name] for one in each])) for name in each[0]}

    drawn = [i for i, row in enumerate(own) if row["name"].startswith("random")]
    longer = by_name["uniform, longer"]
    uniform = by_name["uniform"]
    return {
        "recover, then decide": of(winner, spent),
        "best before recovery": of(order[0], epochs),
        f"{n_paid} best before recovery": averaged([order[:n_paid]], n_paid * epochs),
        "random": averaged([[i] for i in drawn], epochs),
        f"{n_paid} random": averaged(list(itertools.combinations(drawn, min(n_paid, len(drawn)))), n_paid * epochs),
        "uniform width": found(uniform["curve"][-1], uniform["test"][metric], epochs),
        "uniform width, longer": found(longer["curve"][-1], longer["test"][metric], len(longer["curve"])),
        "all in full": of(int(np.argmin(final)), epochs * len(own)),
    }


def report(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return two tables: what each way to choose gives, and what each score before recovery told."""
    seeds = sorted({row["seed"] for row in rows})
    by_seed = [[row for row in rows if row["seed"] == seed] for seed in seeds]
    found = [choices(each) for each in by_seed]
    metric = rows[0]["setting"]["metric"]
    head = ["choice", "epochs", "divergence", "regret", "regret beyond the first", f"test {metric}"]
    lines = [head, ["---"] * len(head)]
    ours = np.array([each["recover, then decide"]["regret"] for each in found])
    for name in found[0]:
        own = {key: np.array([each[name][key] for each in found]) for key in found[0][name]}
        gap = own["regret"] - ours
        lines.append(
            [
                name,
                f"{own['epochs'].mean():.0f}",
                f"{own['divergence'].mean():.5f}",
                f"{own['regret'].mean():.1%} ± {standard_error(own['regret']):.1%}",
                "" if name == "recover, then decide" else f"{gap.mean():+.1%} ± {standard_error(gap):.1%}",
                f"{own['test'].mean():.4f} ± {standard_error(own['test']):.4f}",
            ]
        )
    text = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    head = ["score", "Spearman", "Kendall", "precision at k", "regret of its best"]
    lines = [head, ["---"] * len(head)]
    epochs = len(rows[0]["curve"])
    early = {f"divergence after {epoch} epochs": epoch for epoch in (1, 3) if epoch < epochs}
    for name in [*CHEAP, *early]:
        worth = [_worth(name, early.get(name), each) for each in by_seed]
        columns = [
            [w.spearman.rho if w.spearman.rho is not None else 0.0 for w in worth],
            [w.kendall if w.kendall is not None else 0.0 for w in worth],
            [w.precision for w in worth],
            [np.exp(w.regret) - 1 for w in worth],
        ]
        cells = [(np.mean(values), standard_error(np.array(values))) for values in columns]
        shown = [f"{mean:+.2f} ± {error:.2f}" for mean, error in cells[:3]]
        before = name if name in early else f"{name} before"
        lines.append([before, *shown, f"{cells[3][0]:.1%} ± {cells[3][1]:.1%}"])
    chance = np.mean([_worth("macs", None, each).k / len(_own(each)) for each in by_seed])
    text += "\n" + "".join(f"| {' | '.join(line)} |\n" for line in lines)
    return text + f"\n{len(seeds)} seeds, {len(_own(by_seed[0]))} candidates; precision by chance {chance:.2f}.\n"


def _own(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [row for row in rows if row["name"] != "uniform, longer"]


def _worth(name: str, epoch: int | None, rows: Sequence[Mapping[str, Any]]) -> Any:
    """Return the worth of a score, in logarithms of the final divergence, so that regret is a ratio."""
    own = _own(rows)
    final = [-float(np.log(row["curve"][-1])) for row in own]
    if epoch is not None:
        return decision_worth(name, [-row["curve"][epoch - 1] for row in own], final)
    return decision_worth(name, [CHEAP[name] * row["before"][name] for row in own], final)


# --- command ---------------------------------------------------------------------------------------------------------


def study(args: argparse.Namespace) -> Study:
    """Return the study that the command line asks for."""
    makers: dict[str, Callable[[Path], TrainedTask]] = {
        "crepe": trained_tasks.crepe,
        "resnet": partial(trained_tasks.resnet, data=args.data, epochs=args.model_epochs),
        "vit": partial(trained_tasks.vit, data=args.data, epochs=args.model_epochs),
        "gpt": trained_tasks.gpt,
        "series": trained_tasks.series,
    }
    of = makers[args.model](Path(args.folder))
    torch.manual_seed(0)
    space = raynas.convert(of.model, of.example, vary={"*": Width(*WIDTHS)}, divisor=DIVISOR)
    strategy = ByBudget() if args.proposals == "auto" else None
    return Study(of, space, args.epochs, args.candidates, args.pool, strategy)


def run(args: argparse.Namespace, file: Path) -> list[dict[str, Any]]:
    """Recover all candidates of all seeds that the file does not hold; return all rows of the command."""
    made: Study | None = None
    metric = "pitch_accuracy" if args.model == "crepe" else "accuracy"
    setting = {"model": args.model, "data": args.data if args.model in IMAGES else "", "metric": metric}
    setting |= {"epochs": args.epochs, "n": args.candidates, "pool": args.pool}
    setting |= {"proposals": args.proposals} if args.proposals != "random" else {}
    rows = [row for row in (read(file) if file.exists() else []) if row["setting"] == setting]
    for seed in range(args.seeds):
        done = {row["name"]: row for row in rows if row["seed"] == seed}
        if len(done) == args.candidates + 2:
            continue
        made = made or study(args)
        candidates = made.candidates(seed)
        wanted = {name: (each, args.epochs) for name, each in candidates.items()}
        for name, (each, epochs) in wanted.items():
            if name not in done:
                done[name] = _recorded(file, setting, seed, name, each, made, epochs)
                rows.append(done[name])
        if "uniform, longer" not in done:
            _, spent = halved([done[name]["curve"] for name in candidates if name != "uniform"])
            row = _recorded(file, setting, seed, "uniform, longer", candidates["uniform"], made, spent)
            rows.append(row)
    return [row for row in rows if row["seed"] < args.seeds]


def _recorded(
    file: Path, setting: Mapping[str, Any], seed: int, name: str, each: Mapping[str, Any], made: Study, epochs: int
) -> dict[str, Any]:
    row = {"setting": setting, "seed": seed, "name": name, **each, **made.recovered(each["arch"], seed, epochs)}
    with file.open("a") as out:
        out.write(json.dumps(row) + "\n")
    return row


def main(argv: Sequence[str] | None = None) -> None:
    assert __doc__
    args, folder = parsed(__doc__.splitlines()[0], "results/recover_then_decide", argv)
    text = report(run(args, folder / f"{args.model}.jsonl"))
    (folder / f"{args.model}.md").write_text(text)
    print(text, end="")


def parsed(description: str, results: str, argv: Sequence[str] | None) -> tuple[argparse.Namespace, Path]:
    """Return what the command line asks for, and the folder of results."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--model", default="crepe", choices=("crepe", "resnet", "vit", "gpt", "series"))
    parser.add_argument("--data", default="scattered_digits", help="of an image model, such as npz:PATH")
    parser.add_argument("--model-epochs", type=int, default=30, help="of an image model's training")
    parser.add_argument("--folder", default="trained", help="keeps weights of image models")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--candidates", type=int, default=8)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--pool", type=int, default=16, help="members that are scored before recovery")
    parser.add_argument("--proposals", default="random", choices=("random", "auto"), help="of these members")
    parser.add_argument("--results", default=results, help="folder of results")
    parser.add_argument("--quick", action="store_true", help="one seed, four candidates, two epochs: does it run?")
    args = parser.parse_args(argv)
    if args.quick:
        args.seeds, args.candidates, args.epochs, args.pool, args.model_epochs = 1, 4, 2, 6, 1
    torch.set_num_threads(1)
    folder = Path(args.results)
    folder.mkdir(parents=True, exist_ok=True)
    return args, folder


if __name__ == "__main__":
    main()
