"""How sure it is, how it was done, and how to do it again: the sections without plots."""

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from ...core.numbers import p_text, points
from ...core.statistics import TOO_MANY, seeds_needed, tests_among
from ...pages.parts import Markup, Section, copyable, details, interval, note, table
from ..verdict import sentence
from .compared import Compared

MACHINE = ("nanonas", "commit", "python", "torch", "numpy", "onnxruntime", "system", "cpu", "cores", "threads", "gpu")
STATUS = {
    "pass": Markup('<span class="pass">✓ pass</span>'),
    "fail": Markup('<span class="fail">✗ fail</span>'),
    "not applicable": Markup('<span class="none">not applicable</span>'),
}


def statistics(compared: Compared) -> Section:
    measured = [group for group in compared.document["groups"] if group["test_accuracy"]]
    if not measured:
        return Section()
    heads = ("group", "n", "mean", "std", "95 % interval, Student's t", "95 % interval, bootstrap (BCa)")
    content = ["<h2>Statistics</h2><h3>Test accuracy</h3>"]
    content.append(table(heads, map(_estimate, measured), "test accuracy", range(1, 6)))
    tests = compared.document["tests"]
    every = tests_among(len(measured))
    if tests:
        columns = ("difference", "points", "95 % interval", "Hedges' g", "n", "p", "after Holm", "t test")
        content += ["<h3>Differences</h3>", table(columns, map(_test, tests), "differences", range(1, 8))]
        content += [note(sentence(test, len(tests))) for test in tests]
    paired, others = (seeds_needed(alike, every) for alike in (True, False))
    needed = f"it takes {paired} paired seeds, or {others} in each group where the groups have different seeds"
    content.append(
        note(
            "Verdicts and tables have Student's t intervals; the bootstrap assumes no distribution, and is too narrow "
            "for few seeds. A difference counts as shown when the permutation test has p below .05, after Holm's "
            f"correction where there are several; {needed if paired and others else TOO_MANY}."
        )
    )
    return Section(content)


def _estimate(group: Mapping[str, Any]) -> Sequence[str]:
    estimate = group["test_accuracy"]
    spread = "–" if estimate["std"] is None else f"{100 * estimate['std']:.2f}"
    intervals = interval(estimate["interval"]), interval(estimate["bootstrap"])
    return group["name"], str(estimate["n"]), f"{100 * estimate['mean']:.2f} %", spread, *intervals


def _test(test: Mapping[str, Any]) -> Sequence[str]:
    return (
        f"{test['a']} − {test['b']}",
        points(test["difference"], "+"),
        interval(test["interval"]),
        "–" if test["effect_size"] is None else f"{test['effect_size']:.2f}".replace("-", "−"),
        " and ".join(map(str, test["n"])),
        p_text(test["p"]),
        p_text(test["p_adjusted"]),
        "–" if test["t_p"] is None else p_text(test["t_p"]),
    )


def conformance(compared: Compared) -> Section:
    checks = compared.document["conformance"]
    rows = [(check["item"], STATUS[check["status"]], check["reason"]) for check in checks]
    return Section(
        [
            "<h2>Conformance</h2>",
            note(
                "What of the NAS best-practice checklist (Lindauer & Hutter 2020, JMLR 21:243) the run directories "
                "themselves can show."
            ),
            table(("practice", "status", "why"), rows, "conformance list"),
        ]
    )


def environment(compared: Compared) -> Section:
    machines = [machine for run in compared.runs for machine in run.record.machines]
    values: dict[str, dict[str, None]] = {name: {} for name in (*MACHINE, "data")}
    for machine in machines:
        for name in MACHINE:
            found = getattr(machine, name)
            values[name][", ".join(found) or "none" if isinstance(found, list) else str(found or "unknown")] = None
        data = machine.data or machine.table or {}
        values["data"][", ".join(str(part)[:16] for part in data.values() if part) or "unknown"] = None
    rows = [(name, " / ".join(found)) for name, found in values.items()]
    return Section(["<h2>Environment</h2>", table(("what", "value"), rows, "environment")])


def repeat(compared: Compared) -> Section:
    runs = [run.entry for run in compared.runs]
    blocks = []
    for number, run in enumerate(runs):
        block = copyable("\n".join(run["commands"]), f"repeat-{number}", "Copy commands")
        blocks.append(block if len(runs) == 1 else details(run["run"], block))
    words = ["nanonas", "compare", *(run["run"] for run in runs), "--html", "report.html"]
    words += ["--allow-mismatch"] * bool(compared.document["mismatch"])
    report = copyable(shlex.join(words), "repeat-report", "Copy command")
    return Section(["<h2>Commands that repeat it</h2>", *blocks, "<h3>This report</h3>", report])
