"""Results of searches, and their summaries."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from raynas.core.archive import Archive
from raynas.core.result import SearchResult
from raynas.metrics import read_goal
from raynas.search_spaces import MLP
from raynas.views.report import Summary, summarise

Trial = tuple[str, int, float, float, float]
"""Status, epochs, accuracy, latency_ms, params."""

TRIALS: tuple[Trial, ...] = (
    ("finished", 9, 0.90, 2.0, 20_000),
    ("finished", 9, 0.95, 4.0, 30_000),
    ("finished", 9, 0.85, 1.0, 40_000),
    ("finished", 9, 0.80, 3.0, 50_000),
    ("stopped", 3, 0.99, 1.0, 10_000),
    ("failed", 0, 0.0, 0.0, 0.0),
)


def searched(
    trials: Iterable[Trial] = TRIALS,
    objectives: str | tuple[str, ...] = "accuracy",
    constraints: str | tuple[str, ...] = (),
    refused: int = 0,
    repaired: int = 0,
    path: Path = Path("results/name"),
    baseline: Mapping[str, float] | None = None,
    interrupted: bool = False,
) -> SearchResult:
    """What a search would give that had these trials."""
    archive = Archive()
    architectures = MLP().enumerate()
    for i, (status, epochs, accuracy, latency, params) in enumerate(trials, 1):
        trial, config = f"{i:05d}", {"arch": next(architectures).to_config(), "lr": 0.1 * i}
        archive.append("proposed", trial=trial, config=config, costs={})
        metrics = {"accuracy": accuracy, "latency_ms": latency, "params": params} if status != "failed" else {}
        error = "epoch 1: it broke" if status == "failed" else ""
        archive.append("ended", trial=trial, status=status, fidelity=epochs, metrics=metrics, error=error)
    for _ in range(refused):
        archive.append("refused", config={"arch": next(architectures).to_config()}, metrics={}, reason="too large")
    for _ in range(repaired):
        config = {"arch": next(architectures).to_config()}
        archive.append("repaired", config=config, proposal=config)
    goal = read_goal(objectives, constraints).against(baseline or {})
    return SearchResult(space=MLP(), goal=goal, archive=archive, path=path, interrupted=interrupted)


def summary_of(result: SearchResult, random: SearchResult | None = None) -> Summary:
    return summarise(
        result,
        title="mlp on digits, evolution + asha",
        random=random,
        retrained={"test_accuracy": 0.93, "test_loss": 0.2, "epochs": 30},
        notes=["A note."],
        files={"archive": "results/name/" + 80 * "x" + "/archive.jsonl"},
        commands={"look closer": "tensorboard --logdir results/name/tensorboard"},
    )
