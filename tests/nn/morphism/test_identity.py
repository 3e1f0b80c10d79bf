import pytest
import torch
from torch import nn

from raynas.errors import RaynasError
from raynas.nn.morphism.identity import check_same_function, identity_norm_, identity_weight_


def test_networks_with_other_outputs_are_refused() -> None:
    first, x = nn.Linear(2, 2), torch.ones(1, 2)
    check_same_function(first, first, x, "nothing")
    with pytest.raises(RaynasError, match="widening 'a' changes what the network computes"):
        check_same_function(first, nn.Linear(2, 2), x, "widening 'a'")
    with pytest.raises(RaynasError, match="widening 'a' breaks the network, which may hold sizes in its code"):
        check_same_function(first, nn.Linear(3, 2), x, "widening 'a'")


@pytest.mark.parametrize("layer", [nn.Linear(3, 3, bias=False), nn.Conv2d(3, 3, 3, padding=1, bias=False)])
def test_identity_weights_pass_the_input_through(layer: nn.Linear | nn.Conv2d) -> None:
    identity_weight_(layer.weight)
    x = torch.randn(2, 3) if isinstance(layer, nn.Linear) else torch.randn(2, 3, 4, 4)
    torch.testing.assert_close(layer(x), x)


@pytest.mark.parametrize("training", [True, False])
def test_an_identity_norm_passes_its_batch_through(training: bool) -> None:
    seen = torch.randn(8, 3, 4, 4) * 3 + 1
    norm = nn.BatchNorm2d(3)
    identity_norm_(norm, seen)
    torch.testing.assert_close(norm.train(training)(seen), seen, atol=1e-2, rtol=1e-2)
