"""Constructor calls of the layers of ``torch.nn``, read from their attributes."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from raynas.errors import one_line
from raynas.exporting.code import SourceError
from raynas.exporting.definitions import Definitions

Values = Mapping[str, Any]

_SKIPPED = {"device", "dtype", "_weight", "_freeze", "_scalar_type"}


def _recurrent(module: Any) -> Values:
    names = ("input_size", "hidden_size", "num_layers", "bias", "batch_first", "dropout", "bidirectional", "proj_size")
    kept = names if isinstance(module, nn.LSTM) else names[:-1]
    nonlinearity = {"nonlinearity": "relu"} if module.mode == "RNN_RELU" else {}
    usual = {"num_layers": 1, "bias": True, "batch_first": False, "dropout": 0.0, "bidirectional": False}
    usual["proj_size"] = 0
    values = {name: getattr(module, name) for name in kept} | nonlinearity
    return {name: value for name, value in values.items() if name not in usual or usual[name] != value}


def _attention(module: Any) -> Values:
    values = {"embed_dim": module.embed_dim, "num_heads": module.num_heads}
    usual = {"dropout": 0.0, "add_zero_attn": False, "batch_first": False}
    values |= {name: getattr(module, name) for name, value in usual.items() if getattr(module, name) != value}
    values |= {} if module.out_proj.bias is not None else {"bias": False}
    values |= {"add_bias_kv": True} if module.bias_k is not None else {}
    sizes = {"kdim": module.kdim, "vdim": module.vdim}
    return values | {name: size for name, size in sizes.items() if size != module.embed_dim}


def _transformer_layer(module: Any) -> Values:
    inside = module.self_attn
    n_heads = inside.num_heads if isinstance(inside, nn.MultiheadAttention) else 1  # Another attention replaces it.
    values = {"d_model": inside.embed_dim, "nhead": n_heads, "dim_feedforward": module.linear1.out_features}
    values |= {"dropout": module.dropout.p, "activation": module.activation, "layer_norm_eps": module.norm1.eps}
    values |= {"batch_first": inside.batch_first, "norm_first": module.norm_first}
    return values | ({} if module.linear1.bias is not None else {"bias": False})


_READERS: Mapping[type[nn.Module], Callable[[Any], Values]] = {
    nn.RNNBase: _recurrent,
    nn.MultiheadAttention: _attention,
    nn.TransformerEncoderLayer: _transformer_layer,
    nn.TransformerDecoderLayer: _transformer_layer,
}
"""Layers whose constructor's arguments are not the names of attributes."""

_AS_BOOL = {"bias"}


def torch_base(cls: type[nn.Module]) -> type[nn.Module]:
    """Return the class of torch that a class is or derives from."""
    return next(base for base in cls.__mro__ if base.__module__.startswith("torch.nn.modules"))


def arguments_of(module: nn.Module, definitions: Definitions) -> list[str]:
    """Return the arguments with which the constructor of torch makes a layer like this one, as source code.

    Raises:
        SourceError: if they cannot be read from the layer.
    """
    cls, written = torch_base(type(module)), _values(module)
    _check(module, written)
    required = [name for name, p in _parameters(cls).items() if p.default is p.empty and name in written]
    subject = f"an argument of {cls.__name__}"
    texts = {name: definitions.expression(value, subject) for name, value in written.items()}
    positional = [texts.pop(name) for name in required]
    dtype = next((p.dtype for p in module.parameters(recurse=False) if p.dtype != torch.float32), None)
    if dtype and "dtype" in _parameters(cls):
        texts["dtype"] = definitions.expression(dtype, "dtype")
    return [*positional, *(f"{name}={text}" for name, text in texts.items())]


