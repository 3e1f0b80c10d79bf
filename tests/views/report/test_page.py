"""The report as a page of HTML and of Markdown."""

import base64
import gzip
import json
import re
import shutil
import subprocess
from contextlib import closing
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from raynas.core.archive import Archive
from raynas.core.relaxed_weights import RelaxedWeights
from raynas.core.result import SearchResult
from raynas.metrics import read_goal
from raynas.run.stored_result import RecordedSpace
from raynas.views.report import HTML, MARKDOWN, summarise, write
from tests.views.report.searches import TRIALS, searched, summary_of

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>".replace("/", "")
"""An attack in the name of a decision, which holds no slash."""

NOTE = "</script><script>alert(3)</script> [x](javascript:alert) | ![y](http://z)"


class Reader(HTMLParser):
    """Checks that elements are closed in order, and collects them."""

    VOID = frozenset(("meta", "img", "input"))

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def packed(text: str, name: str) -> str:
    (found,) = re.findall(rf'<script type="application/octet-stream" id="{name}">([\w+/=]+)</script>', text)
    return gzip.decompress(base64.b64decode(found)).decode()


def charts(text: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(packed(text, "data"))
    return found


def attacked() -> SearchResult:
    """A search of which every text is an attack."""
    archive = Archive()
    fields = {"objectives": ["max:accuracy"], "constraints": [], "seed": 0, "num_samples": 30, "baseline": {}}
    texts = {"space": NOTE, "trainable": NOTE, "strategy": NOTE, "command": NOTE}
    held = {"versions": {NOTE: NOTE}, "code": {NOTE: NOTE}, "data": {}}
    archive.append("session", **fields, **texts, **held)
    for i in range(30):
        trial, config = f"{i:05d}", {"arch": {EVIL: f"{NOTE} {i % 2}"}, "lr": NOTE}
        archive.append("proposed", trial=trial, config=config, costs={})
        metrics = {"accuracy": i / 30, "params": 1.0 + i, NOTE: 1.0}
        status = "stopped" if i % 3 == 0 else "finished"
        archive.append("ended", trial=trial, status=status, fidelity=1 + i % 3, metrics=metrics, error="")
    return SearchResult(RecordedSpace("x"), read_goal(), archive, Path("results"))


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Reports of a search, and of one that attacks its reader."""
    folder = tmp_path_factory.mktemp("reports")
    for name, result in {"plain": searched(TRIALS * 5, constraints="params <= 35000"), "evil": attacked()}.items():
        (folder / name).mkdir()
        summary = summary_of(result) if name == "plain" else summarise(result, title=NOTE, notes=[NOTE])
        write(summary, folder / name, searches={"search": result, "random": searched(TRIALS[:2])})
    return folder


@pytest.mark.parametrize("name", ["plain", "evil"])
def test_the_page_is_well_formed_and_loads_nothing(pages: Path, name: str) -> None:
    text = (pages / name / HTML).read_text()
    assert len(text) < 3_000_000
    seen = Reader(text).seen
    for tag, attributes in seen:
        assert tag not in ("link", "iframe", "object", "embed", "base", "form action")
        for attribute in ("src", "href", "action", "srcset", "data"):
            assert (attributes.get(attribute) or "#").startswith(("#", "data:image/svg+xml;base64,"))
        assert not [attribute for attribute in attributes if attribute.startswith("on")]
    assert [attributes.get("id") for tag, attributes in seen if tag == "script"] == ["data", "plotly", None]
    policy = next(a["content"] for tag, a in seen if a.get("http-equiv") == "Content-Security-Policy")
    assert policy and "default-src 'none'" in policy and "http" not in policy
    assert "unsafe-inline'" not in policy.partition("script-src")[2]
    assert packed(text, "plotly").startswith("/**\n* plotly.js")


def test_what_the_page_shows(pages: Path) -> None:
    text = (pages / "plain" / HTML).read_text()
    titles = re.findall("<h2>(.*?)</h2>", text)
    assert titles == [
        "The winner", "The search", "Trade-offs", "Cheap scores", "Importance of decisions", "All trials", "Cost",
        "Notes", "Settings",
    ]  # fmt: skip
    found = charts(text)
    assert list(found) == ["history", "survival", "shares", "front", "correlations", "importance", "parallel"]
    assert re.findall('id="chart-([^"]+)"', text) == list(found)
    data = found["front"]["data"]
    assert len(data["ids"]) == 32 and data["ids"][-1] == ["random", 2]
    assert [m["name"] for m in data["metrics"]] == ["accuracy", "params", "latency_ms"]
    assert [m["maximise"] for m in data["metrics"]] == [True, False, False]
    assert data["metrics"][1]["limits"][0]["value"] == 35000
    assert {column["name"] for column in data["columns"]} >= {"search", "trial", "status", "fidelity", "lr", "n_layers"}
    assert "20 trials are too few to say" in text or "mostly noise" in text


def test_names_of_anybody_are_text(pages: Path) -> None:
    text = (pages / "evil" / HTML).read_text()
    assert "<script>alert" not in text and "<img src=x" not in text
    for chart in charts(text).values():
        layout = json.dumps(chart["figure"])
        assert not re.search(r"<(?!/?b>|br>|extra>|/extra>)", layout)  # what plotly would read as markup
    markdown = (pages / "evil" / MARKDOWN).read_text()
    prose = re.sub(r"```.*?```", "", markdown, flags=re.DOTALL)
    assert "<" not in prose and not re.search(r"(?<!\\)\]\(", prose.replace("](network_", "").replace("](pareto_", ""))


def test_markdown_says_the_same(pages: Path) -> None:
    text, page = ((pages / "plain" / name).read_text() for name in (MARKDOWN, HTML))
    assert re.findall("^## (.*)", text, re.MULTILINE) == re.findall("<h2>(.*?)</h2>", page)
    for picture in re.findall(r"!\[.*?\]\((.*?)\)", text):
        assert (pages / "plain" / picture).is_file()
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len(rows) > 30 and "| params |" in "\n".join(rows)


def test_a_search_without_a_trial_has_a_page(tmp_path: Path) -> None:
    result = searched([])
    write(summary_of(result), tmp_path, searches={"search": result})
    assert "No architecture was found" in (tmp_path / HTML).read_text()


def test_an_earlier_picture_is_shown_where_the_space_has_no_code(tmp_path: Path) -> None:
    result = searched()
    write(summary_of(result), tmp_path, searches={"search": result})
    (drawn,) = tmp_path.glob("network_*.svg")
    stored = SearchResult(RecordedSpace("mlp"), result.goal, result.archive, tmp_path)
    write(summary_of(stored), tmp_path, searches={"search": stored})
    assert base64.b64encode(drawn.read_bytes()).decode() in (tmp_path / HTML).read_text()


BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)


@pytest.mark.skipif(BROWSER is None, reason="no browser is installed")
def test_a_browser_draws_every_figure(pages: Path, tmp_path: Path) -> None:
    assert BROWSER
    flags = [
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--enable-unsafe-swiftshader",
        f"--user-data-dir={tmp_path}",
    ]
    page = (pages / "evil" / HTML).as_uri()
    done = subprocess.run(
        [BROWSER, *flags, "--virtual-time-budget=30000", "--window-size=400,900", "--dump-dom", page],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    if done.returncode != 0 and "chart-history" not in done.stdout:
        pytest.skip("the browser does not start here")
    assert 'data-drawn="yes"' in done.stdout and "cannot be drawn" not in done.stdout.replace("`", "")[: 10**6]
    assert done.stdout.count("main-svg") >= 6


def test_shared_weights_have_a_section_and_their_cost(tmp_path: Path) -> None:
    result = searched(path=tmp_path)
    (tmp_path / "supernet").mkdir()
    with closing(Archive(tmp_path / "supernet" / "archive.jsonl")) as archive:
        archive.append("proposed", trial="00001", config={"arch": {}}, costs={})
        for epoch in range(1, 101):
            weights = RelaxedWeights(epoch=epoch, weights={"<b>edge": {"conv": epoch / 100, "skip": 1 - epoch / 100}})
            metrics = {"accuracy": epoch / 200, "train_seconds": 36.0 * epoch}
            archive.append("result", trial="00001", fidelity=epoch, metrics=metrics, **weights.as_field())
    write(summary_of(result), tmp_path, searches={"search": result})
    text = (tmp_path / HTML).read_text()
    assert "<h2>Shared weights</h2>" in text and "1 h 00 m in 1 of 1 trials" in text
    found = charts(text)
    heat = found["option_weights"]["figure"]
    assert heat["data"][0]["x"][:2] == ["1", "3"] and heat["data"][0]["x"][-1] == "100"
    assert len(heat["data"][0]["x"]) == 60 and heat["data"][0]["z"][0][-1] == 1.0
    assert heat["layout"]["yaxis"]["ticktext"][0] == "&lt;b&gt;edge = conv"
    assert found["shared_accuracy"]["figure"]["data"][0]["y"][-1] == 0.5
    assert "shared weights: computing time" in text
    (tmp_path / "supernet" / "archive.jsonl").write_text("{")  # the report does without it
    write(summary_of(result), tmp_path, searches={"search": result})
    assert "<h2>Shared weights</h2>" not in (tmp_path / HTML).read_text()
