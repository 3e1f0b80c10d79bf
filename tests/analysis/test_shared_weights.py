"""The training of shared weights, read off its archive."""

from raynas import analysis
from raynas.core.archive import Archive
from raynas.core.relaxed_weights import RelaxedWeights


def trained(*, relaxed: bool = True) -> Archive:
    """Three epochs, of which the second was repeated; an option leaves after the first, another comes with the last."""
    archive = Archive()
    archive.append("proposed", trial="00001", config={"arch": {}}, costs={})
    epochs = [(1, 0.3, {"conv": 0.6, "skip": 0.4}), (2, 0.9, {}), (2, 0.5, {"conv": 1.0})]
    for epoch, accuracy, weights in epochs:
        held = RelaxedWeights(epoch=epoch, weights={"edge": weights} if weights else {}) if relaxed else None
        metrics = {"accuracy": accuracy, "train_seconds": 10.0 * epoch}
        archive.append("result", trial="00001", fidelity=epoch, metrics=metrics, **(held.as_field() if held else {}))
    last = RelaxedWeights(epoch=3, weights={"edge": {"conv": 0.9, "pool": 0.1}}).as_field() if relaxed else {}
    metrics = {"loss": 1.0, "train_seconds": 30.0}
    archive.append("ended", trial="00001", status="finished", fidelity=3, metrics=metrics, error="", **last)
    return archive


def test_each_epoch_counts_once() -> None:
    found = analysis.shared_weights(trained())
    assert found.epochs == (1, 2, 3) and found.accuracy == (0.3, 0.5, None)
    (edge,) = found.options
    assert (edge.decision, edge.options) == ("edge", ("conv", "skip", "pool"))
    assert edge.weights == ((0.6, 0.4, None), (1.0, None, None), (0.9, None, 0.1))
    assert found.spending.seconds == 30.0


def test_methods_without_weights_of_options() -> None:
    assert analysis.shared_weights(trained(relaxed=False)).options == ()
    assert analysis.shared_weights(Archive()).epochs == ()
