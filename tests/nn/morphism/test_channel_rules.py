from collections.abc import Callable

import pytest
import torch
from torch import Tensor, fx, nn

from raynas.nn.morphism.channel_relations import ChannelRelations
from raynas.nn.morphism.channel_rules import ChannelRules
from raynas.nn.morphism.tracing import shapes_in, traced


class Applied(nn.Module):
    """A function behind a convolution of 4 channels."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 4, 1)
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self.conv(x))


def related(function: Callable[[Tensor], Tensor]) -> tuple[ChannelRelations, fx.Node, fx.Node]:
    """The relations, the output of the convolution, and that of the function."""
    trace = traced(Applied(function))
    relations = ChannelRelations(shapes_in(trace, torch.zeros(3, 2, 5, 5)))
    rules = ChannelRules(relations, dict(trace.named_modules()))
    nodes = [node for node in trace.graph.nodes if node.op != "output"]
    for node in nodes:
        if node in relations.shapes:
            rules.relate(node)
    return relations, next(node for node in nodes if node.name == "conv"), nodes[-1]


@pytest.mark.parametrize(
    ("function", "axis"),
    [
        (torch.relu, 1),
        (lambda y: y + 1, 1),
        (lambda y: nn.functional.max_pool2d(y, 2), 1),
        (lambda y: y.mean((2, 3)), 1),
        (lambda y: y.sum(0), 0),
        (lambda y: torch.cat([y, y], dim=2), 1),
        (lambda y: y.flatten(2), 1),
    ],
)
def test_the_output_has_the_channels_of_the_input(function: Callable[[Tensor], Tensor], axis: int) -> None:
    relations, before, after = related(function)
    assert relations.root(before) is relations.root(after) and relations.axis[after] == axis
    assert relations.n_channels(after) == 4 and not relations.derived


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda y: torch.cat([y, y], dim=1), [1, 0, 1, 5, 4, 5]),
        (lambda y: y[:, :, :1, :2].flatten(1), None),  # slicing is an operation without a rule
        (lambda y: nn.functional.adaptive_avg_pool2d(y, (1, 2)).flatten(1), [2, 3, 0, 1, 2, 3]),
    ],
)
def test_joined_and_flattened_channels_are_derived(
    function: Callable[[Tensor], Tensor], expected: list[int] | None
) -> None:
    relations, _, after = related(function)
    if expected is None:
        assert not relations.derived and any("nothing is known" in reason for _, reason in relations.fixed)
        return
    (derived,) = relations.derived
    assert derived.node is after
    copies = torch.tensor([1, 0, 1])
    assert derived.combine([copies] * len(derived.sources)).tolist() == expected


@pytest.mark.parametrize("function", [lambda y: y.amax((1, 2, 3)), lambda y: y.view(3, -1, 2)])
def test_operations_without_a_rule_fix_their_channels(function: Callable[[Tensor], Tensor]) -> None:
    relations, before, _ = related(function)
    assert before in {node for node, _ in relations.fixed}
