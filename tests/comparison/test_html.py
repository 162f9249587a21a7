"""The report of compare, as a text; tests/test_browser.py opens it."""

import base64
import csv
import hashlib
import json
import random
import re
import tempfile
from collections.abc import Sequence
from html import escape
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest
import run_folders
from hypothesis import given, settings
from hypothesis import strategies as st
from run_folders import EVOLUTION, GENOTYPES, RANDOM, line

from nanonas.comparison.compare import compare
from nanonas.comparison.html.network import network
from nanonas.core.errors import RunError
from nanonas.core.genotype import Genotype
from nanonas.core.pareto import front
from nanonas.core.ranking import kendall
from nanonas.core.task import Task
from nanonas.core.trial import Line, trial_of
from nanonas.pages.svg import round_count, ticks
from nanonas.spaces import SPACES

EVIL = "<script>alert('1')</script>&\"</style>"


class Tags(HTMLParser):
    """Every tag of a page; `open` is what was not closed."""

    VOID = ("meta", "input")

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def named(self, tag: str, **attributes: str) -> list[dict[str, str | None]]:
        return [found for name, found in self.seen if name == tag and attributes.items() <= found.items()]


def report_of(folder: Path, *runs: Path) -> str:
    compare(runs, html=folder / "report.html")
    return (folder / "report.html").read_text(encoding="utf-8")


def data_of(page: str) -> dict[str, object]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page)
    assert found
    return dict(json.loads(found[1]))


@pytest.fixture
def arms(tmp_path: Path) -> list[Path]:
    specs = {"a": EVOLUTION, "b": RANDOM}
    return [
        run_folders.make_run(tmp_path / f"{name}{seed}", 0.9 + seed / 100, spec=spec, seed=seed)
        for name, spec in specs.items()
        for seed in (0, 1)
    ]


def test_the_report_is_one_file_that_needs_nothing_else(arms: list[Path], tmp_path: Path) -> None:
    page = report_of(tmp_path, *arms)
    tags = Tags(page)
    assert tags.open == []
    assert not [
        tag for tag, found in tags.seen if tag in ("link", "img", "a") or found.keys() & {"src", "href", "style"}
    ]
    assert not re.search(r"url\(|@import|https?://(?!www\.w3\.org/2000/svg)", page)
    assert len(tags.named("path", **{"class": "curve g0"})) == len(tags.named("path", **{"class": "curve g1"})) == 2 * 2
    for svg in page.split("<svg")[1:]:
        ElementTree.fromstring("<svg" + svg.partition("</svg>")[0] + "</svg>")
    for heading in (
        "Winner",
        "Search",
        "Trials",
        "Statistics",
        "Conformance",
        "Environment",
        "Commands that repeat it",
    ):
        assert f"<h2>{heading}</h2>" in page
    assert escape(compare(arms)["verdict"]) in page
    assert f"nanonas search --spec {arms[0] / 'spec.yaml'}" in page


