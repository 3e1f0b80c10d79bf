"""Global state of torch."""

from collections.abc import Sequence
from functools import partial
from types import ModuleType
from typing import Any

import torch
from torch import overrides
from torch.nn.modules import module as torch_module
from torch.utils import _device, _python_dispatch, deterministic

from raynas.isolation.setting import Setting


def torch_settings() -> dict[str, Setting]:
    """Return torch's settings by name, in the order in which to write them."""
    return {
        "the default dtype": Setting(torch.get_default_dtype, torch.set_default_dtype),
        "the default device": Setting(_function_modes, _set_function_modes),
        "the dispatch modes": Setting(_dispatch_modes, _set_dispatch_modes),
        "anomaly mode": Setting(_anomaly, lambda value: torch.set_anomaly_enabled(*value)),
        "deterministic algorithms": Setting(_deterministic, _set_deterministic),
        **_flags(),
        # After the flags, which say the same less finely: setting them sets it too.
        "the precision of matrix products": Setting(
            torch.get_float32_matmul_precision, torch.set_float32_matmul_precision
        ),
        "the number of threads": Setting(torch.get_num_threads, torch.set_num_threads),
        "autocast": Setting(_autocast, _set_autocast),
        "global hooks of modules": Setting(_module_hooks, _set_module_hooks),
    }


def _flags() -> dict[str, Setting]:
    """Return the flags of torch's back ends that this release of torch has."""
    backends = torch.backends
    reduced = [f"allow_{kind}_reduced_precision_reduction" for kind in ("fp16", "bf16")]
    groups: Sequence[tuple[str, Any, Sequence[str]]] = [
        ("cudnn", backends.cudnn, ("enabled", "benchmark", "benchmark_limit", "deterministic", "allow_tf32")),
        ("cuda.matmul", backends.cuda.matmul, ("allow_tf32", *reduced, "allow_fp16_accumulation")),
        ("mkldnn", backends.mkldnn, ("enabled", "deterministic", "allow_tf32")),
        ("deterministic", deterministic, ("fill_uninitialized_memory",)),
    ]
    return {
        **{
            f"torch.backends.{group}.{name}": Setting(partial(getattr, module, name), partial(setattr, module, name))
            for group, module, names in groups
            for name in names
            if _has(module, name)
        },
        **{
            f"torch.backends.cuda.{kind}_sdp": Setting(
                getattr(backends.cuda, f"{kind}_sdp_enabled"), getattr(backends.cuda, f"enable_{kind}_sdp")
            )
            for kind in ("flash", "mem_efficient", "math", "cudnn")
        },
    }


def _has(module: ModuleType, name: str) -> bool:
    try:
        getattr(module, name)
    except AttributeError:
        return False
    except RuntimeError:  # it exists, and cannot be read now
        return True
    return True


def _function_modes() -> tuple[object, ...]:
    """Return the stack of modes, among them the default device; that of ``torch.set_default_device`` comes first."""
    default = getattr(torch._GLOBAL_DEVICE_CONTEXT, "device_context", None)
    return (default, _device.CURRENT_DEVICE, *overrides._get_current_function_mode_stack())


def _set_function_modes(value: tuple[Any, ...]) -> None:
    default, device, *modes = value
    for _ in overrides._get_current_function_mode_stack():
        overrides._pop_mode()
    for mode in modes:
        overrides._push_mode(mode)
    torch._GLOBAL_DEVICE_CONTEXT.device_context = default
    _device.CURRENT_DEVICE = device


def _dispatch_modes() -> tuple[object, ...]:
    return tuple(_python_dispatch._get_current_dispatch_mode_stack())


def _set_dispatch_modes(value: tuple[Any, ...]) -> None:
    for _ in _python_dispatch._get_current_dispatch_mode_stack():
        _python_dispatch._pop_mode()
    for mode in value:
        _python_dispatch._push_mode(mode)


def _anomaly() -> tuple[bool, bool]:
    return torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled()


def _deterministic() -> tuple[bool, bool]:
    return torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()


def _set_deterministic(value: tuple[bool, bool]) -> None:
    torch.use_deterministic_algorithms(value[0], warn_only=value[1])


def _autocast() -> tuple[object, ...]:
    devices = [(torch.is_autocast_enabled(device), torch.get_autocast_dtype(device)) for device in ("cpu", "cuda")]
    return (torch.is_autocast_cache_enabled(), *devices)


def _set_autocast(value: tuple[Any, ...]) -> None:
    cached, *devices = value
    torch.set_autocast_cache_enabled(cached)
    for device, (enabled, dtype) in zip(("cpu", "cuda"), devices, strict=True):
        torch.set_autocast_enabled(device, enabled)
        torch.set_autocast_dtype(device, dtype)
    torch.clear_autocast_cache()


_HOOKS = [name for name in vars(torch_module) if name.startswith("_global_")]


def _module_hooks() -> dict[str, object]:
    hooks = {name: getattr(torch_module, name) for name in _HOOKS}
    return {name: dict(value) if isinstance(value, dict) else value for name, value in hooks.items() if value}


def _set_module_hooks(value: dict[str, Any]) -> None:
    for name in _HOOKS:
        hooks = getattr(torch_module, name)
        if isinstance(hooks, dict):
            hooks.clear()
            hooks.update(value.get(name, {}))
        else:
            setattr(torch_module, name, value.get(name))
