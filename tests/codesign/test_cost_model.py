from itertools import product as pairs
from math import prod

import numpy as np
import pytest

from raynas.codesign.accelerator import SYSTOLIC, Accelerator
from raynas.codesign.cost_model import ProductOnArray, cost_on
from raynas.codesign.products import MatrixProduct
from raynas.codesign.technology import MOVES, SUM_BITS, dram_pj_per_bit, multiply_add_pj, sram_pj_per_bit
from tests.codesign.systolic import Array, Buffer, parts

SHAPES = [(5, 4, 7), (4, 4, 4), (1, 6, 9), (9, 1, 3), (10, 11, 1), (1, 1, 1), (13, 8, 17)]
ARRAYS = [(4, 4), (3, 5), (8, 2), (1, 1)]


def run(shape: tuple[int, int, int], rows: int, cols: int, dataflow: str) -> Array:
    """Compute a product fold by fold on the simulated array, and check the result."""
    m, n, k = shape
    rng = np.random.default_rng(0)
    inputs, weights = rng.integers(0, 9, (m, k)), rng.integers(0, 9, (k, n))
    array, result = Array(rows, cols), np.zeros((m, n), dtype=np.int64)
    if dataflow == "output_stationary":
        for i, j in pairs(parts(m, rows), parts(n, cols)):
            result[i, j] = array.keep_outputs(inputs[i], weights[:, j])
    elif dataflow == "weight_stationary":
        for i, j in pairs(parts(k, rows), parts(n, cols)):
            result[:, j] += array.keep_operand(weights[i, j], inputs[:, i])
    else:
        for i, j in pairs(parts(k, rows), parts(m, cols)):
            result[j] += array.keep_operand(inputs.T[i, j], weights.T[:, i]).T
    assert (result == inputs @ weights).all()
    return array


@pytest.mark.parametrize("dataflow", SYSTOLIC)
@pytest.mark.parametrize("rows, cols", ARRAYS)
@pytest.mark.parametrize("shape", SHAPES)
def test_cycles_and_accesses_are_those_of_a_simulated_array(
    shape: tuple[int, int, int], rows: int, cols: int, dataflow: str
) -> None:
    simulated = run(shape, rows, cols, dataflow)
    mapped = ProductOnArray(MatrixProduct(*shape), Accelerator(rows=rows, cols=cols, dataflow=dataflow, bits=4))
    assert mapped.compute_cycles == simulated.cycles
    flow = SYSTOLIC[dataflow]
    seen = {flow.stationary: simulated.stationary, flow.by_row: simulated.by_row, flow.by_col: simulated.by_col}
    # Each number of the output is written whenever it leaves the array, and read before all but the first time.
    accesses = {**seen, "output": 2 * seen["output"] - shape[0] * shape[1]}
    assert mapped.sram_bits == {o: n * (SUM_BITS if o == "output" else 4) for o, n in accesses.items()}


def test_the_equation_of_scale_sim_by_hand() -> None:
    product = MatrixProduct(m=20, n=8, k=9)  # 3 x 1 folds on 8 x 8: (2 * 8 + 8 + 9 - 2) * 3
    assert ProductOnArray(product, Accelerator(rows=8, cols=8)).compute_cycles == 93
    # Weights stay: rows 9, columns 8, time 20: 2 x 1 folds, (2 * 8 + 8 + 20 - 2) * 2
    assert ProductOnArray(product, Accelerator(rows=8, cols=8, dataflow="weight_stationary")).compute_cycles == 84
    # Inputs stay: rows 9, columns 20, time 8: 2 x 3 folds, (2 * 8 + 8 + 8 - 2) * 6
    assert ProductOnArray(product, Accelerator(rows=8, cols=8, dataflow="input_stationary")).compute_cycles == 180
    # A depthwise convolution is a product of one filter for each channel.
    assert ProductOnArray(MatrixProduct(20, 8, 9, groups=5), Accelerator(rows=8, cols=8)).compute_cycles == 5 * 93


