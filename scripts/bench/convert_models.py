"""``raynas.convert`` on the models that users have, beside other libraries that make given models smaller.

For each model: CPU seconds to convert, what varies and what does not, whether the largest member equals the given model
(outputs to 1e-5, params, MACs), and of random members how many are built, run, are counted, are extracted from the
supernet, and agree with it. The first members (``--closely``), of which one is the smallest, are trained for a step too
and must compute what the given model does when all that they lack is silent (``silenced.py``). So must the smallest
network of every other library (``numbered.py``).

    python scripts/bench/convert_models.py
    python scripts/bench/convert_models.py --models MLP "torchvision resnet18" --tools raynas --members 5
    python scripts/bench/convert_models.py --quick

Libraries that are not installed are said so in the table. Each model has its process and its time limit. The
file of results has a line for each model and tool: what is there is not run again, so that an interrupted run can be
resumed.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))  # for the modules beside this file
from scripts.bench.conversion_checks import one
from scripts.bench.conversion_tables import TOOLS, report
from scripts.bench.given_models import MODELS, QUICK
from scripts.bench.search_quality import read


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
