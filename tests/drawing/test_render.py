from pathlib import Path
from xml.etree import ElementTree

import pytest
from matplotlib.colors import to_rgb

from raynas.drawing import Arrow, Box, Picture, write
from raynas.errors import RaynasError
from tests.drawing.legible import assert_legible, rendered


def test_faint_edges_are_lighter() -> None:
    picture = Picture([Box("a"), Box("b")], [Arrow("a", "b", "none", faint=True), Arrow("a", "b", "conv")])
    faint, plain = rendered(picture)[2]
    assert sum(to_rgb(faint.get_edgecolor())) > sum(to_rgb(plain.get_edgecolor()))
    assert faint.get_linestyle() != plain.get_linestyle()


def test_a_dollar_is_a_dollar() -> None:
    assert_legible(Picture([Box("a$b$c"), Box("$")], [Arrow("a$b$c", "$", "$x$")]))


def test_writes_svg_and_png(tmp_path: Path) -> None:
    picture = Picture([Box("a"), Box("b")], [Arrow("a", "b", "conv")], title="both")
    write(picture, tmp_path / "cell.SVG")
    assert ElementTree.parse(tmp_path / "cell.SVG").getroot().tag.endswith("svg")
    write(picture, str(tmp_path / "cell.png"))
    assert (tmp_path / "cell.png").read_bytes().startswith(b"\x89PNG")


def test_pictures_that_would_be_too_large_are_coarser(tmp_path: Path) -> None:
    many = Picture([Box(str(i), panel=str(i)) for i in range(400)])
    write(many, tmp_path / "cell.png")
    height = int.from_bytes((tmp_path / "cell.png").read_bytes()[20:24], "big")
    assert 2**15 - 2 <= height <= 2**15


@pytest.mark.parametrize("name", ["cell.pdf", "cell", ".png"])
def test_refuses_other_files(tmp_path: Path, name: str) -> None:
    with pytest.raises(RaynasError, match=r"\.svg or \.png"):
        write(Picture([Box("a")]), tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_leaves_pyplot_alone(tmp_path: Path) -> None:
    from matplotlib import pyplot

    before = pyplot.get_fignums()
    write(Picture([Box("a")]), tmp_path / "a.png")
    assert pyplot.get_fignums() == before
