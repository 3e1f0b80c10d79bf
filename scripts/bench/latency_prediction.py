"""Latency predicted: from 900 measured cells of one device, and from 10 of a new device with archives of nine others.

Tables of NAS-Bench-201 (not in the project): a column "arch_str" and a column "latency_ms_NAME" for each device. Cells
without a path from input to output are excluded. One device at a time is the new one; what is set by data
is set by the nine others. Rows are appended to a file as they are found, so a bench that was stopped continues.
"""

import argparse
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import spearmanr

from raynas.core.architecture import Architecture
from raynas.metrics.latency_predictor import (
    MODELS,
    TRANSFERS,
    DeviceLatencies,
    LatencyPredictor,
    choose_networks,
    prediction_error,
)
from raynas.metrics.latency_predictor.selection import Rule
from raynas.search_spaces.nasbench201 import NASBench201, from_arch_str
from scripts.bench.search_quality import read

Row = dict[str, object]

FAMILIES = ("1080ti", "silver")
"""Beginnings of names that several devices share: batch sizes of one GPU, processors of one series."""

_PREFIX = "latency_ms_"


@dataclass(frozen=True, eq=False)  # equal if the same, so that choices can be cached
class Table:
    """Latencies of the cells that have a path from input to output.

    Args:
        archs: the cells.
        ms: by device, ``(n_cells,)``.
        macs: of each cell.
        n_dead: number of cells left out.
    """

    archs: Sequence[Architecture]
    ms: Mapping[str, NDArray[np.float64]]
    macs: NDArray[np.float64]
    n_dead: int

    @classmethod
    def read(cls, paths: Sequence[Path], devices: Sequence[str] = ()) -> "Table":
        """Join tables by cell; devices of equal names or all equal latencies come once."""
        frame = pd.read_csv(paths[0])
        for path in paths[1:]:
            new = pd.read_csv(path)
            frame = frame.merge(new[["arch_str", *new.columns.difference(frame.columns)]], on="arch_str")
        space = NASBench201()
        archs = [from_arch_str(text) for text in frame["arch_str"]]
        alive = np.array([space.function_key(arch) != "" for arch in archs])
        names = [
            name for name in map(str, frame) if name.startswith(_PREFIX) and name != f"{_PREFIX}1080ti"
        ]  # 1080ti_1 again
        ms = {name.removeprefix(_PREFIX): frame[name].to_numpy(float)[alive] for name in names}
        kept = [arch for arch, is_alive in zip(archs, alive, strict=True) if is_alive]
        macs = frame["macs_M"].to_numpy(float)[alive]
        return cls(kept, {name: ms[name] for name in devices or ms}, macs, int((~alive).sum()))

    def latencies(self, device: str, cells: NDArray[np.int64]) -> DeviceLatencies:
        """Return some of a device's latencies."""
        return DeviceLatencies(
            device=device, archs=[self.archs[i] for i in cells], ms=[float(v) for v in self.ms[device][cells]]
        )


