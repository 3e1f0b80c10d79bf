"""FastNAS of NVIDIA's Model Optimizer beside choosing after recovery, on the same trained model at the same limit.

FastNAS (``modelopt.torch.prune``) scores the model with each width of each layer alone, and takes the member whose
worst loss is least; it sees no training. It has the same widths as the members of ``recover_then_decide.py``, the same
limit on multiply-adds, and scores on the same validation split: by accuracy, as its documentation does, and by the
divergence from the given model, which the other side goes by. Its network is then trained further exactly as a
candidate of ours: for the epochs of one, and ("longer") for as many as recover-then-decide spends on all candidates.
The winner of that is trained so long too, on a separate line, whose epochs do not count those of its choice.

    pip install --no-deps nvidia-modelopt==0.47.0 pulp omegaconf ninja nvidia-ml-py torchprofile==0.0.4
    python scripts/bench/modelopt_side_by_side.py --model resnet --data npz:PATH --seeds 3 --pool 200 --proposals auto
    python scripts/bench/modelopt_side_by_side.py --model gpt --seeds 3 --pool 200 --proposals auto
    python scripts/bench/modelopt_side_by_side.py --quick

Its other pruning, Minitron, takes models of Megatron-Core alone, and needs a GPU. What FastNAS cannot prune is said
below the table. Results are kept as in ``recover_then_decide.py``; FastNAS keeps its estimates by itself.
Nothing was tuned.
"""

import copy
import itertools
import json
import sys
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

import raynas
from raynas.errors import one_line

sys.path.insert(0, str(Path(__file__).parents[2]))  # for the modules beside this file
from scripts.bench.recover_then_decide import DIVISOR, IMAGES, LIMIT, WIDTHS, Study, choices, halved, parsed, run, study
from scripts.bench.search_quality import read
from scripts.bench.summaries import standard_error

Row = Mapping[str, Any]

SCORES = {"accuracy": 1, "divergence": -1}
"""Scores that FastNAS goes by, and which of their values are better."""
QUEUE = 50
"""Batches that FastNAS takes statistics of norms on; with fewer it leaves them as they are."""


def pruned(made: Study, score: str, checkpoint: Path) -> nn.Module:
    """Return the network that FastNAS makes of the model.

    Args:
        made: model, limit and data.
        score: what it goes by.
        checkpoint: file of its estimates.

    Raises:
        ImportError: if it is not installed.
        Exception: whatever it raises where it cannot prune the model.
    """
    prune = import_module("modelopt.torch.prune").prune
    settings, model = made.recovery(0, 1), copy.deepcopy(made.of.model)
    space, source = settings.fitted_data(made.space)
    device = settings.torch_device
    batches = settings.batches(source, device)
    task = settings.task(copy.deepcopy(made.of.model), None, space, device)

    def examined(network: nn.Module) -> float:
        return SCORES[score] * float(task.examine(network.eval(), batches, "valid")[score])

    shares = {"features_ratio": WIDTHS, "feature_divisor": DIVISOR}
    channels = {"channels_ratio": WIDTHS, "channel_divisor": DIVISOR}
    rules: dict[str, Any] = {name: {"*": shares} for name in ("nn.BatchNorm2d", "nn.LayerNorm", "nn.Linear")}
    rules["nn.Conv2d"] = {"*": channels}
    epochs = itertools.chain.from_iterable(batches.train(epoch) for epoch in itertools.count())
    seen = list(itertools.islice(epochs, QUEUE))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network, _ = prune(
            model,
            mode=[("fastnas", rules)],
            constraints={"flops": f"{100 * LIMIT:g}%"},
            dummy_input=made.of.example,
            config={"data_loader": seen, "score_func": examined, "checkpoint": str(checkpoint), "verbose": False},
        )
    assert isinstance(network, nn.Module)
    return network


def of_fastnas(made: Callable[[], Study], rows: Sequence[Row], score: str, folder: Path) -> list[Row]:
    """Train the network of FastNAS as often as there are seeds, each for the epochs of either budget; or say why not.

    Args:
        made: returns model, limit, data and recovery.
        rows: of our candidates.
        score: what FastNAS goes by.
        folder: keeps its estimates and the results.
    """
    name, file = f"FastNAS by {score}", folder / f"{rows[0]['setting']['model']}-fastnas-{score}.jsonl"
    wanted = [(seed, n) for seed in seeds_of(rows) for n in (rows[0]["setting"]["epochs"], spent(rows, seed))]

    @cache
    def theirs() -> tuple[Study, Row]:
        ours, began = made(), time.process_time()
        network = pruned(ours, score, file.with_suffix(".pt"))
        seconds = round(time.process_time() - began, 1)
        torch.manual_seed(0)
        found = replace(ours, space=raynas.convert(network.eval(), ours.of.example))
        share = found.macs(found.space.largest) / ours.macs(ours.space.largest)
        return found, {"name": name, "share": share, "seconds_of_search": seconds}

    def train(seed: int, epochs: int) -> Row:
        found, told = theirs()
        return {**told, **found.recovered(found.space.largest, seed, epochs)}

    try:
        return kept(file, wanted, train)
    except Exception as error:  # of another library
        return [{"name": name, "reason": one_line(error)[-200:]}]


