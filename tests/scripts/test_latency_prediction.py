"""The benchmark of predicted latency, at its smallest, on devices that are made up."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from raynas.search_spaces import NASBench201
from raynas.search_spaces.nasbench201 import from_arch_str, to_arch_str
from scripts.bench.latency_prediction import Table, main, mirror
from scripts.bench.search_quality import read
from tests.metrics.latency_predictor.made_up import COSTS, milliseconds


def table_of(path: Path, n: int) -> Path:
    space, rng = NASBench201(), np.random.default_rng(0)
    archs = list(dict.fromkeys(space.sample(rng) for _ in range(n)))
    archs += [twin for arch in archs if (twin := mirror(arch)) and twin not in set(archs)]
    columns = {f"latency_ms_{device}": milliseconds(device, archs) for device in COSTS}
    frame = pd.DataFrame({"arch_str": [to_arch_str(a) for a in archs], "macs_M": np.arange(len(archs)), **columns})
    frame.to_csv(path, index=False)
    return path


def test_a_mirrored_cell_computes_the_same() -> None:
    arch = from_arch_str("|nor_conv_3x3~0|+|skip_connect~0|none~1|+|none~0|avg_pool_3x3~1|nor_conv_1x1~2|")
    twin = mirror(arch)
    assert twin is not None and twin != arch
    assert NASBench201().function_key(twin) == NASBench201().function_key(arch)
    assert mirror({**arch, "edge_1_2": "skip_connect"}) is None


def test_it_runs_small_and_continues_where_it_was(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, rows = table_of(tmp_path / "table.csv", 150), tmp_path / "rows.jsonl"
    command = ["--latencies", str(path), "--rows", str(rows), "--devices", "cpu", "gpu", "dsp", "--models", "linear"]
    command += ["--methods", "macs", "mixture", "--rules", "variance", "--known", "60", "--compared", "80"]
    main(command)
    shown = capsys.readouterr().out
    assert "more without a path" in shown and "| cpu | linear | 1 |" in shown and "| mixture | variance | 1 |" in shown
    found = read(rows)
    assert [row["part"] for row in found].count("transfer") == 3 * 2
    main(command)
    assert capsys.readouterr().out == shown and read(rows) == found


def test_cells_without_a_path_are_left_out(tmp_path: Path) -> None:
    table = Table.read([table_of(tmp_path / "table.csv", 400)], ["cpu"])
    assert table.n_dead > 0
    assert all(NASBench201().function_key(arch) for arch in table.archs)
