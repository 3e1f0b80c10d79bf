"""``raynas.convert`` on the models that users have, beside other libraries that make given models smaller.

For each model: CPU seconds to convert, what varies and what does not, whether the largest member equals the given model
(outputs to 1e-5, params, MACs), and of random members how many are built, run, are counted, are extracted from the
supernet, and agree with it. The first members (``--closely``), of which one is the smallest, are trained for a step too
and must compute what the given model does when all that they lack is silent (``silenced.py``).

    python scripts/bench/convert_models.py
    python scripts/bench/convert_models.py --models MLP "torchvision resnet18" --tools raynas --members 5
    python scripts/bench/convert_models.py --quick

Libraries that are not installed are said so in the table. Each model has its process and its time limit. The
file of results has a line for each model and tool: what is there is not run again, so that an interrupted run can be
resumed.
"""

import argparse
import copy
import json
import subprocess
import sys
import time
import traceback
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import raynas
from raynas.converting import ConvertedSpace
from raynas.core.architecture import Architecture
from raynas.core.inputs import Arguments
from raynas.errors import one_line
from raynas.metrics.cost import MetaModels, count_macs, count_params
from raynas.nn.dimensions.tracing import tensors_in
from raynas.nn.supernet import Supernet

sys.path.insert(0, str(Path(__file__).parents[2]))  # for the modules beside this file
from scripts.bench.given_models import MODELS, QUICK, made
from scripts.bench.pruning_peers import PEERS, examine
from scripts.bench.search_quality import read
from scripts.bench.silenced import output, silenced_output

TOOLS = ("raynas", *PEERS)
CHECKS = ("built", "ran", "counted", "extracted", "supernet")
CLOSE_CHECKS = ("trained", "silenced")
TOLERANCE = 1e-5
"""Largest difference of outputs, as a share of the largest output."""


# --- one model -------------------------------------------------------------------------------------------------------


def checked(model: nn.Module, example: Arguments, n_members: int, n_close: int) -> dict[str, Any]:
    """Convert a model, and return what was found."""
    raynas.convert(nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 2)), torch.rand(1, 4))  # imports of torch
    began = time.process_time()
    space = raynas.convert(model, example)
    row: dict[str, Any] = {"seconds": time.process_time() - began, "params": count_params(model)}
    row |= _what_varies(space)
    expected = output(copy.deepcopy(model).double(), example)  # The given model itself must stay as it is.
    largest = space.build(space.largest)
    row["largest"] = _gap(output(largest.eval().double(), example), expected)
    row["equal_costs"] = [count_params(largest), count_macs(largest.float(), example)] == [
        row["params"],
        count_macs(model, example),
    ]
    row["smallest"] = count_params(space.build(space.smallest)) / row["params"]
    return row | _members(space, model, example, n_members, n_close)


def _what_varies(space: ConvertedSpace) -> dict[str, Any]:
    coarse = sum(group.is_coarse for group in space.groups.values())
    touched = {slot.tensor for group in space.groups.values() for slot in group.slots}
    total = sum(parameter.numel() for parameter in space.plan.wiring.model.parameters())
    return {
        "widths": len(space.groups) - coarse,
        "heads": coarse,
        "depths": len(space.plan.depths),
        "share": sum(tensor.numel() for tensor in touched) / total,
        "fixed": [[each.name, each.reason] for each in space.fixed],
    }


def _members(
    space: ConvertedSpace, model: nn.Module, example: Arguments, n_members: int, n_close: int
) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    archs = [space.smallest, *(space.sample(rng) for _ in range(n_members - 1))][:n_members]
    supernet, counts = Supernet(space).eval(), MetaModels(space)
    passed: dict[str, int] = dict.fromkeys((*CHECKS, *CLOSE_CHECKS), 0)
    reasons: dict[str, str] = {}
    if trains(copy.deepcopy(model), example) is not None:
        del passed["trained"]  # for the given model does not train on this example either
    for i, arch in enumerate(archs):
        for check, reason in _checks(space, supernet, counts, arch, example, closely=i < n_close).items():
            if check in passed and reason is None:
                passed[check] += 1
            elif check in passed and reason is not None:
                reasons.setdefault(check, reason)
    return {"members": len(archs), "closely": min(n_close, len(archs)), "passed": passed, "reasons": reasons}


