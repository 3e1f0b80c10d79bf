"""Folders of searches that have these trials."""

from contextlib import closing
from pathlib import Path
from typing import Any

import torch

from raynas.core.archive import Archive
from raynas.core.result import SearchResult
from raynas.search_spaces import MLP
from raynas.trials.checkpoint import Checkpoint
from tests.views.report.searches import searched


def stored(folder: Path, *, num_samples: int = 6, session: Any = None, **given: Any) -> SearchResult:
    """Write the archive of a search; return its result as the search itself would."""
    result = searched(path=folder, **given)
    about = {
        "space": f"{MLP().name} 0123456789abcdef",
        "title": "MLP on digits, RandomSearch",
        "trainable": "Training()",
        "objectives": [f"{o.mode}:{o.metric}" for o in result.goal.objectives],
        "constraints": [],
        "strategy": "RandomSearch()",
        "seed": 0,
        "num_samples": num_samples,
        "baseline": {},
        "code": {},
        "data": {},
    }
    with closing(Archive(folder / "archive.jsonl")) as archive:
        archive.append("session", **{**about, **(session or {})})
        for record in result.archive:
            archive.append(**record)
    return result


def left_weights(folder: Path, result: SearchResult) -> dict[str, torch.Tensor]:
    """Write the checkpoint of the best trial; return its weights."""
    best = result.best()
    weights = {name: torch.ones_like(tensor) for name, tensor in MLP().build(best.arch).state_dict().items()}
    checkpoint = Checkpoint(best.arch, best.fidelity, {"model": weights, "state": None})
    checkpoint.write(folder / best.trial / "checkpoint_000000")
    return weights
