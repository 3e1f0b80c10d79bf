import sys
from pathlib import Path

from raynas.checkout import PartsFinder

CHECKOUT = Path(__file__).resolve().parents[1]


def test_a_part_is_found_at_the_root() -> None:
    spec = PartsFinder().find_spec("raynas.trials", [str(CHECKOUT / "raynas")])
    assert spec is not None
    assert spec.name == "raynas.trials"
    assert spec.origin == str(CHECKOUT / "trials" / "__init__.py")


def test_a_part_inside_the_package_comes_first(tmp_path: Path) -> None:
    inside = tmp_path / "raynas" / "trials" / "__init__.py"
    inside.parent.mkdir(parents=True)
    inside.touch()
    spec = PartsFinder().find_spec("raynas.trials", [str(tmp_path / "raynas")])
    assert spec is not None
    assert spec.origin == str(inside)


def test_nothing_else_at_the_root_is_a_part() -> None:
    for name in ("trials", "raynas.tests", "raynas.scripts", "raynas.raynas", "raynas.trials.trial"):
        assert PartsFinder().find_spec(name, [str(CHECKOUT / "raynas")]) is None


def test_one_finder_is_in_place() -> None:
    assert sum(isinstance(finder, PartsFinder) for finder in sys.meta_path) == 1