def split(n: int, n_known: int, n_compared: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Draw the cells that are measured and those that are compared with."""
    order = np.random.default_rng(seed).permutation(n)
    return order[:n_known], order[n_known : n_known + n_compared]


def mirror(arch: Mapping[str, object]) -> Architecture | None:
    """Return the cell with its inner nodes swapped, which is the same network; None where an edge joins them."""
    if arch["edge_1_2"] != "none":
        return None
    swapped = {"edge_0_1": "edge_0_2", "edge_0_2": "edge_0_1", "edge_1_3": "edge_2_3", "edge_2_3": "edge_1_3"}
    return Architecture({name: arch[swapped.get(name, name)] for name in arch})  # type: ignore[misc]


def noise(table: Table, device: str) -> Row:
    """Compare measurements of equal networks: no predictor knows one of them better than the other says."""
    numbers = {arch: i for i, arch in enumerate(table.archs)}
    pairs = [(i, numbers[twin]) for arch, i in numbers.items() if (twin := mirror(arch)) and numbers[twin] > i]
    first, second = table.ms[device][np.array(pairs).T]
    error = prediction_error(first, second, "mirrored")
    return {"part": "noise", "device": device, "pairs": len(pairs), "within": error.within, "spearman": error.spearman}


def one_device(table: Table, device: str, model: str, seed: int, n_known: int, n_compared: int) -> Row:
    """Learn from measured cells and compare on others."""
    known, compared = split(len(table.archs), n_known, n_compared, seed)
    began = time.process_time()
    predictor = LatencyPredictor.fit(NASBench201(), table.latencies(device, known), model, seed=seed)
    seconds = time.process_time() - began
    found = prediction_error(
        predictor.predict([table.archs[i] for i in compared]).ms, table.ms[device][compared], "others"
    )
    own = predictor.error
    return {
        "part": "one device",
        "device": device,
        "model": model,
        "seed": seed,
        **{name: getattr(found, name) for name in ("within", "spearman", "kendall", "bias")},
        "validated_within": own.within,
        "validated_spearman": own.spearman,
        "seconds": seconds,
    }


@cache
def chosen_cells(
    table: Table, others: Sequence[str], rule: Rule, seed: int, n_known: int, n_compared: int
) -> NDArray[np.int64]:
    """Choose ten cells to measure on a new device."""
    known, _ = split(len(table.archs), n_known, n_compared, seed)
    numbers = {table.archs[i]: i for i in known}
    archives = [table.latencies(other, known) for other in others]
    return np.array([numbers[arch] for arch in choose_networks(NASBench201(), archives, 10, rule=rule, seed=seed)])


def transferred(
    table: Table, device: str, method: str, rule: Any, families: bool, seed: int, n_known: int, n_compared: int
) -> Row:
    """Learn from the other devices and ten cells of this one."""
    known, compared = split(len(table.archs), n_known, n_compared, seed)
    kin = [family for family in FAMILIES if families and device.startswith(family)]
    others = tuple(name for name in table.ms if name != device and not any(name.startswith(family) for family in kin))
    row: Row = {"part": "transfer", "device": device, "method": method, "rule": rule, "families": families}
    row |= {"seed": seed, "devices": len(others)}
    if method == "macs":
        return row | {"spearman": float(spearmanr(table.macs[compared], table.ms[device][compared]).statistic)}
    began = time.process_time()
    archives = [table.latencies(other, known) for other in others]
    measured = table.latencies(device, chosen_cells(table, others, rule, seed, n_known, n_compared))
    predictor = LatencyPredictor.transfer(NASBench201(), archives, measured, method, seed=seed)
    seconds = time.process_time() - began
    found = prediction_error(
        predictor.predict([table.archs[i] for i in compared]).ms, table.ms[device][compared], "others"
    )
    figures = {name: getattr(found, name) for name in ("within", "spearman", "kendall", "bias")}
    return row | figures | {"validated_spearman": predictor.error.spearman, "seconds": seconds}


def jobs(args: argparse.Namespace, table: Table) -> Iterator[tuple[Row, object]]:
    """Yield what identifies a row, and the function that finds it."""
    sizes = (args.known, args.compared)
    for device in table.ms:
        yield {"part": "noise", "device": device}, lambda d=device: noise(table, d)
    for seed, model in ((seed, model) for seed in range(args.seeds) for model in args.models):
        device = args.device or next(iter(table.ms))
        key: Row = {"part": "one device", "device": device, "model": model, "seed": seed}
        yield key, lambda d=device, m=model, s=seed: one_device(table, d, m, s, *sizes)
    plans = [("macs", "", False), ("mixture", "variance", False), ("help", "variance", False)]
    plans += [("nasflat", "variance", False), ("mixture", "random", False), ("mixture", "diverse", False)]
    plans += [("nasflat", "diverse", False), ("help", "random", False), ("mixture", "variance", True)]
    for seed, (method, rule, families), device in (
        (s, plan, d)
        for s in range(args.seeds)
        for plan in plans
        if plan[0] in args.methods
        for d in args.new or table.ms
    ):
        if rule and rule not in args.rules:
            continue
        if families and not any(device.startswith(family) for family in FAMILIES):
            continue
        key = {"part": "transfer", "device": device, "method": method, "rule": rule, "families": families, "seed": seed}
        yield key, lambda d=device, m=method, r=rule, f=families, s=seed: transferred(table, d, m, r, f, s, *sizes)


def summary(rows: Sequence[Row]) -> str:
    """Write the rows as tables, means over seeds."""
    frame = pd.DataFrame(rows)
    parts = []
    noisy = frame[frame["part"] == "noise"]
    if len(noisy):
        lines = ["| device | pairs | within 10 % | Spearman |", "| --- | --- | --- | --- |"]
        lines += [f"| {r.device} | {r.pairs:.0f} | {r.within:.1%} | {r.spearman:.3f} |" for r in noisy.itertuples()]
        parts.append("## The same network measured twice\n\n" + "\n".join(lines))
    single = frame[frame["part"] == "one device"]
    if len(single):
        lines = [
            "| device | model | seeds | within 10 % | Spearman | Kendall | bias "
            "| cross-validated: within 10 % | Spearman | CPU s |",
            "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
        ]
        for (device, model), own in single.groupby(["device", "model"], sort=False):
            m = own.mean(numeric_only=True)
            lines.append(
                f"| {device} | {model} | {len(own)} | {m.within:.1%} | {m.spearman:.3f} | {m.kendall:.3f} "
                f"| {m.bias:+.1%} | {m.validated_within:.1%} | {m.validated_spearman:.3f} | {m.seconds:.0f} |"
            )
        parts.append("## From one device\n\n" + "\n".join(lines))
    moved = frame[frame["part"] == "transfer"]
    if len(moved):
        devices = list(dict.fromkeys(moved["device"]))
        lines = ["| method | chosen by | seeds | mean | within 10 % | CPU s | " + " | ".join(devices) + " |"]
        lines.append("| " + " | ".join(["---"] * (6 + len(devices))) + " |")
        for (method, rule, families), own in moved.groupby(["method", "rule", "families"], sort=False):
            by_device = own.groupby("device")["spearman"].mean()
            m = own.mean(numeric_only=True)
            within = "" if np.isnan(m.get("within", np.nan)) else f"{m['within']:.1%}"
            seconds = "" if np.isnan(m.get("seconds", np.nan)) else f"{m['seconds']:.0f}"
            title = f"{method}, no other of its family" if families else method
            figures = " | ".join(f"{by_device[d]:.3f}" if d in by_device else "" for d in devices)
            lines.append(
                f"| {title} | {rule} | {own['seed'].nunique()} | {by_device.mean():.4f} | {within} "
                f"| {seconds} | {figures} |"
            )
        parts.append("## From ten measurements and other devices: Spearman\n\n" + "\n".join(lines))
    return "\n\n".join(parts) + "\n"


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--latencies", type=Path, nargs="+", required=True, help="CSV tables, with macs_M in the first")
    parser.add_argument("--rows", type=Path, required=True, help="JSON lines that rows are appended to")
    parser.add_argument("--device", default="", help="of the prediction from one device; default: the first")
    parser.add_argument("--devices", nargs="*", default=(), help="default: all")
    parser.add_argument("--new", nargs="*", default=(), help="devices that are new in turn; default: all")
    parser.add_argument("--models", nargs="*", default=list(MODELS))
    parser.add_argument("--methods", nargs="*", default=["macs", *TRANSFERS])
    parser.add_argument("--rules", nargs="*", default=list(get_args(Rule)), help="by which networks are chosen")
    parser.add_argument("--known", type=int, default=900, help="cells measured on each known device")
    parser.add_argument("--compared", type=int, default=3000, help="other cells that predictions are compared on")
    parser.add_argument("--seeds", type=int, default=1)
    args = parser.parse_args(argv)
    table = Table.read(args.latencies, args.devices)
    rows = read(args.rows) if args.rows.exists() else []
    for key, find in jobs(args, table):
        if not any(all(row.get(name) == value for name, value in key.items()) for row in rows):
            rows.append(find())  # type: ignore[operator]
            with args.rows.open("a") as file:
                file.write(json.dumps(rows[-1]) + "\n")
    print(f"{len(table.archs)} cells, {table.n_dead} more without a path from input to output.\n\n{summary(rows)}")


if __name__ == "__main__":
    main()
