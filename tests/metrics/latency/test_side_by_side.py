"""Networks that are exported side by side are those that are exported alone."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from raynas.core.inputs import Arguments
from raynas.errors import RaynasError
from raynas.metrics.latency import side_by_side
from raynas.metrics.latency.deployment import Deployment, deploy
from raynas.metrics.latency.side_by_side import Part, cut, deploy_all

CPU = torch.device("cpu")


class Several(nn.Module):
    """Two inputs, two outputs."""

    def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        return x + y, x * y


class Unchanged(nn.Module):
    """Computes nothing that a file can hold."""

    def forward(self, x: Tensor) -> Tensor:
        return x


class Constant(nn.Module):
    """An output that does not follow from the input."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.ones(2, 3)


class Unexportable(nn.Module):
    """Its operations depend on a value."""

    def forward(self, x: Tensor) -> Tensor:
        return x + 1 if x.sum() > 0 else x


def parts() -> list[Part]:
    shared = nn.Linear(5, 5)
    return [
        (nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.ReLU()), Arguments((torch.rand(1, 2, 6, 6),))),
        (Several(), Arguments((torch.rand(1, 4), torch.rand(1, 4)))),
        (shared, Arguments((torch.rand(1, 5),))),
        (Unchanged(), Arguments((torch.rand(1, 2),))),
        (Constant(), Arguments((torch.rand(1, 2),))),
        (nn.Sequential(shared, nn.Dropout(0.5)), Arguments((torch.rand(3, 5),))),
    ]


def operations(deployment: Deployment) -> list[str]:
    import onnx

    return [node.op_type for node in onnx.load_model_from_string(deployment.file).graph.node]


def outputs(deployment: Deployment) -> list[Tensor]:
    from onnxruntime import InferenceSession

    session = InferenceSession(deployment.file, providers=["CPUExecutionProvider"])
    names = [given.name for given in session.get_inputs()]
    feed = {name: tensor.numpy() for name, tensor in zip(names, deployment.inputs.tensors, strict=True)}
    return [torch.as_tensor(found) for found in session.run(None, feed)]


def test_each_file_is_that_of_its_network_alone() -> None:
    pytest.importorskip("onnx")
    given = parts()
    modes = [model.training for model, _ in given]
    found = list(deploy_all(given, "onnx", device=CPU))
    assert [model.training for model, _ in given] == modes
    for (model, inputs), deployment in zip(given, found, strict=True):
        alone = deploy(model, inputs, "onnx", device=CPU)
        assert operations(deployment) == operations(alone)
        torch.testing.assert_close(outputs(deployment), outputs(alone))
        assert [t.shape for t in deployment.inputs.tensors] == [t.shape for t in inputs.tensors]


def test_a_file_is_cut_where_networks_are_separate() -> None:
    pytest.importorskip("onnx")
    joint = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    content = deploy(joint, Arguments((torch.rand(1, 2),)), "onnx", device=CPU).file
    [file] = cut(content, [1])
    assert file is not None and operations(Deployment("onnx", file, Arguments())) == ["Gemm", "Relu"]
    mixed = deploy(Several(), Arguments((torch.rand(1, 2), torch.rand(1, 2))), "onnx", device=CPU).file
    assert cut(mixed, [1, 1]) == [None, None]  # each output follows from the inputs of both


def test_the_network_that_cannot_be_exported_does_not_spoil_those_before_it() -> None:
    pytest.importorskip("onnx")
    good = (nn.Linear(2, 2), Arguments((torch.rand(1, 2),)))
    found = deploy_all([good, (Unexportable(), good[1])], "onnx", device=CPU)
    assert operations(next(found)) == ["Gemm"]
    with pytest.raises(RaynasError, match=r"torch\.export cannot export it"):
        next(found)


def test_networks_are_drawn_as_they_are_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[int] = []

    def lazy() -> Iterator[Part]:
        for i in range(4):
            drawn.append(i)
            yield nn.Linear(2, 2), Arguments((torch.rand(1, 2),))

    found = deploy_all(lazy(), "module", device=CPU)
    next(found)
    assert drawn == [0]
    monkeypatch.setattr(side_by_side, "AT_ONCE", 2)
    counted = lambda group, dtype: [Deployment("onnx", bytes(len(group)), Arguments())] * len(group)  # noqa: E731
    monkeypatch.setattr(side_by_side, "_together", counted)
    assert [len(found.file) for found in deploy_all(lazy(), "onnx", device=CPU)] == [2, 2, 2, 2]