def of_ours(made: Callable[[], Study], rows: Sequence[Row], folder: Path) -> list[Row]:
    """Train the winners of recover-then-decide for as many epochs as all candidates had; see ``of_fastnas``."""

    def train(seed: int, epochs: int) -> Row:
        own = candidates(rows, seed)
        winner, _ = halved([row["curve"] for row in own])
        return {"name": "recover, then decide", **made().recovered(own[winner]["arch"], seed, epochs)}

    wanted = [(seed, spent(rows, seed)) for seed in seeds_of(rows)]
    return kept(folder / f"{rows[0]['setting']['model']}-longer.jsonl", wanted, train)


def kept(file: Path, wanted: Sequence[tuple[int, int]], train: Callable[[int, int], Row]) -> list[Row]:
    """Return a line for each seed and number of epochs, from the file or trained now."""
    done = {(row["seed"], row["epochs"]): row for row in (read(file) if file.exists() else [])}
    for seed, epochs in wanted:
        if (seed, epochs) not in done:
            done[seed, epochs] = {"seed": seed, "epochs": epochs, **train(seed, epochs)}
            with file.open("a") as out:
                out.write(json.dumps(done[seed, epochs]) + "\n")
    return [done[each] for each in wanted]


def seeds_of(rows: Sequence[Row]) -> list[int]:
    """Return the seeds of our candidates."""
    return sorted({row["seed"] for row in rows})


def candidates(rows: Sequence[Row], seed: int) -> list[Row]:
    """Return what recover-then-decide chooses from."""
    return [row for row in rows if row["seed"] == seed and not row["name"].startswith("uniform")]


def spent(rows: Sequence[Row], seed: int) -> int:
    """Return the epochs of recover-then-decide."""
    return halved([row["curve"] for row in candidates(rows, seed)])[1]


# --- table -----------------------------------------------------------------------------------------------------------


def report(rows: Sequence[Row], others: Sequence[Row]) -> str:
    """Return a line for each way to choose, and for each network that was trained besides.

    Args:
        rows: of our candidates.
        others: of our winners and of FastNAS.
    """
    setting, seeds = rows[0]["setting"], seeds_of(rows)
    found = [choices([row for row in rows if row["seed"] == seed]) for seed in seeds]
    ways = {
        name: [(each[name]["divergence"], each[name]["test"], each[name]["epochs"]) for each in found]
        for name in found[0]
    }
    told = []
    for name in dict.fromkeys(row["name"] for row in others):
        own = [row for row in others if row["name"] == name]
        if "reason" in own[0]:
            told.append(f"{name} failed: {own[0]['reason']}")
            continue
        if "share" in own[0]:
            seconds = f"found in {own[0]['seconds_of_search']:.0f} s of CPU"
            told.append(f"{name}: {own[0]['share']:.1%} of the multiply-adds, {seconds}.")
        for row in own:
            way = name if row["epochs"] == setting["epochs"] else f"{name}, longer"
            ways.setdefault(way, []).append((row["curve"][-1], row["test"][setting["metric"]], row["epochs"]))
    ours = np.array(ways["recover, then decide"])
    head = ["choice", "epochs", "divergence", "more than the first", f"test {setting['metric']}", "less than the first"]
    lines = [head, ["---"] * len(head)]
    for name, values in ways.items():
        figures = np.array(values)
        gaps = figures - ours
        shown = [spread(each) for each in (figures[:, 0], gaps[:, 0], figures[:, 1], -gaps[:, 1])]
        lines.append([name, f"{figures[:, 2].mean():.0f}", *shown])
    text = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    return "\n".join([text, *told, f"{len(seeds)} seeds."]) + "\n"


def spread(values: NDArray[np.float64]) -> str:
    """Return the mean and its standard error."""
    return f"{values.mean():.4f} ± {standard_error(values):.4f}"


def main(argv: Sequence[str] | None = None) -> None:
    assert __doc__
    args, folder = parsed(__doc__.splitlines()[0], "results/modelopt_side_by_side", argv)
    rows = run(args, folder / f"{args.model}.jsonl")
    made = cache(partial(study, args))
    scores = SCORES if args.model in IMAGES else ("divergence",)
    others = of_ours(made, rows, folder)
    others += [row for score in scores for row in of_fastnas(made, rows, score, folder)]
    text = report(rows, others)
    (folder / f"{args.model}.md").write_text(text)
    print(text, end="")


if __name__ == "__main__":
    main()