def _checks(
    space: ConvertedSpace, supernet: Supernet, counts: MetaModels, arch: Architecture, example: Arguments, closely: bool
) -> dict[str, str | None]:
    """Return for each check that was made None, or the reason why it failed."""
    found: dict[str, str | None] = {}
    step = CHECKS[0]
    try:
        member = space.build(arch).eval()
        found[step], step = None, "ran"
        single = _first(member, example)
        found[step], step = None, "counted"
        costs = [count_params(member), count_macs(member, example)]
        told = [counts.params(arch), counts.macs(arch)]
        found[step], step = None if costs == told else f"{told} instead of {costs}", "extracted"
        extracted = supernet.extract(arch).eval()
        found[step], step = _differs(_first(extracted, example), single), "supernet"
        with torch.no_grad():
            found[step] = _differs(next(tensors_in(supernet(example, arch))), single)
        if not closely:
            return found
        step = "silenced"
        found[step] = _differs(output(member.double(), example), silenced_output(space, arch, example))
        found["trained"] = trains(member.float(), example)
    except Exception as error:
        found[step] = one_line(error)[:300]
    return found


def trains(model: nn.Module, example: Arguments) -> str | None:
    """Return None if a training step of all that the model computes has finite gradients, or the reason."""
    model.train()
    try:
        result = example.call(model)
        loss = sum(t.float().square().mean() for t in tensors_in(result) if t.requires_grad)
        assert isinstance(loss, Tensor)
        gradients = torch.autograd.grad(loss, list(model.parameters()), allow_unused=True)
    except Exception as error:
        return one_line(error)[:300]
    finally:
        model.eval()
    finite = all(bool(gradient.isfinite().all()) for gradient in gradients if gradient is not None)
    return None if finite else "gradients that are not finite"


def _first(model: nn.Module, example: Arguments) -> Tensor:
    with torch.no_grad():
        return next(tensors_in(example.call(model)))


def _gap(value: Tensor, expected: Tensor) -> float:
    if value.shape != expected.shape:
        return float("inf")
    return float((value - expected).abs().max() / expected.abs().max().clamp_min(1e-30))


def _differs(value: Tensor, expected: Tensor) -> str | None:
    gap = _gap(value, expected)
    return None if gap <= TOLERANCE else f"differs by {gap:.1e} of the largest output"


def one(name: str, tool: str, n_members: int, n_close: int = 5) -> dict[str, Any]:
    """Return the result of one tool on one model."""
    torch.set_num_threads(1)
    try:
        model, example = made(name)
    except ImportError as error:
        return {"missing": str(error)}
    if tool != "raynas":
        return examine(tool, model, example, n_members)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return checked(model, example, n_members, n_close)
    except Exception as error:
        return {"reason": one_line(error)[:300], "trace": traceback.format_exc()}


# --- all models ------------------------------------------------------------------------------------------------------


def in_a_process(name: str, tools: Sequence[str], args: argparse.Namespace) -> list[dict[str, Any]]:
    """Return the results of tools on one model, computed in another process; a reason for those that it did not end."""
    command = [sys.executable, __file__, "--models", name, "--tools", *tools, "--here"]
    command += ["--members", str(args.members), "--closely", str(args.closely)]
    limit = args.limit
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit)
        printed, reason = done.stdout, f"exit status {done.returncode}: {done.stderr[-300:]}"
    except subprocess.TimeoutExpired as error:
        printed, reason = (error.stdout or b"").decode(), f"not within {limit:g} s"  # bytes, whatever was asked for
    rows = [json.loads(line) for line in printed.splitlines() if line.startswith('{"model":') and line.endswith("}")]
    ended = {row["tool"] for row in rows}
    return [*rows, *({"model": name, "tool": tool, "reason": reason} for tool in tools if tool not in ended)]