def replaced_parts(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield the modules inside a layer of torch that are of a class of the user's, with their paths."""
    for name, child in module.named_children():
        if is_torchs(child):
            yield from ((f"{name}.{path}", part) for path, part in replaced_parts(child))
        else:
            yield name, child


def is_torchs(module: nn.Module) -> bool:
    """Return True for layers and containers of torch."""
    return type(module).__module__.startswith("torch.nn.modules")


def names_made_by_torch(module: nn.Module) -> frozenset[str]:
    """Return the names of attributes, parameters, buffers and modules that the constructor of torch gives a layer.

    Raises:
        SourceError: if its arguments cannot be read from the layer.
    """
    made = _made(torch_base(type(module)), _values(module))
    return frozenset(vars(made)) | made._parameters.keys() | made._buffers.keys() | made._modules.keys()


def _values(module: nn.Module) -> dict[str, Any]:
    cls = torch_base(type(module))
    reader = next((read for kind, read in _READERS.items() if issubclass(cls, kind)), None)
    values = dict(reader(module)) if reader else _by_name(module, cls)
    return {name: _short(value, cls) for name, value in values.items()}


def _parameters(cls: type[nn.Module]) -> dict[str, inspect.Parameter]:
    parameters = dict(inspect.signature(cls.__init__).parameters)
    parameters.pop("self", None)
    return {n: p for n, p in parameters.items() if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)}


def _by_name(module: nn.Module, cls: type[nn.Module]) -> dict[str, Any]:
    values = {}
    for name, parameter in _parameters(cls).items():
        if name in _SKIPPED:
            continue
        if not hasattr(module, name):
            raise SourceError(f"{cls.__name__} does not keep its argument {name}")
        value = getattr(module, name)
        if name in _AS_BOOL and (value is None or isinstance(value, Tensor)):
            value = value is not None
        if parameter.default is parameter.empty or not _equal(value, parameter.default):
            values[name] = value
    return values


def _equal(value: Any, usual: Any) -> bool:
    if isinstance(value, tuple) and isinstance(usual, int) and value:
        return all(item == usual for item in value)
    return type(value) is type(usual) and bool(value == usual)


def _short(value: Any, cls: type[nn.Module]) -> Any:
    """Return 3 for (3, 3) where torch takes a number for all dimensions."""
    keeps = (nn.LayerNorm, nn.RMSNorm, nn.Unflatten, nn.ConstantPad1d, nn.ConstantPad2d, nn.ConstantPad3d)
    if isinstance(value, tuple) and value and len(set(value)) == 1 and isinstance(value[0], int):
        return value if issubclass(cls, keeps) and len(value) > 1 else value[0]
    return value


def _made(cls: type[nn.Module], arguments: Values) -> nn.Module:
    try:
        with torch.device("meta"), torch.random.fork_rng(devices=[]):
            return cls(**arguments)
    except Exception as error:
        raise SourceError(f"{cls.__name__} cannot be made from its attributes: {one_line(error)}") from None


def _check(module: nn.Module, arguments: Values) -> None:
    """Compare the layer that the constructor makes with the given one."""
    cls = torch_base(type(module))
    made = _made(cls, arguments)
    for name, value in _plain(made).items():
        if name not in vars(module) or not _same(vars(module)[name], value):
            raise SourceError(f"attribute {name} of a {cls.__name__} is not one that its constructor gives it")
    others = tuple(f"{path}." for path, _ in replaced_parts(module))
    given, own = ({n: t.shape for n, t in m.state_dict().items() if not n.startswith(others)} for m in (module, made))
    missing = {name: shape for name, shape in own.items() if given.get(name) != shape}
    if missing or (type(module) is cls and len(given) != len(own)):
        raise SourceError(f"a {cls.__name__} has other parameters than its constructor makes")


def _plain(module: nn.Module) -> dict[str, Any]:
    kept = (bool, int, float, str, tuple, type(None))
    return {n: v for n, v in vars(module).items() if isinstance(v, kept) and not n.startswith("_") and n != "training"}


def _same(value: Any, other: Any) -> bool:
    """Compare attributes; (3, 3) is 3, as it is for the layers, and NaN is NaN."""
    if isinstance(value, tuple) and isinstance(other, int):
        return all(item == other for item in value)
    return bool(value == other or (isinstance(value, float) and value != value and other != other))
