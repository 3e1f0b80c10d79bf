"""Context managers that leave a model exactly as it was: its attributes, and its tensors, replaced for a while."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

_TABLES = ("_parameters", "_buffers", "_modules")
OWN_ATTRIBUTES = frozenset(vars(nn.Module()))
"""The attributes that every module has; others may hold tensors that are neither parameters nor buffers."""


@contextmanager
def attributes_kept(model: nn.Module) -> Iterator[None]:
    """Restore every attribute of every module, with the very same tensors, when the context ends."""
    modules = list(model.modules())
    before = [(vars(m), dict(vars(m)), {name: dict(vars(m)[name]) for name in _TABLES}) for m in modules]
    try:
        yield
    finally:
        for attributes, values, tables in before:
            attributes.clear()
            attributes.update(values)
            for name, content in tables.items():
                attributes[name].clear()
                attributes[name].update(content)


def device_of(model: nn.Module) -> torch.device:
    """Return the device of a model's first tensor; the CPU if it has none."""
    return next((tensor.device for tensor in chain(model.parameters(), model.buffers())), torch.device("cpu"))


def is_bare(model: nn.Module) -> bool:
    """Return True if a model has tensors, all of them without values."""
    tensors = list(chain(model.parameters(), model.buffers()))
    return bool(tensors) and all(tensor.is_meta for tensor in tensors)


def shared_parameters(model: nn.Module) -> list[list[str]]:
    """Return the names of each parameter that has several, such as the tied weights of an embedding and an output."""
    names: dict[nn.Parameter, list[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        names.setdefault(parameter, []).append(name)
    return [alike for alike in names.values() if len(alike) > 1]


def tie(model: nn.Module, shared: Iterable[Sequence[str]]) -> None:
    """Give all names in a group the parameter of the first one."""
    for first, *others in shared:
        for name in others:
            module, _, attribute = name.rpartition(".")
            setattr(model.get_submodule(module), attribute, model.get_parameter(first))


@contextmanager
def without_values(model: nn.Module) -> Iterator[None]:
    """Replace all tensors of a model by tensors on the meta device until the context ends.

    Tensors that are used at several places are replaced by one: tied weights stay tied. Unlike
    ``torch.func.functional_call`` this leaves a module that is used at several places as it was.
    """
    with attributes_kept(model):
        made: dict[int, Tensor] = {}
        for module in model.modules():
            for table in (module._parameters, module._buffers):
                for name, tensor in table.items():
                    table[name] = _stand_in(tensor, made)
            for name, value in list(vars(module).items()):
                if name not in OWN_ATTRIBUTES:
                    vars(module)[name] = _replaced(value, made)
        yield


def _replaced(value: Any, made: dict[int, Tensor]) -> Any:
    """Replace a tensor, or the tensors in a container, such as those that recurrent layers keep in a list."""
    if type(value) in (list, tuple) and any(isinstance(item, Tensor) for item in value):
        return type(value)(_stand_in(item, made) for item in value)
    if type(value) is dict and any(isinstance(item, Tensor) for item in value.values()):
        return {key: _stand_in(item, made) for key, item in value.items()}
    return _stand_in(value, made)


def _stand_in(value: Any, made: dict[int, Tensor]) -> Any:
    if not isinstance(value, Tensor) or value.is_meta or is_lazy(value):
        return value
    if id(value) not in made:
        bare = torch.empty_like(value.detach(), device="meta")
        is_parameter = isinstance(value, nn.Parameter)
        made[id(value)] = nn.Parameter(bare, value.requires_grad) if is_parameter else bare
    return made[id(value)]