def loads(mapped: ProductOnArray, *, rows_outside: bool) -> dict[str, int]:
    """Run the loops over folds with buffers that hold what they have room for; return the bits loaded by operand."""
    array, flow, p = mapped.accelerator, mapped.dataflow, mapped.product
    folds = [parts(size, side) for size, side in zip(mapped.sizes[:2], (array.rows, array.cols), strict=True)]
    buffers = {}
    for operand, axis in ((flow.by_row, 0), (flow.by_col, 1)):
        width = SUM_BITS if operand == "output" else array.bits
        sizes = {i: (part.stop - part.start) * mapped.sizes[2] for i, part in enumerate(folds[axis])}
        buffers[operand] = Buffer(array.buffer_kb[operand] * 1024 * 8 / 2 / width, sizes)
    order = pairs(*(range(len(f)) for f in (folds if rows_outside else folds[::-1])))
    for first, second in order:
        row, col = (first, second) if rows_outside else (second, first)
        buffers[flow.by_row].use(row)
        buffers[flow.by_col].use(col)
    whole = {"input": p.m * p.k, "weight": p.k * p.n, "output": p.m * p.n}
    numbers = {flow.stationary: whole[flow.stationary], **{o: b.loaded for o, b in buffers.items()}}
    spilled = 2 * (numbers["output"] - whole["output"]) * SUM_BITS
    return {
        "input": numbers["input"] * array.bits,
        "weight": numbers["weight"] * array.bits,
        "output": whole["output"] * array.bits + spilled,
    }


@pytest.mark.parametrize("dataflow", SYSTOLIC)
@pytest.mark.parametrize("kb", [(1, 1, 1), (2, 8, 4), (16, 1, 64), (64, 64, 64)])
@pytest.mark.parametrize("shape", [(100, 60, 90), (300, 17, 33), (40, 200, 130)])
def test_traffic_is_that_of_simulated_buffers(shape: tuple[int, int, int], kb: tuple[int, ...], dataflow: str) -> None:
    sizes = dict(zip(("input_kb", "weight_kb", "output_kb"), kb, strict=True))
    mapped = ProductOnArray(MatrixProduct(*shape), Accelerator(rows=8, cols=16, dataflow=dataflow, **sizes))
    both = [loads(mapped, rows_outside=order) for order in (True, False)]
    assert mapped.dram_bits == min(both, key=lambda bits: sum(bits.values()))


def test_traffic_by_hand() -> None:
    # 128 x 64 inputs are 8 kB and do not fit into half of 8 kB; the 64 x 32 weights do: everything moves once.
    product = MatrixProduct(m=128, n=32, k=64)
    small = Accelerator(rows=16, cols=16, input_kb=8, weight_kb=4)
    assert ProductOnArray(product, small).dram_bits == {"input": 8 * 8192, "weight": 8 * 2048, "output": 8 * 4096}
    # No two windows of a convolution load the same number twice.
    overlapping = MatrixProduct(m=128, n=32, k=64, n_inputs=1000)
    assert ProductOnArray(overlapping, small).dram_bits["input"] == 8000


def test_latency_is_a_roofline() -> None:
    product = MatrixProduct(m=1, n=1000, k=1000)  # every weight is used once: memory decides
    slow, fast = (Accelerator(rows=32, cols=32, dram_gb_per_s=bandwidth) for bandwidth in (0.5, 1e6))
    n_bytes = 1000 * 1000 + 1000 + 1000
    assert cost_on([product], slow).latency_ms == pytest.approx(1e3 * n_bytes / 0.5e9)
    mapped = ProductOnArray(product, fast)
    assert mapped.cycles == mapped.compute_cycles
    assert cost_on([product, product], fast).cycles == 2 * mapped.cycles


def test_energy_is_arithmetic_and_accesses() -> None:
    product = MatrixProduct(m=16, n=16, k=10)  # one fold
    accelerator = Accelerator(rows=16, cols=16, input_kb=8, weight_kb=32, output_kb=1024)
    n_in, n_out = 16 * 10 * 8, 16 * 16
    on_chip = 2 * n_in * sram_pj_per_bit(8) + 2 * n_in * sram_pj_per_bit(32)  # filled, then read
    on_chip += (n_out * SUM_BITS + n_out * 8) * sram_pj_per_bit(1024)
    outside = (2 * n_in + n_out * 8) * dram_pj_per_bit()
    expected = prod((16, 16, 10)) * (1 + MOVES) * multiply_add_pj(8) + on_chip + outside
    assert cost_on([product], accelerator).energy_mj == pytest.approx(expected / 1e9)
