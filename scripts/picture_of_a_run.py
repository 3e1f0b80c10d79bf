"""Make docs/images/run.png, the picture of a run in the README: its winner, its history and its front.

    python scripts/run_tune.py --demo
    python scripts/picture_of_a_run.py results/NAME

Both figures are those of report.html. A browser draws them: chromium (Debian: apt-get install chromium).
"""

import argparse
import html
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from plotly import graph_objects, io

from raynas import analysis
from raynas.core.result import SearchResult
from raynas.drawing.decisions import decisions_picture
from raynas.drawing.render import write
from raynas.run.stored_result import stored_result
from raynas.views.figures import front_figure, history_figure

PICTURE = Path(__file__).parents[1] / "docs" / "images" / "run.png"
WIDTH, HEIGHT = 860, 520
"""Pixels of the page; the picture has twice as many in each direction."""

PAGE = """<!doctype html><meta charset="utf-8"><style>
body {{ margin: 0; width: {width}px; height: {height}px; font: 13px system-ui, sans-serif; color: #222 }}
h1 {{ font-size: 14px; margin: 10px 12px 4px }} main {{ display: flex }} main > div {{ width: 50% }}
img {{ display: block; height: 120px; margin: 0 8px }}
</style><h1>{title}</h1><img src="winner.svg">
<main><div><h1>best accuracy so far</h1>{history}</div><div><h1>accuracy against size</h1>{front}</div></main>"""


def main() -> None:
    """Read the arguments, draw, and say where the picture is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("search", type=Path, help="the folder of a search")
    parser.add_argument("--to", type=Path, default=PICTURE, metavar="FILE", help="default: docs/images/run.png")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        write_page(stored_result(args.search), Path(folder))
        photograph(Path(folder) / "page.html", args.to.resolve(), Path(folder) / "profile")
    print(f"{args.to}: {args.to.stat().st_size / 1000:.0f} kB")


def write_page(result: SearchResult, folder: Path) -> None:
    """Write page.html, with the network of the winner in a file beside it."""
    goal, best = result.goal, result.best()
    write(decisions_picture(best.arch, title=""), folder / "winner.svg")
    across = analysis.compared(goal)[0]
    figures = (
        history_figure(analysis.history(result.evaluations, goal)),
        front_figure(analysis.front(result.evaluations, goal, across)),
    )
    history, front = (as_html(figure, first=n == 0) for n, figure in enumerate(figures))
    found = ", ".join(f"{name} {best.metrics[name]:.4g}" for name in (goal.first.metric, across.metric))
    title = html.escape(f"The best of {len(result.evaluations)} trials: {found}")
    page = PAGE.format(width=WIDTH, height=HEIGHT, title=title, history=history, front=front)
    (folder / "page.html").write_text(page, encoding="utf-8")


def as_html(figure: dict[str, object], *, first: bool) -> str:
    """Return a figure as a part of a page, of which the first brings plotly's script along."""
    drawn = graph_objects.Figure(figure).update_layout(height=340, width=WIDTH // 2)
    part: str = io.to_html(drawn, full_html=False, include_plotlyjs=first, config={"displayModeBar": False})
    return part


def photograph(page: Path, picture: Path, profile: Path) -> None:
    """Store the page as the browser shows it."""
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None:
        sys.exit("no chromium: on Debian, apt-get install chromium")
    picture.parent.mkdir(parents=True, exist_ok=True)
    flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--force-device-scale-factor=2"]
    size = [f"--window-size={WIDTH},{HEIGHT}", f"--user-data-dir={profile}", "--virtual-time-budget=8000"]
    done = subprocess.run([browser, *flags, *size, f"--screenshot={picture}", page.as_uri()], capture_output=True)
    if done.returncode or not picture.is_file():
        sys.exit(f"{browser} failed: {done.stderr.decode(errors='replace')[-500:]}")


if __name__ == "__main__":
    main()
