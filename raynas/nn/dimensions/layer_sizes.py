"""Numbers of channels and features that layers of torch keep beside their weights."""

from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from raynas.nn.modes import evaluating

GATES = {"LSTM": 4, "GRU": 3}
"""Rows of a recurrent layer's weights for each hidden feature."""


def set_sizes(module: nn.Module, n_in: int | None) -> None:
    """Set the numbers that a layer of torch keeps of the number of channels and features in its weights.

    Args:
        module: the layer; others are left alone.
        n_in: input channels of a convolution, where known.
    """
    if isinstance(module, nn.RNNBase | nn.RNNCellBase):
        _set_recurrent_sizes(module)
    weight = _weight_of(module)
    if not isinstance(weight, Tensor):
        return
    shape = tuple(weight.shape)
    if isinstance(module, nn.modules.conv._ConvNd):
        if n_in is None:  # A weight that is computed is not known by name.
            n_in = _inputs_of(module, shape)
        module.in_channels = n_in
        if module.transposed:
            module.groups = module.groups if module.groups == 1 else module.groups * n_in // max(shape[0], 1)
            module.out_channels = shape[1] * module.groups
        else:
            module.groups, module.out_channels = n_in // shape[1], shape[0]
    elif isinstance(module, nn.Linear):
        module.out_features, module.in_features = shape
    elif isinstance(module, nn.modules.batchnorm._NormBase):
        module.num_features = shape[0]
    elif isinstance(module, nn.LayerNorm | nn.RMSNorm):
        module.normalized_shape = shape
    elif isinstance(module, nn.GroupNorm):
        module.num_channels = shape[0]
    elif isinstance(module, nn.Embedding):
        module.num_embeddings, module.embedding_dim = shape
    elif isinstance(module, nn.PReLU):
        module.num_parameters = shape[0]


def _inputs_of(module: nn.modules.conv._ConvNd, shape: tuple[int, ...]) -> int:
    """Return the input channels of a convolution, as far as they follow from the shape of its weight."""
    if module.transposed:
        return shape[0]
    if module.groups == 1:
        return shape[1]
    is_depthwise = module.groups == module.in_channels
    return shape[0] * module.in_channels // module.out_channels if is_depthwise else module.in_channels


def _weight_of(module: nn.Module) -> object:
    if not is_parametrized(module, "weight"):
        # A weight norm without parametrizations computes its weight in the next forward pass.
        return getattr(module, "weight_v", getattr(module, "weight", None))
    with evaluating(module):  # Some parametrizations change their buffers when a weight is read in training.
        return module.weight


def _set_recurrent_sizes(module: nn.RNNBase | nn.RNNCellBase) -> None:
    suffix = "_l0" if isinstance(module, nn.RNNBase) else ""
    rows, module.input_size = getattr(module, f"weight_ih{suffix}").shape
    module.hidden_size = rows // GATES.get(type(module).__name__.removesuffix("Cell"), 1)
    if getattr(module, "proj_size", 0):
        module.proj_size = len(module.get_parameter("weight_hr_l0"))
