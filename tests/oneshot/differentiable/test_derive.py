"""The architecture derived from weights."""

import pytest
import torch

from raynas.oneshot.differentiable import (
    Darts,
    Softmax,
)
from raynas.oneshot.differentiable.derive import derive
from raynas.oneshot.differentiable.skips import count_skips
from raynas.search_spaces import NASBench201
from tests.oneshot.differentiable.searches import CELLS, QUIET, start


class TestDerive:
    @pytest.mark.parametrize("edge_normalisation", [False, True])
    def test_takes_the_strongest_edges(self, edge_normalisation: bool) -> None:
        """The paper's rule, written out: each node keeps the two edges whose best operation but "none" is best."""
        learner = start(Darts(edge_normalisation=edge_normalisation, init_scale=1.0, watch=QUIET), CELLS)
        values = learner.alphas.values
        operations = list(CELLS.decisions[1].options)
        derived = learner.derived
        for cell in ("normal", "reduce"):
            for node in (0, 1):
                best, strength = {}, {}
                edges = values[f"{cell}.{node}.inputs"].softmax(0).tolist() if edge_normalisation else [1.0] * 3
                for i in range(2 + node):
                    real = values[f"{cell}.{node}.op_{i}"].detach().softmax(0)[:7]
                    best[i], strength[i] = operations[int(real.argmax())], float(real.max()) * edges[i]
                chosen = sorted(sorted(strength, key=lambda i: -strength[i])[:2])
                assert derived[f"{cell}.{node}.inputs"] == "+".join(map(str, chosen))
                assert all(derived[f"{cell}.{node}.op_{i}"] == best[i] for i in chosen)

    def test_none_is_chosen_only_where_it_is_an_option(self) -> None:
        learner = start(Darts(watch=QUIET), NASBench201(input_shape=(2, 6, 6), n_classes=2, channels=2, cells=1))
        with torch.no_grad():
            learner.alphas.values["edge_0_1"][0] = 5.0
        assert learner.derived["edge_0_1"] == "none"

    def test_surplus_skips_give_way(self) -> None:
        learner = start(Darts(watch=QUIET), CELLS)
        skip = list(CELLS.decisions[1].options).index("skip_connect")
        with torch.no_grad():
            for i, value in enumerate(learner.alphas.values.values()):
                value.zero_()
                value[skip], value[3] = 3.0 + 0.1 * i, 1.0
        weights = learner.alphas.strengths(Softmax())
        before = derive(learner.alphas, weights, CELLS)
        assert count_skips(before, learner.alphas.skips) == {"normal": 4, "reduce": 4}
        after = derive(learner.alphas, weights, CELLS, max_skips=2, exempt=("reduce",))
        assert count_skips(after, learner.alphas.skips)["reduce"] == 4
        assert count_skips(after, learner.alphas.skips)["normal"] == 2
        kept = [name for name, option in after.items() if option == "skip_connect" and name.startswith("normal")]
        assert kept == ["normal.1.op_1", "normal.1.op_2"]  # The two strongest.
