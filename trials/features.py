"""FeatureMatching: hidden states of a student brought near those of its teacher.

Romero et al., "FitNets: Hints for Thin Deep Nets" (ICLR 2015, arXiv:1412.6550): a linear map from the channels of the
student to the teacher's is trained beside. Deviation: errors are relative to the mean square, so that layers
of any scale weigh alike.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor, nn

from raynas.core.inputs import Arguments, Inputs
from raynas.errors import RaynasError, did_you_mean
from raynas.nn.dimensions.tracing import tensors_in


@contextmanager
def captured(model: nn.Module, names: Sequence[str]) -> Iterator[dict[str, Tensor]]:
    """Collect the first tensor that each of some modules gives, by name, until the context ends.

    Raises:
        RaynasError: if there is no such module.
    """
    modules, found = dict(model.named_modules()), dict[str, Tensor]()

    def keep(name: str, module: nn.Module, args: object, output: object) -> None:
        found[name] = next(tensors_in(output))

    for name in names:
        if name not in modules:
            raise RaynasError(f"{type(model).__name__} has no layer {name!r}{did_you_mean(name, modules)}")
    hooks = [modules[name].register_forward_hook(partial(keep, name)) for name in names]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


class FeatureMatching(nn.Module):
    """Linear maps from hidden states of a student to those of its teacher, and the error that they leave.

    Args:
        student: the network to be trained.
        teacher: the given one.
        layers: pairs of a layer of the student and one of the teacher, by name.
        example: inputs of both.

    Raises:
        RaynasError: if there is no such layer, or its tensors differ in more than one dimension.
    """

    def __init__(self, student: nn.Module, teacher: nn.Module, layers: Mapping[str, str], example: Inputs) -> None:
        super().__init__()
        self.layers = dict(layers)
        with torch.no_grad():
            with captured(student, list(layers)) as own:
                Arguments.of(example).call(student)
            with captured(teacher, list(layers.values())) as given:
                Arguments.of(example).call(teacher)
        self._dims: dict[str, int | None] = {}
        self.maps = nn.ModuleList()
        for name, of_teacher in layers.items():
            dim = self._dims[name] = _dim_that_differs(f"{name}={of_teacher}", own[name], given[of_teacher])
            sizes = (own[name].shape[dim], given[of_teacher].shape[dim]) if dim is not None else ()
            self.maps.append(nn.Linear(*sizes, bias=False) if sizes else nn.Identity())

    def error(self, student: Mapping[str, Tensor], teacher: Mapping[str, Tensor]) -> Tensor:
        """Return the mean over layers of the relative squared error, a scalar; 0 if they agree.

        Args:
            student: hidden states by the name of their layer, with gradients.
            teacher: the teacher's, by the names of its layers.
        """
        errors = []
        for map_, (name, of_teacher) in zip(self.maps, self.layers.items(), strict=True):
            given, dim = teacher[of_teacher].float(), self._dims[name]
            own = student[name].float()
            mapped = own if dim is None else map_(own.movedim(dim, -1)).movedim(-1, dim)
            errors.append((mapped - given).square().mean() / given.square().mean().clamp_min(1e-12))
        return torch.stack(errors).mean()


def _dim_that_differs(pair: str, own: Tensor, given: Tensor) -> int | None:
    """Return the dimension in which two hidden states differ; None if they do not."""
    same_rank = own.ndim == given.ndim
    dims = [dim for dim in range(own.ndim) if own.shape[dim] != given.shape[dim]] if same_rank else []
    if not same_rank or len(dims) > 1 or 0 in dims:
        shapes = f"{tuple(own.shape)} of the student and {tuple(given.shape)} of the teacher"
        raise RaynasError(f"features {pair}: {shapes} must agree but for the number of channels; name other layers")
    return dims[0] if dims else None
