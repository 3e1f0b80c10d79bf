"""No path leads out of a results folder, whoever names it and wherever links lead."""

from pathlib import Path

import pytest

from raynas.errors import OutsideError
from raynas.files.inside import delete, inside, refuse_links


@pytest.fixture
def results(tmp_path: Path) -> Path:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "precious").write_text("precious")
    (tmp_path / "results" / "00001").mkdir(parents=True)
    return tmp_path / "results"


@pytest.mark.parametrize(
    "name", ["../outside", "../../x", "/etc", "a/b", "a\\b", "..", ".", "", "a\0b", "C:x", "away", "round"]
)
def test_a_name_that_leads_away(results: Path, name: str) -> None:
    (results / "away").symlink_to(results.parent / "outside")
    (results / "round").symlink_to(results / "round")
    with pytest.raises(OutsideError, match="does not lie inside"):
        inside(results, name)


def test_a_name_of_an_entry(results: Path) -> None:
    for name in ("00001", "not there yet", "übung..1"):
        assert inside(results, name) == results / name
    (results / "same").symlink_to(results / "00001")
    (results.parent / "link").symlink_to(results)
    assert inside(results, "same").is_dir(), "a link that stays inside"
    assert inside(results.parent / "link", "00001").is_dir(), "the folder itself may be a link: the user named it"


@pytest.mark.parametrize("place", ["a", "00001/checkpoint_000000", "00001/deep/er"])
@pytest.mark.parametrize("target", ["outside", "outside/precious", "nowhere", "results/00001/../../outside"])
def test_a_link_that_leads_out(results: Path, place: str, target: str) -> None:
    (results / place).parent.mkdir(exist_ok=True)
    (results / place).symlink_to(results.parent / target)
    with pytest.raises(OutsideError, match=r"is a link to .*remove the link"):
        refuse_links(results)


def test_links_that_stay_inside(results: Path) -> None:
    (results / "00001" / "file").touch()
    (results / "latest").symlink_to(results / "00001")
    (results / "00001" / "up").symlink_to("../00001")
    for folder in (results, results / "not there yet"):
        refuse_links(folder)  # raises nothing
    assert (results / "latest" / "file").is_file() and (results / "00001" / "up").is_symlink()


def test_a_link_is_deleted_and_never_its_target(results: Path) -> None:
    outside = results.parent / "outside"
    (results / "link").symlink_to(outside)
    (results / "00001" / "inner").symlink_to(outside)
    for name in ("link", "00001", "not there"):
        delete(results / name)
    assert list(results.iterdir()) == [] and (outside / "precious").read_text() == "precious"
