"""The model of cycles and traffic beside SCALE-Sim, the simulator of the paper that its equations are from.

Layers of AlexNet, NAS-Bench-201 and MobileNetV3 are given to both, on two arrays, with each dataflow. SCALE-Sim moves
addresses cycle by cycle; raynas has equations. Compared are

- cycles of the array, without waiting for memory: those that the requests of the array last,
- numbers that the array reads from the buffers of inputs and weights, and writes to that of outputs,
- numbers that the buffers load from the memory outside.

SCALE-Sim v2 is no part of raynas: https://github.com/scalesim-project/scale-sim-v2.

    PYTHONPATH=scale-sim-v2 python scripts/bench/scale_sim.py
    PYTHONPATH=scale-sim-v2 python scripts/bench/scale_sim.py --layers expansion linear --no-memory
"""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import nn

from raynas.codesign import Accelerator, MatrixProduct, products_of
from raynas.codesign.accelerator import SYSTOLIC
from raynas.codesign.cost_model import ProductOnArray
from raynas.codesign.technology import SUM_BITS

ARRAYS = {"16 x 16": Accelerator(), "12 x 14": Accelerator(rows=12, cols=14, input_kb=36, weight_kb=36, output_kb=36)}
"""The default one, and one of the size of Eyeriss, both with their buffers."""

OPERANDS = ("input", "weight", "output")


@dataclass(frozen=True)
class Layer:
    """A convolution of one example, without padding: that is a part of the inputs.

    Args:
        size: height and width of the inputs, with padding.
        kernel: height and width of the filters.
        channels: number of channels.
        filters: number of filters.
        stride: of the windows.
    """

    size: int
    kernel: int
    channels: int
    filters: int
    stride: int = 1

    @property
    def product(self) -> MatrixProduct:
        """The product as raynas reads it off a network."""
        network = nn.Conv2d(self.channels, self.filters, self.kernel, self.stride, bias=False)
        shape = (1, self.channels, self.size, self.size)
        (found,) = products_of(network, partial(torch.empty, shape, device="meta"))
        return found

    @property
    def row(self) -> list[int]:
        """The layer as SCALE-Sim reads it."""
        return [self.size, self.size, self.kernel, self.kernel, self.channels, self.filters, self.stride, self.stride]


LAYERS = {
    "cell": Layer(34, 3, 16, 16),
    "reduction": Layer(17, 3, 32, 64, 2),
    "expansion": Layer(14, 1, 40, 240),
    "channel": Layer(16, 3, 1, 1),
    "linear": Layer(1, 1, 960, 1280),
    "alexnet": Layer(15, 3, 256, 384),
}
"""A convolution of NAS-Bench-201, one with a stride, an expansion of MobileNetV3, a channel of its depthwise one, its
linear layer, and the third convolution of AlexNet."""


@dataclass(frozen=True)
class Figures:
    """The figures of a layer: cycles, and numbers moved by operand, within the chip and from outside."""

    cycles: int
    sram: Mapping[str, int]
    dram: Mapping[str, int]


def ours(product: MatrixProduct, accelerator: Accelerator) -> Figures:
    """Return the figures of raynas."""
    mapped = ProductOnArray(product, accelerator)
    bits = {operand: accelerator.bits for operand in OPERANDS} | {"output": SUM_BITS}
    sram = {operand: mapped.sram_bits[operand] // bits[operand] for operand in OPERANDS}
    n_outputs = product.m * product.n
    sram["output"] = (sram["output"] + n_outputs) // 2  # written; SCALE-Sim does not count that sums are read again
    dram = {operand: mapped.dram_bits[operand] // accelerator.bits for operand in OPERANDS[:2]}
    return Figures(mapped.compute_cycles, sram, dram)


def theirs(layer: Layer, accelerator: Accelerator, *, memory: bool) -> Figures:
    """Return the figures of SCALE-Sim.

    Args:
        layer: the layer.
        accelerator: the array and its buffers.
        memory: True to simulate the buffers too, which is slow.
    """
    from scalesim.scale_config import scale_config
    from scalesim.single_layer_sim import single_layer_sim
    from scalesim.topology_utils import topologies

    flow = "".join(word[0] for word in accelerator.dataflow.split("_"))
    sizes = [accelerator.buffer_kb[operand] for operand in OPERANDS]
    config, topology, simulated = scale_config(), topologies(), single_layer_sim()
    config.update_from_list(["", accelerator.rows, accelerator.cols, *sizes, 0, 10**7, 2 * 10**7, flow, "CALC", []])
    topology.load_layer_params_from_list("layer", ["layer", *layer.row])
    topology.topo_calc_hyperparams()
    simulated.set_params(layer_id=0, config_obj=config, topology_obj=topology, verbose=False)
    array = simulated.compute_system
    if memory:
        simulated.run()
    else:
        matrices = simulated.op_mat_obj
        made = [getattr(matrices, f"get_{name}_matrix")()[1] for name in ("ifmap", "ofmap", "filter")]
        array.set_params(config, *made)
    requests = array.get_demand_matrices()[2]
    sram = [array.get_ifmap_requests(), array.get_filter_requests(), array.get_ofmap_requests()]
    dram = dict[str, int]()
    if memory:
        system = simulated.memory_system
        dram = {"input": system.get_ifmap_dram_details()[2], "weight": system.get_filter_dram_details()[2]}
    return Figures(len(requests), dict(zip(OPERANDS, sram, strict=True)), dram)


def rows(names: Sequence[str], *, memory: bool) -> Iterator[str]:
    """Yield the rows of the table, ours / theirs in each cell."""
    for label, array in ARRAYS.items():
        for name in names:
            for dataflow in SYSTOLIC:
                accelerator = replace(array, dataflow=dataflow)
                mine, other = ours(LAYERS[name].product, accelerator), theirs(LAYERS[name], accelerator, memory=memory)
                pairs = [(mine.cycles, other.cycles)]
                pairs += [(mine.sram[operand], other.sram[operand]) for operand in OPERANDS]
                pairs += [(mine.dram[operand], other.dram[operand]) for operand in other.dram]
                cells = [f"{a}" if a == b else f"{a} / {b}" for a, b in pairs]
                yield f"| {label} | {name} | {dataflow.removesuffix('_stationary')} | {' | '.join(cells)} |"


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", nargs="+", default=list(LAYERS), choices=list(LAYERS))
    parser.add_argument("--no-memory", action="store_true", help="do not simulate the buffers, which is slow")
    given = parser.parse_args(arguments)
    titles = ["array", "layer", "dataflow", "cycles", "inputs read", "weights read", "outputs written"]
    titles += [] if given.no_memory else ["inputs loaded", "weights loaded"]
    print(f"| {' | '.join(titles)} |\n|{'---|' * len(titles)}")
    for row in rows(given.layers, memory=not given.no_memory):
        print(row, flush=True)


if __name__ == "__main__":
    main()
