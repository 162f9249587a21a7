"""The report in headless Chromium: what it shows, what it does, what it leaves alone."""

import json
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import run_folders
from run_folders import line
from source import ROOT

from nanonas.comparison.compare import compare
from nanonas.core.task import Task
from nanonas.core.trial import Line
from nanonas.spaces import SPACES

pytestmark = pytest.mark.external

AXE = ROOT / "build" / "node" / "node_modules" / "axe-core" / "axe.min.js"
FLAGS = (
    "headless=new", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-background-networking",
    "disable-component-update", "disable-sync",
)  # fmt: skip
WIDTHS = (390, 1400)
A4 = 718  # pixels of 1/96 inch between margins of 1 cm
EVIL = "<script>alert(1)</script>"
Browser = Any  # selenium's driver


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    for flag in FLAGS:
        options.add_argument(f"--{flag}")
    options.binary_location = shutil.which("chromium") or pytest.fail("chromium is missing: apt-get install chromium")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = shutil.which("chromedriver") or pytest.fail("chromedriver is missing: apt-get install chromium-driver")
    chromium = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield chromium
    chromium.quit()


@pytest.fixture
def opened(browser: Browser) -> Callable[..., None]:
    def open_(page: Path, width: int, scheme: str = "light") -> None:
        for name in ("browser", "performance"):
            browser.get_log(name)  # what an earlier test left
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        feature = {"name": "prefers-color-scheme", "value": scheme}
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "screen", "features": [feature]})
        browser.get(page.as_uri())

    return open_


def searched(name: str, count: int, seed: int) -> list[Line]:
    """Trials as a search of this space would leave them, some of them failed."""
    space, rng = SPACES[name](SPACES[name].Config()), random.Random(seed)
    lines = []
    for trial in range(count):
        genotype = space.sample(rng)
        measured = space.measure(genotype, Task(3, 32, 32, 10))
        metrics = {"val_accuracy": rng.random(), "params": measured["params"], "macs": measured["macs"]}
        failed = {"error": EVIL, "status": "failed", "metrics": {}} if trial % 20 == 19 else {}
        lines.append(line(trial, 0, str(genotype), **{"metrics": metrics} | failed))
    return lines


