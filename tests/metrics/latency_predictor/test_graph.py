import numpy as np
import torch

from raynas.core.operation_graph import OperationGraph
from raynas.metrics.latency_predictor.graph import GraphModel, summed
from tests.metrics.latency_predictor.made_up import cells, described, milliseconds


def test_nodes_are_summed() -> None:
    graphs = summed([OperationGraph.chain(["a"]), OperationGraph.chain(["a", "b", "new"])], ["a", "b"], 2.0)
    assert graphs.labels.tolist() == [[1, 0, 0], [1, 2, 0]]
    assert graphs.shares.tolist() == [[0.5, 0, 0], [0.5, 0.5, 0.5]]


def test_it_trains_where_gradients_are_off() -> None:
    archs = cells(20)
    with torch.inference_mode():
        model = GraphModel.fit(described(archs), np.array(milliseconds("cpu", archs)), np.random.default_rng(0))
    assert np.isfinite(model.predict(described(archs))).all()
