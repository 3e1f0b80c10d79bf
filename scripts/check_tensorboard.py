"""Open the TensorBoard pages of a search in a real headless browser, and check that all that it logged shows.

    python scripts/check_tensorboard.py LOGDIR [--screenshots FOLDER]

It needs chromium and chromedriver (Debian: apt-get install chromium chromium-driver), and speaks to the latter in the
W3C WebDriver protocol, so no package besides raynas's own. It ends with status 0 if what TensorBoard has read from
LOGDIR (curves, pictures, charts, hparam and metric columns, values) is also on the pages, 1280 pixels wide, and leaves
a screenshot of each. TensorBoard ticks no run on some pages if there are more than 40, so those pages show the run of
the search alone.
"""

import argparse
import base64
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

PATIENCE = 60.0
"""Seconds until a server must answer and a page must show what it should."""

# Text of the whole page: most of TensorBoard lives in shadow roots, which innerText does not enter.
PAGE_TEXT = """
const walk = node => node.nodeType === Node.TEXT_NODE ? node.textContent + "\\n"
  : /^(SCRIPT|STYLE|TEMPLATE)$/.test(node.nodeName) ? ""
  : [...(node.shadowRoot ? node.shadowRoot.childNodes : []), ...node.childNodes].map(walk).join("");
return walk(document.body);
"""


def main() -> None:
    """Read the arguments, check, and say what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("logdir", type=Path, help="what TensorBoard shows")
    parser.add_argument("--screenshots", type=Path, default=Path(), metavar="FOLDER", help="where to (default: here)")
    args = parser.parse_args()
    args.screenshots.mkdir(parents=True, exist_ok=True)
    missing = [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]
    if missing:
        sys.exit(f"{' and '.join(missing)} missing: on Debian, apt-get install chromium chromium-driver")
    with ExitStack() as stack:
        page = stack.enter_context(tensorboard(args.logdir))
        search = stack.enter_context(tensorboard(args.logdir / "search"))
        browser = stack.enter_context(open_browser())
        for where, tab, expected in (
            (page, "timeseries", opened_tags),
            (search, "scalars", curves),
            (page, "hparams", hparams_table),
            (search, "images", images),
            (search, "custom_scalars", charts),
        ):
            check_tab(browser, f"{where}/#{tab}", partial(expected, where), args.screenshots / f"{tab}.png")


def check_tab(browser: str, url: str, expected: Callable[[], list[str]], screenshot: Path) -> None:
    """Wait until all that is expected is on the page; exit with what is not there otherwise."""
    resize(browser, 5000)  # charts out of sight are not filled in
    request(f"{browser}/url", {"url": url})
    missing: list[str] = []

    def complete() -> bool:
        words = [word for word in map(str.strip, script(browser, PAGE_TEXT).splitlines()) if word]
        shown = {*words, *map("".join, pairwise(words))}  # titles may be in two parts
        missing[:] = [text for text in expected() if text not in shown]
        return not missing and bool(expected())

    found = wait_for(complete)
    resize(browser, 1600)
    time.sleep(2)  # charts are drawn after their titles
    screenshot.write_bytes(base64.b64decode(request(f"{browser}/screenshot")))
    if not found:
        sys.exit(f"{url} does not show {missing or 'anything'}; see {screenshot}")
    print(f"{url.partition('#')[2]}: all of {', '.join(expected())} are there; see {screenshot}")


def opened_tags(page: str) -> list[str]:
    """Return the pictures in the first group, which the page shows without scrolling."""
    return [tag for tag in images(page) if tag.startswith("best/")]


def images(page: str) -> list[str]:
    """Return the name of each picture in the groups that are open at first."""
    runs = request(f"{page}/data/plugin/images/tags")
    tags = sorted({tag for tags in runs.values() for tag in tags})
    groups = list(dict.fromkeys(tag.partition("/")[0] for tag in tags))
    return [tag for tag in tags if tag.partition("/")[0] in groups[:2]]


def curves(page: str) -> list[str]:
    """Return the name of each curve on the first page of the first group; the page has twelve."""
    runs = request(f"{page}/data/plugin/scalars/tags")
    tags = sorted({tag for tags in runs.values() for tag in tags})
    return [tag for tag in tags if tag.partition("/")[0] == tags[0].partition("/")[0]][:12]


def charts(page: str) -> list[str]:
    """Return the title of each chart of the layout in the categories that are open at first."""
    page_layout = request(f"{page}/data/plugin/custom_scalars/layout")
    found = [category for category in page_layout.get("category", []) if not category.get("closed")]
    return [chart["title"] for category in found[:2] for chart in category["chart"]]


def hparams_table(page: str) -> list[str]:
    """Return the columns of the HParams table, and the values of a decision's options in its first rows."""
    experiment = request(f"{page}/data/plugin/hparams/experiment", {})
    hparams = [info["name"] for info in experiment.get("hparamInfos", [])]
    metrics = [info["displayName"] or info["name"]["tag"] for info in experiment.get("metricInfos", [])]
    asked = {"startIndex": 0, "sliceSize": 5, "allowedStatuses": ["STATUS_SUCCESS"], "colParams": []}
    groups = request(f"{page}/data/plugin/hparams/session_groups", asked).get("sessionGroups", [])
    values = {value for group in groups for value in group["hparams"].values() if isinstance(value, str)}
    return [*hparams, *metrics, *sorted(values)] if hparams and metrics and groups else []