def report(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the tables, and the reasons of what is fixed or failed."""
    models = list(dict.fromkeys(row["model"] for row in rows))
    found = {(row["model"], row["tool"]): row for row in rows}
    peers = [tool for tool in PEERS if any(row["tool"] == tool for row in rows)]
    head = ["model", "params", "CPU s", "widths", "heads", "depths", "share", "smallest", "largest equal", "members"]
    lines = ["raynas\n", *_table(head, [[name, *_cells(found.get((name, "raynas")))] for name in models])]
    if peers:
        cells = [[name, *(_peer_cell(found.get((name, peer))) for peer in peers)] for name in models]
        lines += ["", "Others: decisions (CPU s to convert), samples that ran, smallest params\n"]
        lines += _table(["model", *peers], cells)
    lines += _reasons(models, found)
    return "\n".join(lines) + "\n"


def _table(head: Sequence[str], cells: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *cells)]


def _cells(row: Mapping[str, Any] | None) -> list[str]:
    """Return the cells of a model: seconds to the last column of the table."""
    if row is None or "passed" not in row:
        why = "not run" if row is None else "not installed" if "missing" in row else "FAILED"
        return ["", "", "", "", "", "", "", "", why]
    largest = "yes" if row["largest"] <= TOLERANCE and row["equal_costs"] else f"NO: {row['largest']:.0e}"
    wanted = {check: row["closely" if check in CLOSE_CHECKS else "members"] for check in row["passed"]}
    failed = [f"{check} {n} of {wanted[check]}" for check, n in row["passed"].items() if n < wanted[check]]
    members = ", ".join(failed) or f"all {row['members']}"
    counts = [str(row[name]) for name in ("widths", "heads", "depths")]
    return [
        f"{row['params']:,}",
        f"{row['seconds']:.1f}",
        *counts,
        f"{row['share']:.0%}",
        f"{row['smallest']:.0%}",
        largest,
        members,
    ]


def _peer_cell(row: Mapping[str, Any] | None) -> str:
    if row is None:
        return ""
    if "missing" in row:
        return "not installed"
    if "decisions" not in row:
        return "nothing varies" if "any configurable" in row["reason"] else f"no: {row['reason'][:60]}"
    if not row["decisions"]:
        return "nothing varies"
    equal = "" if row.get("largest", 0) <= TOLERANCE else ", largest differs"
    return f"{row['decisions']} ({row['seconds']:.1f}), {row['ran']} ran, {row['smallest']:.0%}{equal}"


def _reasons(models: Sequence[str], found: Mapping[tuple[str, str], Mapping[str, Any]]) -> list[str]:
    lines = ["", "What raynas left fixed, or did wrong\n"]
    for name in models:
        row = found.get((name, "raynas"), {})
        told = [row["reason"]] if "reason" in row else []
        told += [f"{check}: {reason}" for check, reason in row.get("reasons", {}).items()]
        by_reason: dict[str, list[str]] = {}
        for group, reason in row.get("fixed", ()):
            by_reason.setdefault(reason, []).append(group)
        told += [f"{len(groups)} fixed, such as `{groups[0]}`: {reason}" for reason, groups in by_reason.items()]
        lines += [f"- {name}: {each}" for each in told]
    return lines


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Return the command line."""
    assert __doc__
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=list(MODELS), metavar="MODEL")
    parser.add_argument("--tools", nargs="+", default=list(TOOLS), choices=list(TOOLS), metavar="TOOL")
    parser.add_argument("--members", type=int, default=20, help="random members of each model")
    parser.add_argument("--closely", type=int, default=5, help="members that are trained and compared with silence")
    parser.add_argument("--limit", type=float, default=900, help="seconds of a model")
    parser.add_argument("--results", default="results/convert_models", help="folder of results")
    parser.add_argument("--here", action="store_true", help="no other process, no files: print the rows")
    parser.add_argument("--quick", action="store_true", help="two small models, two members: does it run?")
    args = parser.parse_args(argv)
    if args.quick:
        args.models, args.members = list(QUICK), 2
    return args


def main(argv: Sequence[str] | None = None) -> None:
    args = arguments(argv)
    if args.here:
        for tool in args.tools:
            row = one(args.models[0], tool, args.members, args.closely)
            print(json.dumps({"model": args.models[0], "tool": tool} | row), flush=True)
        return
    folder = Path(args.results)
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "convert_models.jsonl"
    rows = read(file)
    done = {(row["model"], row["tool"]) for row in rows}
    for name in args.models:
        if tools := [tool for tool in args.tools if (name, tool) not in done]:
            found = in_a_process(name, tools, args)
            rows += found
            with file.open("a") as out:
                out.writelines(json.dumps(row) + "\n" for row in found)
    chosen = [row for row in rows if row["model"] in args.models and row["tool"] in args.tools]
    chosen.sort(key=lambda row: (args.models.index(row["model"]), TOOLS.index(row["tool"])))
    text = report(chosen)
    (folder / "convert_models.md").write_text(text)
    print(text, end="")


if __name__ == "__main__":
    main()
