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
    assert not {"hyperopt", "optuna", "tensorboard", "matplotlib", "torchvision", "raynas.run.search"} & set(
        done.stdout.split()
    )


def test_help_loads_none_of_the_large_libraries() -> None:
    code = "import sys; from raynas.cli.search_request import read_search; read_search([]); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "ray", "numpy", "pandas", "sklearn", "scipy", "optuna"} & set(done.stdout.split())


def test_a_network_on_small_images_is_checked_without_the_compiler_of_torch() -> None:
    code = (
        "import sys; from raynas.data.fit_space import check_network; from raynas.data.image_sets import load_images; "
        "from raynas.search_spaces import CNN; check_network(CNN(input_shape=(1, 8, 8)), load_images('digits')); "
        "print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch._dynamo", "sympy"} & set(done.stdout.split())


def test_a_search_loads_only_the_strategy_that_it_needs() -> None:
    code = "import sys, raynas.cli.run_steps; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"sklearn", "scipy.stats", "hyperopt", "networkx", "matplotlib"} & set(done.stdout.split())
