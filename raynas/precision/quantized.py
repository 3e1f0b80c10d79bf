"""Quantization of an ONNX file: some of its layers in 8 bits, with ranges from calibration or found in every call."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from raynas.nn.programs import quiet
from raynas.precision.float_file import CARRIERS, PRODUCTS, SUMS, FloatFile, weight_of

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

MAX_INT8 = 127
"""Largest number of a weight; the smallest is its negative, so that zero is zero."""


def quantized(file: FloatFile, precisions: Mapping[str, str], ranges: Any) -> bytes:
    """Return a file with some layers in 8 bits.

    Weights have a scale for each output channel. Convolutions put out 8 bits, which activations, pooling and sums pass
    on; products of matrices put out float32, since what follows them in networks for texts computes in it.

    Args:
        file: the file in float32.
        precisions: of layers, by path; those not named stay float32.
        ranges: those of the activations, by ``FloatFile.ranges``; None if no layer is "int8".
    """
    model = copy.deepcopy(file.model)
    wanted = {name: _of(path, precisions) for name, path in file.layers.items()}
    for node in model.graph.node:
        del node.metadata_props[:]  # lines of source code, which would be much of a small file
    _make_dynamic(model, {name for name, precision in wanted.items() if precision == "int8_dynamic"})
    static = _with_followers(file, {name for name, precision in wanted.items() if precision == "int8"})
    if static:
        model = _static(model, static, ranges)
    content: bytes = model.SerializeToString()
    return content


def _of(path: str, precisions: Mapping[str, str]) -> str:
    """Return the precision of a layer: its own, or that of the one that it is a part of."""
    while path and path not in precisions:
        path = path.rpartition(".")[0]
    return precisions.get(path, "float32")


def _with_followers(file: FloatFile, chosen: set[str]) -> list[str]:
    """Return the nodes to compute in 8 bits: chosen ones, and those that take what these put out in 8 bits."""
    puts_out_8_bits, found = set[str](), []
    for node in file.nodes:
        read = file.read(node)
        follows = node.op_type in (*CARRIERS, *SUMS) and bool(read) and all(name in puts_out_8_bits for name in read)
        if node.op_type in SUMS and len(read) < 2:
            follows = False
        if node.name in chosen or follows:
            found.append(node.name)
            if follows or node.op_type == "Conv":
                puts_out_8_bits |= set(node.output)
    return found


def _static(model: "ModelProto", nodes: Sequence[str], ranges: Any) -> "ModelProto":
    from onnxruntime.quantization import QuantType
    from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

    with quiet():
        quantizer = QDQQuantizer(
            model,
            per_channel=True,
            # Without VNNI, sums of two products of 8 bits saturate: ONNX Runtime advises 7 bits for weights.
            reduce_range=not torch.cpu._is_vnni_supported(),
            weight_qType=QuantType.QInt8,
            activation_qType=QuantType.QUInt8,
            tensors_range=ranges,
            nodes_to_quantize=nodes,
            nodes_to_exclude=[],
            op_types_to_quantize=[*PRODUCTS, *CARRIERS, *SUMS],
            extra_options={"OpTypesToExcludeOutputQuantization": ["MatMul", "Gemm"]},
        )
        quantizer.quantize_model()
    made: ModelProto = quantizer.model.model
    return made


def _make_dynamic(model: "ModelProto", names: set[str]) -> None:
    """Replace products by products of integers, whose inputs are quantized in every call."""
    from onnx import numpy_helper

    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    nodes = list[Any]()
    for node in model.graph.node:
        weight = weight_of(node)
        matrix = numpy_helper.to_array(constants[weight]) if node.name in names else np.empty(0)
        if node.op_type not in ("Gemm", "MatMul") or matrix.ndim != 2:
            nodes.append(node)
            continue
        transposed = any(a.name == "transB" and a.i for a in node.attribute)
        matrix = matrix.T if transposed else matrix
        scale = np.maximum(np.abs(matrix).max(0), 1e-12) / MAX_INT8
        integers = np.round(matrix / scale).astype(np.int8)
        made = {"weight": integers, "zero": np.zeros(integers.shape[1], np.int8), "scale": scale.astype(np.float32)}
        for kind, value in made.items():
            model.graph.initializer.append(numpy_helper.from_array(value, f"{node.name}_{kind}"))
        nodes += _integer_product(node)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    used = {name for node in model.graph.node for name in node.input}
    for tensor in [constants[name] for name in constants if name not in used]:
        model.graph.initializer.remove(tensor)


def _integer_product(node: "NodeProto") -> "Iterator[NodeProto]":
    """Yield the nodes in the place of a product, which ONNX Runtime fuses to one."""
    from onnx import TensorProto, helper

    n, bias = node.name, list(node.input)[2:]
    yield helper.make_node(
        "DynamicQuantizeLinear", [node.input[0]], [f"{n}_q", f"{n}_q_scale", f"{n}_q_zero"], f"{n}_1"
    )
    integers = [f"{n}_q", f"{n}_weight", f"{n}_q_zero", f"{n}_zero"]
    yield helper.make_node("MatMulInteger", integers, [f"{n}_sums"], f"{n}_2")
    yield helper.make_node("Cast", [f"{n}_sums"], [f"{n}_real"], f"{n}_3", to=TensorProto.FLOAT)
    yield helper.make_node("Mul", [f"{n}_q_scale", f"{n}_scale"], [f"{n}_scales"], f"{n}_4")
    product = f"{n}_product" if bias else node.output[0]
    yield helper.make_node("Mul", [f"{n}_real", f"{n}_scales"], [product], f"{n}_5")
    if bias:
        yield helper.make_node("Add", [product, bias[0]], [node.output[0]], f"{n}_6")
