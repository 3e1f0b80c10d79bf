"""What ``import raynas`` gives, and what it must not load."""

import subprocess
import sys

import raynas


def test_every_public_name_exists_and_is_sorted() -> None:
    assert raynas.__all__ == sorted(raynas.__all__, key=lambda name: (name.islower(), name))
    for name in raynas.__all__:
        assert getattr(raynas, name) is not None


def test_an_unknown_name_is_an_attribute_error() -> None:
    assert not hasattr(raynas, "searched")


def test_a_worker_does_not_load_what_only_the_driver_needs() -> None:
    code = "import sys, raynas.trials, raynas.search_spaces; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"hyperopt", "optuna", "tensorboard", "matplotlib", "raynas.run.search"} & set(done.stdout.split())


def test_help_loads_none_of_the_large_libraries() -> None:
    code = "import sys; from raynas.cli.search_request import read_search; read_search([]); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "ray", "numpy", "pandas", "sklearn", "scipy", "optuna"} & set(done.stdout.split())
