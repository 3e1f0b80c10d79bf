"""Cells of the DARTS space in the paper's notation, ``Genotype(normal=[('sep_conv_3x3', 0), …], …)``."""

import ast
from collections.abc import Mapping, Sequence

from raynas.core.architecture import Architecture, Option
from raynas.errors import SpaceError
from raynas.search_spaces.darts import DARTS, OPERATIONS


def from_genotype(text: str) -> Architecture:
    """Read a cell pair in the paper's notation, ``Genotype(normal=[('sep_conv_3x3', 0), …], normal_concat=…, …)``.

    The edges of a node may be in any order; ``normal_concat`` and ``reduce_concat`` may be left out.

    Raises:
        SpaceError: if ``text`` is not of that form, an operation is unknown, a node does not take two different states
            before it, or not exactly the nodes are joined.
    """
    fields = _genotype_fields(text)
    if len(fields["normal"]) != len(fields["reduce"]):
        raise SpaceError(f"normal and reduction cell must have equally many edges, got {text!r}")
    options: dict[str, Option] = {}
    for cell in ("normal", "reduce"):
        edges = fields[cell]
        if list(fields.get(f"{cell}_concat", range(2, 2 + len(edges) // 2))) != list(range(2, 2 + len(edges) // 2)):
            raise SpaceError(f"{cell}_concat must name each node, got {fields[f'{cell}_concat']!r}")
        for node in range(len(edges) // 2):
            options |= _node_options(f"{cell}.{node}", edges[2 * node : 2 * node + 2], 2 + node)
    return Architecture(options)


def _genotype_fields(text: str) -> dict[str, Sequence[object]]:
    """Return the arguments of ``Genotype(...)``; only literals and ``range(...)`` are read."""

    def value(node: ast.expr) -> Sequence[object]:
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "range":
            return range(*map(ast.literal_eval, node.args))
        return list(ast.literal_eval(node))

    try:
        call = ast.parse(text.strip(), mode="eval").body
        if not isinstance(call, ast.Call) or call.args:
            raise ValueError("not a call with named arguments")
        fields = {keyword.arg or "": value(keyword.value) for keyword in call.keywords}
        if not {"normal", "reduce"} <= set(fields) <= {"normal", "reduce", "normal_concat", "reduce_concat"}:
            raise ValueError(f"it has {', '.join(fields)}")
        if any(len(fields[cell]) % 2 or not fields[cell] for cell in ("normal", "reduce")):
            raise ValueError("a node has two edges")
    except (SyntaxError, TypeError, ValueError) as error:
        raise SpaceError(
            f"cannot read {text!r}: write Genotype(normal=[('sep_conv_3x3', 0), ...], normal_concat=range(2, 6), "
            f"reduce=[...], reduce_concat=range(2, 6)), two edges for each node: {error}"
        ) from None
    return fields


def _node_options(name: str, edges: Sequence[object], n_states: int) -> dict[str, Option]:
    operation_of: dict[int, str] = {}
    for edge in edges:
        match edge:
            case (str(operation), int(state)) if operation in OPERATIONS and 0 <= state < n_states:
                operation_of[state] = operation
            case _:
                raise SpaceError(
                    f"an edge of node {name} must be (operation, state), the operation one of {', '.join(OPERATIONS)}, "
                    f"the state from 0 to {n_states - 1}; got {edge!r}"
                )
    if len(operation_of) != 2:
        raise SpaceError(f"node {name} must take two different states, got {list(edges)!r}")
    states = sorted(operation_of)
    inputs = {f"{name}.inputs": "+".join(map(str, states))}
    return {**inputs, **{f"{name}.op_{state}": operation_of[state] for state in states}}


def to_genotype(arch: Mapping[str, Option]) -> str:
    """Write ``arch``, of one normal and one reduction cell, in the paper's notation.

    Raises:
        SpaceError: if ``arch`` is not an architecture of such a space.
    """
    n_nodes = sum(name.startswith("normal.") and name.endswith(".inputs") for name in arch)
    space = DARTS(n_nodes=max(n_nodes, 1))
    options = space.canonical(arch)
    cells = []
    for cell in ("normal", "reduce"):
        edges = [
            (options[f"{cell}.{node}.op_{state}"], int(state))
            for node in range(n_nodes)
            for state in str(options[f"{cell}.{node}.inputs"]).split("+")
        ]
        cells.append(f"{cell}={edges}, {cell}_concat={list(range(2, 2 + n_nodes))}")
    return f"Genotype({', '.join(cells)})"