# --- the two servers -----------------------------------------------------------------------------------------------


@contextmanager
def tensorboard(logdir: Path) -> Iterator[str]:
    """Run TensorBoard on ``logdir`` at a free loopback port; yield its address."""
    if not logdir.is_dir():
        sys.exit(f"{logdir} is no folder")
    port = free_port()
    options = ["--logdir", str(logdir), "--host", "127.0.0.1", "--port", str(port), "--reload_interval", "2"]
    with running([sys.executable, "-m", "tensorboard.main", *options]) as log:
        page = f"http://127.0.0.1:{port}"
        if not wait_for(lambda: answers(f"{page}/data/environment")):
            sys.exit(f"TensorBoard did not start:\n{log.read_text()}")
        yield page


@contextmanager
def open_browser() -> Iterator[str]:
    """Open a session of headless chromium; yield its address."""
    port = free_port()
    with running(["chromedriver", f"--port={port}"]) as log:
        driver = f"http://127.0.0.1:{port}"
        if not wait_for(lambda: answers(f"{driver}/status")):
            sys.exit(f"chromedriver did not start:\n{log.read_text()}")
        # No sandbox: it needs rights that containers and root do not have, and the page is our own.
        options = {"args": ["--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]}
        chrome = {"browserName": "chrome", "goog:chromeOptions": options, "timeouts": {"script": int(1000 * PATIENCE)}}
        wanted = {"capabilities": {"alwaysMatch": chrome}}
        session = f"{driver}/session/{request(f'{driver}/session', wanted)['sessionId']}"
        try:
            yield session
        finally:
            request(session, method="DELETE")


@contextmanager
def running(command: list[str]) -> Iterator[Path]:
    """Run a process until the end of the block, then delete its temporary files; yield the file of its output."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        log = Path(folder, "log")
        with log.open("wb") as output:
            environment = {**os.environ, "TMPDIR": folder}
            process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environment)
        try:
            yield log
        finally:
            process.terminate()
            process.wait()


def free_port() -> int:
    """Return a loopback port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(url: str) -> bool:
    """Return whether a server answers."""
    try:
        request(url)
    except OSError:
        return False
    return True


def wait_for(condition: Callable[[], bool]) -> bool:
    """Return whether the condition holds within ``PATIENCE``."""
    end = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.5)
    return True


def resize(browser: str, height: int) -> None:
    """Make the browser's window as high as that."""
    request(f"{browser}/window/rect", {"width": 1280, "height": height})


def script(browser: str, code: str) -> str:
    """Return the result of JavaScript on the page."""
    return str(request(f"{browser}/execute/sync", {"script": code, "args": []}))


def request(url: str, body: Any = None, method: str | None = None) -> Any:
    """Return the JSON that a server answers: to POST if there is a body, otherwise to GET."""
    data = None if body is None else json.dumps(body).encode()
    asked = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)
    # The environment may name a proxy, which does not know this machine's own ports.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(asked, timeout=PATIENCE) as answer:
            content = json.load(answer)
    except urllib.error.HTTPError as error:
        sys.exit(f"{url}: {error.read().decode(errors='replace')[:500]}")
    return content["value"] if isinstance(content, dict) and "value" in content else content


if __name__ == "__main__":
    main()
