"""The name of a search's folder, by which the same command resumes and a different search starts, and its title."""

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from raynas.cli.flags import DEMO_DATA
from raynas.cli.funnel_flags import without_numbers

NO_OTHER_SEARCH = frozenset(
    (
        *(
            "space.name",
            "model.name",
            "strategy.name",
            "trainable.name",
            "trainable.data",
            "trainable.fn",
            "seed",
            "num_samples",
        ),
        *("name", "results", "address", "progress", "tensorboard", "trackers", "compare_random", "tolerance"),
        *("max_concurrent", "max_trial_seconds", "retry_failed", "on_change", "max_failures_in_a_row"),
        *("retrain.epochs", "retrain.space", "repeats.top", "repeats.seeds"),
        *("trainable.data_dir", "trainable.device", "trainable.gpus", "trainable.n_threads", "trainable.bulk"),
        *("trainable.stream_above_gb", "trainable.data_workers", "trainable.cache_images"),
    )
)
"""Options that are in a search's name already, or that leave it the same search."""


def search_name(names: Mapping[str, str], changed: Mapping[str, Any]) -> str:
    """Return the name of a search without one.

    Args:
        names: the name chosen from each table.
        changed: the options, by path, that do not have their default.
    """
    about = str(changed.get("trainable.fn") or changed.get("trainable.data") or DEMO_DATA)
    about = re.sub(r"\W+", "_", Path(re.sub(r"^(npz|folder|shards):", "", about)).stem)
    funnel = ["funnel"] if changed.get("funnel") else []
    space = re.sub(r"\W+", "_", names["space"].partition("(")[0])
    parts = [space, about, *funnel, *(["subnets"] if "method" in names else []), names["strategy"]]
    parts += [f"seed{changed['seed']}"] if "seed" in changed else []
    other = {key: value for key, value in changed.items() if key not in NO_OTHER_SEARCH}
    if "(" in names["space"]:
        other["space"] = names["space"]
    other |= {"funnel": without_numbers(other["funnel"])} if funnel else {}
    parts += [hashlib.sha256(json.dumps(other, sort_keys=True).encode()).hexdigest()[:6]] if other else []
    return "-".join(parts)


def search_title(names: Mapping[str, str], data: str, n_stages: int = 0) -> str:
    """Return space, data and strategy in a line.

    Args:
        names: the name chosen from each table.
        data: its name; "" if there is none.
        n_stages: of a funnel.
    """
    data = re.sub(r"^(npz|folder):(.*/)?", "", data)
    title = f"{names['space']}{f' on {data}' if data else ''}, {names['strategy']}"
    if n_stages:
        return f"{title}, a funnel of {n_stages} stages"
    return title if names["early_stopping"] == "none" else f"{title} + {names['early_stopping']}"