def test_the_page_allows_its_own_script_and_style_and_no_other(arms: list[Path], tmp_path: Path) -> None:
    page = report_of(tmp_path, *arms)
    (policy,) = Tags(page).named("meta", **{"http-equiv": "Content-Security-Policy"})
    allowed = str(policy["content"])
    for element in ("style", "script"):
        (content,) = re.findall(rf"<{element}>(.*?)</{element}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{element}-src 'sha256-{digest}'" in allowed
    assert allowed.startswith("default-src 'none'; ")
    assert "unsafe" not in allowed


def test_nothing_enters_the_report_unescaped(tmp_path: Path) -> None:
    lines = [line(0, 0.5, repeats=1), line(1, None, error=EVIL), line(2, 0.6, fidelity={EVIL: 2}), line(3, 0.7)]
    run = run_folders.make_run(tmp_path / "ü <b> 'x' \"y\"", lines=lines)
    evaluated = json.loads((run / "eval.json").read_text()) | {"per_class": {EVIL: 0.5}}
    (run / "eval.json").write_text(json.dumps(evaluated))
    machine = json.loads((run / "environment.json").read_text()) | {"cpu": EVIL, "gpu": [EVIL]}
    (run / "environment.json").write_text(json.dumps(machine))
    page = report_of(tmp_path, run)
    assert Tags(page).open == []
    assert len(Tags(page).named("script")) == 2
    assert "<b>" not in page
    assert "alert('1')" not in page.replace(re.findall(r"<script>.*?</script>", page, re.DOTALL)[0], "").replace(
        json.dumps(EVIL).replace("<", "\\u003c")[1:-1], ""
    )
    assert str(run) in data_of(page)["runs"]
    assert EVIL in [row[-1] for row in data_of(page)["trials"]]


def test_one_run_is_enough_and_a_search_alone(tmp_path: Path) -> None:
    page = report_of(tmp_path, run_folders.make_run(tmp_path / "a", None))
    assert "no run has a test accuracy" in page
    assert "<h2>Statistics</h2>" not in page
    assert len(data_of(page)["trials"]) == 3


def test_a_report_without_trials_has_tables_only(tmp_path: Path) -> None:
    page = report_of(tmp_path, run_folders.make_run(tmp_path / "a", lines=[]))
    assert "<svg" not in page
    assert data_of(page)["trials"] == []


def test_equal_and_failed_trials_can_be_drawn(tmp_path: Path) -> None:
    lines = [line(0, 0.0, params=1), line(1, 0.0, params=1), line(2, None)]
    page = report_of(tmp_path, run_folders.make_run(tmp_path / "a", lines=lines))
    assert not [svg for svg in re.findall(r"<svg.*?</svg>", page) if "nan" in svg or "inf" in svg]


def test_a_table_in_its_own_unit_and_a_loss_are_drawn(tmp_path: Path) -> None:
    table = {"evaluator": {"name": "table", "path": "x.csv"}, "objectives": {"val_loss": "minimize"}}
    lines = [line(trial, 0, metrics={"val_loss": 91.25 - trial, "params": trial}) for trial in range(3)]
    page = report_of(tmp_path, run_folders.make_run(tmp_path / "a", spec=EVOLUTION | table, lines=lines))
    assert "validation loss" in page
    assert data_of(page)["percent"] is False
    assert [row[1] for row in data_of(page)["trials"]] == [2, 1, 0]


def test_a_report_replaces_a_report_and_no_other_file(tmp_path: Path) -> None:
    run, file = run_folders.make_run(tmp_path / "a"), tmp_path / "report.html"
    compare([run], html=file)
    compare([run], html=file)
    for taken in (run / "spec.yaml", tmp_path):
        with pytest.raises(RunError, match="no report of nanonas"):
            compare([run], html=taken)
    with pytest.raises(RunError, match="no folder"):
        compare([run], html=tmp_path / "none" / "report.html")


def test_a_genotype_of_another_space_is_one_line(tmp_path: Path) -> None:
    run = run_folders.make_run(tmp_path / "a", lines=[line(0, 0.5, "w24/keep24:conv3e2x1")])
    with pytest.raises(RunError, match=r"trials.jsonl:1: genotype"):
        compare([run], html=tmp_path / "report.html")
    run = run_folders.make_run(tmp_path / "b", genotype="w24/keep24:conv3e2x1", lines=[])
    with pytest.raises(RunError, match=r"train.json: genotype"):
        compare([run], html=tmp_path / "report.html")


def test_every_plot_is_written_with_its_numbers(arms: list[Path], tmp_path: Path) -> None:
    compare(arms, plots=tmp_path / "plots")
    compare(arms, plots=tmp_path / "plots")
    drawn = {path.stem for path in (tmp_path / "plots").glob("*.svg")}
    assert drawn == {path.stem for path in (tmp_path / "plots").glob("*.csv")}
    assert drawn == {
        "best-so-far-by-seconds", "best-so-far-by-trials", "choices-of-the-best", "score-against-parameters",
        "test-accuracy",
    }  # fmt: skip
    for path in (tmp_path / "plots").glob("*.svg"):
        text = path.read_text(encoding="utf-8")
        assert ElementTree.fromstring(text).tag == "{http://www.w3.org/2000/svg}svg"
        assert "var(" not in text
    rows = list(csv.DictReader((tmp_path / "plots" / "test-accuracy.csv").open()))
    assert [float(row["test_accuracy"]) for row in rows] == [0.9, 0.91, 0.9, 0.91]
    with pytest.raises(RunError, match="no folder"):
        compare(arms, plots=arms[0] / "spec.yaml")
    with pytest.raises(RunError, match="no folder"):
        compare(arms, plots=tmp_path / "none" / "plots")


def numbers(folder: Path, name: str, *runs: Path) -> list[dict[str, str]]:
    compare(runs, plots=folder / "plots")
    return list(csv.DictReader((folder / "plots" / f"{name}.csv").open()))


def test_the_marked_front_is_what_nothing_dominates(tmp_path: Path) -> None:
    rng = random.Random(0)
    lines = [line(trial, rng.randrange(20) / 20, params=float(rng.randrange(30))) for trial in range(200)]
    rows = numbers(tmp_path, "score-against-parameters", run_folders.make_run(tmp_path / "a", lines=lines))
    marked = {(float(row["val_accuracy"]), float(row["params"])) for row in rows if row["front"] == "1"}
    trials = [trial_of(one, Genotype(one.genotype, ())) for one in lines]
    best = front(trials, {"val_accuracy": "maximize", "params": "minimize"})
    assert marked == {(one.metrics["val_accuracy"], one.metrics["params"]) for one in best}


def test_the_choices_of_the_best_tenth_stand_beside_those_of_all(tmp_path: Path) -> None:
    lines = [line(trial, trial / 20, GENOTYPES[trial // 18]) for trial in range(20)]
    rows = numbers(tmp_path, "choices-of-the-best", run_folders.make_run(tmp_path / "a", lines=lines))
    widths = {row["option"]: row for row in rows if row["choice"] == "width"}
    assert float(widths["20"]["share in the best tenth"]) == 1
    assert float(widths["20"]["share in all trials"]) == pytest.approx(0.1)
    for kind in {row["choice"] for row in rows}:
        for column in ("share in all trials", "share in the best tenth"):
            assert sum(float(row[column]) for row in rows if row["choice"] == kind) == pytest.approx(1)
    edges = {row["option"]: float(row["share in all trials"]) for row in rows if row["choice"] == "edge"}
    assert edges["conv_3x3"] == pytest.approx(3 / 18)


def test_a_cheap_score_is_ranked_beside_the_full_one(tmp_path: Path) -> None:
    cheap, full = [0.1, 0.3, 0.2, 0.4, 0.5], [0.5, 0.6, 0.7, 0.8, 0.9]
    lines = [line(i, value, GENOTYPES[i], fidelity={"epochs": 1, "image_size": 8}) for i, value in enumerate(cheap)]
    lines += [line(5 + i, value, GENOTYPES[i], fidelity={"epochs": 4, "image_size": 8}) for i, value in enumerate(full)]
    rows = numbers(tmp_path, "fidelities", run_folders.make_run(tmp_path / "a", lines=lines))
    assert {row["fidelity"] for row in rows} == {"epochs 1"}
    assert {float(row["kendall tau"]) for row in rows} == {kendall(cheap, full)}


def test_scores_of_untrained_networks_are_told(tmp_path: Path) -> None:
    run = run_folders.make_run(tmp_path / "a")
    proxies = {"proxies": {"n": 12, "used": "jacov", "kendall_tau": {"jacov": -0.25, "params": None}}}
    (run / "search.json").write_text(json.dumps(json.loads((run / "search.json").read_text()) | proxies))
    page = report_of(tmp_path, run)
    assert "−0.25" in page
    assert "unknown" in page


def test_the_winner_is_drawn_once_its_images_are_known(tmp_path: Path) -> None:
    run = run_folders.make_run(tmp_path / "a")
    assert 'class="network"' not in report_of(tmp_path, run)
    task = {"task": {"channels": 1, "height": 8, "width": 8, "classes": 10}}
    (run / "search.json").write_text(json.dumps(json.loads((run / "search.json").read_text()) | task))
    page = report_of(tmp_path, run)
    assert 'class="network"' in page
    assert "80×2×2" in page
    (run / "search.json").unlink()
    model = {"classes": ["a", "b"], "input_size": [1, 8, 8]}
    (run / "model.json").write_text(json.dumps(model))
    assert 'class="network"' in report_of(tmp_path, run)


def test_the_winner_is_drawn_as_it_was_trained(tmp_path: Path) -> None:
    wide = GENOTYPES[1].replace("w20", "w64")
    run = run_folders.make_run(tmp_path / "a", train=("space.widths=[64]", "data.image_size=16"), genotype=wide)
    task = {"task": {"channels": 1, "height": 8, "width": 8, "classes": 10}}
    (run / "search.json").write_text(json.dumps(json.loads((run / "search.json").read_text()) | task))
    (run / "model.json").write_text(json.dumps({"classes": ["a", "b"], "input_size": [1, 16, 16]}))
    page = report_of(tmp_path, run)
    assert "256×4×4" in page
    assert "256×2×2" not in page


def test_a_failed_trial_is_never_ahead_of_a_scored_one(tmp_path: Path) -> None:
    lines = [line(0, 0.9, fidelity={"epochs": 1}), line(1, None, GENOTYPES[1]), line(2, 0.8, GENOTYPES[2])]
    spec = EVOLUTION | {"objectives": {"val_accuracy": "minimize"}}
    page = report_of(tmp_path, run_folders.make_run(tmp_path / "a", spec=spec, lines=lines))
    assert [row[1] for row in data_of(page)["trials"]] == [2, 0, 1]


def test_a_space_that_draws_nothing_is_described(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = run_folders.make_run(tmp_path / "a")
    task = {"channels": 3, "height": 32, "width": 32, "classes": 2}
    run_folders.write(run / "search.json", json.loads((run / "search.json").read_text()) | {"task": task})
    assert "Network of" in report_of(tmp_path, run)
    plain = type("Plain", (SPACES["nano"],), {"diagram": None})
    monkeypatch.setitem(SPACES._components, "nano", plain)
    page = report_of(tmp_path, run)
    assert "Network of" not in page
    assert "<pre>stem " in page


@pytest.mark.parametrize("name", list(SPACES))
def test_a_drawing_has_every_node_once_and_none_on_another(name: str) -> None:
    space, rng = SPACES[name](SPACES[name].Config()), random.Random(0)
    for _ in range(10):
        genotype = next(g for g in iter(lambda: space.sample(rng), None) if space.is_connected(g))
        nodes = space.diagram(genotype, Task(3, 32, 32, 10))
        plot = network(nodes, "network", "a network")
        root = ElementTree.fromstring(plot.svg)
        boxes = [box.attrib for box in root.iter("rect") if box.get("class") == "box"]
        assert len(boxes) == len(nodes) == len(plot.rows)
        told = [title.text or "" for title in root.iter("title")]
        for node in nodes:
            shape = "×".join(map(str, node.shape))
            assert any(f"{shape}, {node.params:,} parameters, {node.macs:,} MACs" in text for text in told), node
        width, height = float(root.get("width", 0)), float(root.get("height", 0))
        places = [tuple(float(box[key]) for key in ("x", "y", "width", "height")) for box in boxes]
        assert all(x >= 0 and x + w <= width and y >= 0 and y + h <= height for x, y, w, h in places)
        assert not any(overlap(a, b) for i, a in enumerate(places) for b in places[:i])


def overlap(a: Sequence[float], b: Sequence[float]) -> bool:
    return all(a[axis] < b[axis] + b[axis + 2] and b[axis] < a[axis] + a[axis + 2] for axis in (0, 1))


@given(st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=5))
def test_ticks_enclose_the_values(values: list[float]) -> None:
    found = ticks(values)
    assert 2 <= len(found) <= 8
    slack = 1e-6 * max(1, *map(abs, values))
    assert found[0] <= min(values) + slack
    assert found[-1] >= max(values) - slack
    assert found[-1] > found[0]


NUMBERS = st.floats(-1e100, 1e100) | st.sampled_from([0.0, 5e-324, -0.0, 1.0])


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(NUMBERS, NUMBERS, st.floats(0, 1e100), st.sampled_from(GENOTYPES)), min_size=1, max_size=5))
def test_any_journal_that_can_be_read_can_be_drawn(trials: list[tuple[float, float, float, str]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        lines = [
            line(number, score, genotype, params, elapsed=elapsed, fidelity={"epochs": 1 + number % 2})
            for number, (score, params, elapsed, genotype) in enumerate(trials)
        ]
        page = report_of(Path(folder), run_folders.make_run(Path(folder) / "run", lines=lines))
        assert not re.search(r'="[^"]*(nan|inf)\b', page)


def test_ticks_are_written_short() -> None:
    numbers = (0, 5, 2000, 50_000, 1_500_000, 2e9)
    assert [round_count(value) for value in numbers] == ["0", "5", "2,000", "50 K", "1.5 M", "2 G"]


def test_a_journal_with_many_trials_keeps_the_best(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nanonas.comparison.html.trials.EMBEDDED", 4)
    lines: list[Line] = [line(trial, trial / 10, GENOTYPES[trial % 5]) for trial in range(9)]
    page = report_of(tmp_path, run_folders.make_run(tmp_path / "a", lines=lines))
    assert [row[1] for row in data_of(page)["trials"]] == [8, 7, 6, 5]
    assert data_of(page)["dots"] == [0, 1, 2, 3]
    assert "The best 4 of 9 trials." in page


def test_a_network_that_the_search_did_not_choose_is_not_called_chosen(tmp_path: Path) -> None:
    for name, genotype, told in (("a", GENOTYPES[1], "chosen by its score"), ("b", GENOTYPES[4], "chosen by hand")):
        compare([run_folders.make_run(tmp_path / name, genotype=genotype)], html=tmp_path / f"{name}.html")
        assert told in (tmp_path / f"{name}.html").read_text(encoding="utf-8")
