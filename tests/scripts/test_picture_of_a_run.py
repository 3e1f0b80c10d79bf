import importlib.util
from pathlib import Path

from raynas.run.stored_result import stored_result
from tests.run.stored import stored

ROOT = Path(__file__).parents[2]


def test_the_page_shows_winner_history_and_front(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("picture_of_a_run", ROOT / "scripts" / "picture_of_a_run.py")
    assert spec and spec.loader
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    best = stored(tmp_path / "search").best()
    script.write_page(stored_result(tmp_path / "search"), tmp_path)
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert f"The best of {len(stored_result(tmp_path / 'search').evaluations)} trials: accuracy" in page
    assert f"{best.metrics['accuracy']:.4g}" in page
    assert page.count("Plotly.newPlot(") >= 2
    assert "<svg" in (tmp_path / "winner.svg").read_text(encoding="utf-8")


def test_the_picture_of_the_readme_is_small() -> None:
    assert "docs/images/run.png" in (ROOT / "README.md").read_text(encoding="utf-8")
    assert (ROOT / "docs" / "images" / "run.png").stat().st_size < 200_000
