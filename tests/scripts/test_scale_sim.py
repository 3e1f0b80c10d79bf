"""The benchmark beside SCALE-Sim, whose figures are kept here: SCALE-Sim itself need not be installed."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from scripts.bench.scale_sim import ARRAYS, LAYERS, OPERANDS, main, ours

# Cycles, numbers that the array reads and writes, numbers loaded: what SCALE-Sim says.
FIGURES = [
    ("16 x 16", "expansion", "weight_stationary", 10890, (117600, 9600, 141120), (7840, 9600)),
    ("16 x 16", "expansion", "input_stationary", 11154, (7840, 124800, 141120), (7840, 9600)),
    ("16 x 16", "cell", "weight_stationary", 9630, (147456, 2304, 147456), (18496, 2304)),
    ("16 x 16", "linear", "input_stationary", 79560, (960, 1228800, 76800), (960, 1228800)),
    ("12 x 14", "channel", "weight_stationary", 232, (1764, 9, 196), (256, 9)),
    ("12 x 14", "expansion", "input_stationary", 15456, (7840, 134400, 188160), (7840, 9600)),
]


@pytest.mark.parametrize("array, layer, dataflow, cycles, sram, dram", FIGURES)
def test_the_equations_agree_with_scale_sim(
    array: str, layer: str, dataflow: str, cycles: int, sram: tuple[int, ...], dram: tuple[int, ...]
) -> None:
    found = ours(LAYERS[layer].product, replace(ARRAYS[array], dataflow=dataflow))
    assert found.cycles == cycles and tuple(found.sram[operand] for operand in OPERANDS) == sram
    assert (found.dram["input"], found.dram["weight"]) == dram


STUB = {
    "scale_config": "class scale_config:\n    def update_from_list(self, given): self.flow = given[9]",
    "topology_utils": (
        "class topologies:\n    def load_layer_params_from_list(self, name, row): self.row = row\n"
        "    def topo_calc_hyperparams(self): pass"
    ),
    "single_layer_sim": (
        "class Part:\n    def __getattr__(self, name): return lambda *given: (0, [1] * 7, [1] * 7)[:3] "
        "if 'matri' in name else 5\n"
        "class single_layer_sim:\n    op_mat_obj = compute_system = Part()\n    def set_params(self, **given): pass"
    ),
}


def test_the_table_names_both_where_they_differ(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    package = tmp_path / "scalesim"
    package.mkdir()
    for name, code in {"__init__": "", **STUB}.items():
        (package / f"{name}.py").write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in [name for name in sys.modules if name.split(".")[0] == "scalesim"]:
        monkeypatch.delitem(sys.modules, name)
    main(["--layers", "channel", "--no-memory"])
    title, _, *rows = capsys.readouterr().out.splitlines()
    assert len(rows) == 6 and title.count("|") == rows[0].count("|") == 8
    assert rows[1].startswith("| 16 x 16 | channel | weight | 242 / 7 | 1764 / 5 | 9 / 5 | 196 / 5 |")
    for name in [name for name in sys.modules if name.split(".")[0] == "scalesim"]:
        sys.modules.pop(name)
