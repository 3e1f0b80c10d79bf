"""A step of training waits for no GPU, and copies nothing to it where the data is there."""

import sys
from types import ModuleType

import pytest

from tests.scripts.loading import SCRIPTS


@pytest.fixture(scope="module")
def bench() -> ModuleType:
    sys.path.insert(0, str(SCRIPTS.parent))
    import scripts.bench.device_operations as module

    return module


@pytest.mark.parametrize("name", ["plain", "single_path", "darts"])
def test_a_step_waits_for_nothing(bench: ModuleType, name: str) -> None:
    count = {
        "plain": lambda: bench.plain(1, 3, "float32"),
        "single_path": lambda: bench.shared("single_path", 1, 3, "float32"),
        "darts": lambda: bench.shared("darts", 1, 3, "float32"),
    }[name]
    found = count()
    assert found.operations > 50
    assert (found.waits, found.copies) == (0, 0), found.reasons


def test_images_that_do_not_fit_are_copied_without_waiting(bench: ModuleType) -> None:
    kept, ahead = (bench.images(1, 16, fits=fits) for fits in (True, False))
    assert kept.copies == kept.waits == ahead.waits == 0
    assert ahead.copies == 3 and 0.05 < ahead.megabytes < 0.06