def written(folder: Path, space: str, lines: list[Line], strategy: str = "evolution", seed: int = 0) -> Path:
    """A run directory whose winner is its best trial, of images and classes that are known."""
    best = max((one for one in lines if one.metrics), key=lambda one: one.metrics["val_accuracy"])
    spec: dict[str, Any] = {"name": strategy, "space": {"name": space}, "budget": {"trials": len(lines)}}
    spec["strategy"] = {"name": strategy}
    run = run_folders.make_run(folder, 0.9 + seed / 100, spec=spec, seed=seed, lines=lines, genotype=best.genotype)
    task = {"channels": 3, "height": 32, "width": 32, "classes": 2}
    found = {"trial": best.trial, "genotype": best.genotype, "metrics": dict(best.metrics)}
    known = {"search.json": {"best": found, "task": task}, "eval.json": {"per_class": {EVIL: 0.5, "'\"&": 1}}}
    for file, more in known.items():
        run_folders.write(run / file, json.loads((run / file).read_text()) | more)
    return run


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two arms of two seeds in folders with names that would break out of anything."""
    folder = tmp_path_factory.mktemp("a folder with ü, 'single' and \"double\" quotes") / "<b>&amp; runs"
    folder.mkdir()
    runs = [
        written(folder / f"{strategy} {seed}", "nano", searched("nano", 60, seed), strategy, seed)
        for strategy in ("evolution", "random")
        for seed in (0, 1)
    ]
    compare(runs, html=folder / "report ü.html")
    return folder / "report ü.html"


@pytest.mark.parametrize("width", WIDTHS)
def test_it_opens_without_an_error_or_a_request(
    browser: Browser, opened: Callable[..., None], page: Path, width: int
) -> None:
    opened(page, width)
    assert browser.get_log("browser") == []
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    sent = [one["params"]["request"]["url"] for one in messages if one["method"] == "Network.requestWillBeSent"]
    assert sent == [page.as_uri()]
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    shown = browser.execute_script(
        "return [...document.querySelectorAll('main > section svg')].map((svg) => svg.getBoundingClientRect().width)"
    )
    assert len([size for size in shown if size > 100]) >= 6  # accuracies, a network, two curves, sizes, choices
    assert browser.execute_script("return document.querySelectorAll('main script, main b').length") == 0


def test_nothing_is_cut_off_on_paper(browser: Browser, opened: Callable[..., None], page: Path) -> None:
    opened(page, A4)
    browser.execute_script("document.querySelectorAll('details').forEach((part) => { part.open = true; })")
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    edge = (
        "return Math.max(...[...document.querySelectorAll('svg, table')].map((it) => it.getBoundingClientRect().right))"
    )
    assert browser.execute_script(edge) <= A4


def test_a_low_fidelity_stands_below_the_highest(browser: Browser, opened: Callable[..., None], tmp_path: Path) -> None:
    best, *others = searched("nano", 6, 0)
    lucky = best.model_copy(update={"fidelity": {"epochs": 1}, "metrics": {**best.metrics, "val_accuracy": 1.0}})
    compare([written(tmp_path / "run", "nano", [lucky, *others])], html=tmp_path / "report.html")
    opened(tmp_path / "report.html", WIDTHS[0])
    rows: list[str] = browser.execute_script(
        "return [...document.querySelectorAll('.trials tbody tr')].map((row) => row.cells[0].textContent)"
    )
    accuracies = {line.trial: line.metrics["val_accuracy"] for line in others}
    assert [int(trial) for trial in rows] == [*sorted(accuracies, key=accuracies.__getitem__, reverse=True), 0]


@pytest.mark.parametrize("width", WIDTHS)
def test_the_table_sorts_and_filters(browser: Browser, opened: Callable[..., None], page: Path, width: int) -> None:
    opened(page, width)

    def column(number: int) -> list[str]:
        rows: list[str] = browser.execute_script(
            "const {rows} = document.querySelector('.trials tbody');"
            "return [...rows].map((row) => row.cells[arguments[0]].textContent)",
            number,
        )
        return rows

    def click(selector: str) -> None:
        browser.execute_script("document.querySelector(arguments[0]).click()", selector)

    accuracies = [float(text.removesuffix(" %")) for text in column(2)]
    assert len(accuracies) == 50
    assert accuracies == sorted(accuracies, reverse=True)
    click("th[data-column='1'] button")
    assert [int(text) for text in column(1)] == sorted(trial for trial in range(13) for _ in range(4))[:50]
    click("th[data-column='1'] button")
    assert column(1)[:4] == ["59"] * 4
    assert (
        browser.execute_script("return document.querySelector('[aria-sort]').getAttribute('aria-sort')") == "descending"
    )
    click("#more")
    assert len(column(1)) == 100
    field = browser.find_element("id", "filter")
    field.send_keys("alert random")
    assert set(column(2)) == {"failed"}
    assert len(column(2)) == 6
    assert all(EVIL in text for text in column(6))
    field.clear()


def dots(browser: Browser) -> list[dict[str, Any]]:
    """Where the dots of the front are on the screen, and what the embedded trials say of them."""
    found: list[dict[str, Any]] = browser.execute_script("""
        const data = JSON.parse(document.getElementById("data").textContent);
        document.querySelector("svg.pointed").scrollIntoView({block: "center"});
        return [...document.querySelectorAll("svg.pointed circle.mark")].map((dot) => {
          const box = dot.getBoundingClientRect();
          const {run, trial} = dot.dataset;
          const row = data.trials.find((row) => row[0] === Number(run) && row[1] === Number(trial));
          return {x: box.x + box.width / 2, y: box.y + box.height / 2, genotype: row[7]};
        });""")
    return found


@pytest.mark.parametrize("width", WIDTHS)
def test_a_dot_shows_its_genotype_and_it_can_be_copied(
    browser: Browser, opened: Callable[..., None], page: Path, width: int
) -> None:
    opened(page, width)
    chosen = browser.find_element("id", "chosen-genotype")
    winner = chosen.text

    def mouse(kind: str, dot: dict[str, Any]) -> None:
        where = {"type": kind, "x": dot["x"], "y": dot["y"], "button": "left", "clickCount": 1}
        browser.execute_cdp_cmd("Input.dispatchMouseEvent", where)

    first, *others = dots(browser)
    last = max(others, key=lambda dot: min(abs(dot["x"] - it["x"]) for it in (first, *others) if it is not dot))
    assert first["genotype"] != last["genotype"]
    mouse("mouseMoved", first)
    assert chosen.text == first["genotype"]
    mouse("mouseMoved", {"x": 1, "y": 1})
    assert chosen.text == winner
    mouse("mousePressed", last)
    mouse("mouseReleased", last)
    mouse("mouseMoved", {"x": 1, "y": 1})
    assert chosen.text == last["genotype"]
    browser.execute_script("document.querySelector('svg.pointed circle.mark').focus()")
    assert chosen.text == first["genotype"]
    button = browser.find_element("css selector", "[data-copy=chosen-genotype]")
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'}); arguments[0].click()", button)
    browser.execute_async_script("setTimeout(arguments[0], 100)")
    assert button.text == "copied"
    field = browser.find_element("id", "filter")
    field.click()
    browser.execute_cdp_cmd("Input.dispatchKeyEvent", {"type": "keyDown", "commands": ["paste"]})
    assert field.get_attribute("value") == first["genotype"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_axe_finds_nothing_serious(
    browser: Browser, opened: Callable[..., None], page: Path, width: int, scheme: str
) -> None:
    opened(page, width, scheme)
    browser.execute_script("document.querySelectorAll('details').forEach((part) => { part.open = true; })")
    browser.execute_script(AXE.read_text(encoding="utf-8"))
    found = browser.execute_async_script("axe.run().then((result) => arguments[0](result.violations))")
    serious = [one for one in found if one["impact"] in ("serious", "critical")]
    assert not serious, [(one["id"], one["nodes"][0]["html"], one["nodes"][0]["failureSummary"]) for one in serious]


def test_five_thousand_trials_open_at_once(browser: Browser, opened: Callable[..., None], tmp_path: Path) -> None:
    """Issue 6: under 5 MB, opened in under 2 s."""
    compare([written(tmp_path / "run", "nano", searched("nano", 5_000, 0))], html=tmp_path / "report.html")
    assert (tmp_path / "report.html").stat().st_size < 5_000_000
    opened(tmp_path / "report.html", 1400)
    ready = "const [it] = performance.getEntriesByType('navigation'); return it.loadEventEnd"
    assert 0 < browser.execute_script(ready) < 2_000  # 0: it has not ended
    assert browser.execute_script("return document.querySelector('#shown').textContent") == "50 of 5,000 shown"
