"""A small table for tests: what training would say of every member of a toy space."""

from pathlib import Path
from typing import Any

import pandas as pd

from raynas.testing import ToySpace
from raynas.trials import Tabular

SPACE = ToySpace(n_layers=2, n_options=3)  # of 12 members
ARCHS = list(SPACE.enumerate())


def frame(**changes: Any) -> pd.DataFrame:
    """Percent at 1, 3 and 9 epochs: the more training the better, by the accuracy of the space."""
    rows = [
        {
            "arch": arch.to_json(),
            **{f"acc_{epochs}": 100 * SPACE.accuracy(arch) * epochs / 9 for epochs in (1, 3, 9)},
            **{f"hours_{epochs}": 0.5 * epochs for epochs in (1, 3, 9)},
            "k_params": SPACE.params(arch) / 1000,
            "seconds": 4.0,
        }
        for arch in ARCHS
    ]
    table: pd.DataFrame = pd.DataFrame(rows).assign(**changes)
    return table


def settings(path: str, **changes: Any) -> Tabular:
    given: dict[str, Any] = {
        "metrics": {"accuracy": "acc_{}", "params": "k_params"},
        "fidelities": (1, 3, 9),
        "scale": {"accuracy": 0.01, "params": 1000},
    }
    return Tabular(table=path, **given | changes)


def written(directory: Path) -> str:
    """The path of the table as a file."""
    path = str(directory / "table.csv.gz")
    frame().to_csv(path, index=False)
    return path
