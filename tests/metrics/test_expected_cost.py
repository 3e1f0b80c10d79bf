import numpy as np
import pytest
import torch
from torch import nn

from raynas.core.architecture import Architecture
from raynas.core.decision import Decision, Real
from raynas.core.space import SearchSpace
from raynas.errors import RaynasError, UnknownNameError
from raynas.metrics import untrained_metrics
from raynas.metrics.expected_cost import CostTable, fit_cost_table, index_options
from raynas.nn import Choice, ModelSpace
from raynas.search_spaces import DARTS, NASBench201

NB201 = NASBench201(channels=4, cells=1)


@pytest.mark.parametrize("metric", ["macs", "params"])
def test_is_exact_where_costs_add_up(metric: str) -> None:
    """On NAS-Bench-201 the edges of a cell are independent: what the table says is what is counted."""
    table, count = fit_cost_table(NB201, metric, n_samples=0), untrained_metrics(NB201, [metric])[metric]
    assert table.error == 0
    rng = np.random.default_rng(7)
    for _ in range(10):
        arch = NB201.sample(rng)
        assert table.of(index_options(NB201, arch)) == pytest.approx(count(arch), rel=1e-9)


def test_expectation_is_the_mean_over_architectures() -> None:
    """Half of one architecture and half of another, decision by decision: the mean over all 2^2 that differ."""
    table, macs = fit_cost_table(NB201, "macs", n_samples=0), untrained_metrics(NB201, ["macs"])["macs"]
    first = NB201.sample(np.random.default_rng(0))
    changed = {"edge_0_1": ("none", "nor_conv_3x3"), "edge_1_3": ("nor_conv_1x1", "nor_conv_3x3")}
    p = {d.name: torch.tensor(d.encode(first[d.name])) for d in NB201.decisions}
    for name, options in changed.items():
        p[name] = torch.tensor([float(o in options) / 2 for o in NB201.decisions[0].options], dtype=torch.float64)
    pairs = [(a, b) for a in changed["edge_0_1"] for b in changed["edge_1_3"]]
    mean = np.mean([macs(Architecture({**first, "edge_0_1": a, "edge_1_3": b})) for a, b in pairs])
    assert float(table.expected(p)) == pytest.approx(mean, rel=1e-6)


def test_gradient_is_what_an_option_costs() -> None:
    table = fit_cost_table(NB201, "macs", n_samples=0)
    p = {d.name: torch.full((5,), 0.2, requires_grad=True) for d in NB201.decisions}
    table.expected(p).backward()
    assert p["edge_0_1"].grad is not None
    np.testing.assert_allclose(p["edge_0_1"].grad, table.costs["edge_0_1"], rtol=1e-5)


def nested() -> nn.Module:
    def conv() -> nn.Module:
        return Choice(
            {"small": lambda: nn.Conv2d(2, 2, 1, bias=False), "large": lambda: nn.Conv2d(2, 2, 3, bias=False)}
        )

    return nn.Sequential(Choice({"conv": lambda: nn.Sequential(conv()), "skip": nn.Identity}))


def test_decisions_count_as_often_as_they_are_active() -> None:
    """params: small 4, large 36, skip 0; with 1/4 for conv and 1/2 for each kernel, (4 + 36) / 2 / 4 = 5."""
    space = ModelSpace(nested, input_shape=(2, 8, 8))
    table = fit_cost_table(space, "params")
    assert table.error == 0 and dict(table.needs["0.conv.0"]) == {"0": (0,)}
    probabilities = {"0": torch.tensor([0.25, 0.75]), "0.conv.0": torch.tensor([0.5, 0.5])}
    assert float(table.expected(probabilities)) == pytest.approx(5, rel=1e-4)


def test_cells_of_darts_with_any_function() -> None:
    """A function of one's own that adds up over the edges that a node takes."""
    space = DARTS(channels=1, cells=3, n_nodes=1)

    def convolutions(arch: Architecture) -> float:
        return 1.0 + sum("conv" in str(option) for option in arch.values())

    table = fit_cost_table(space, convolutions)
    assert table.error == 0
    p = {d.name: torch.full((len(d.options),), 1 / len(d.options)) for d in space.decisions}
    # Two cells of one node with two inputs, both always taken: 4 edges, 4 of 7 operations are convolutions.
    assert float(table.expected(p)) == pytest.approx(1 + 4 * 4 / 7, rel=1e-4)


def test_says_how_wrong_it_is_where_costs_do_not_add_up() -> None:
    def product(arch: Architecture) -> float:
        return float(np.prod([1 + list(NB201.decisions[0].options).index(o) for o in arch.values()]))

    assert fit_cost_table(NB201, product).error > 0.05


def test_survives_its_dict() -> None:
    table = fit_cost_table(NB201, lambda arch: float(len(arch)), n_samples=0)
    assert CostTable.from_dict(table.to_dict()) == table


class Continuous(SearchSpace):
    input_shape = (1,)

    @property
    def decisions(self) -> list[Decision]:
        return [Real("rate")]

    def build(self, arch: Architecture) -> nn.Module:
        return nn.Identity()


def test_refuses() -> None:
    with pytest.raises(RaynasError, match="continuous"):
        fit_cost_table(Continuous(), "macs")
    with pytest.raises(RaynasError, match="not a finite number"):
        fit_cost_table(NB201, lambda arch: float("nan"), n_samples=0)
    with pytest.raises(UnknownNameError):
        fit_cost_table(NB201, "watts")
