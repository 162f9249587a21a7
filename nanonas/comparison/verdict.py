"""What a comparison says in words, and its table. Groups and tests are entries of the document of compare, whose
accuracies are fractions."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table
from rich.text import Text

from ..core.numbers import count, duration, p_text, percent, points, three_digits
from ..core.statistics import ALPHA, TOO_MANY, seeds_needed, tests_among


def verdict(groups: Sequence[Mapping[str, Any]], tests: Sequence[Mapping[str, Any]], comparable: bool = True) -> str:
    """In words; a winner is named only where the test, adjusted by Holm, supports it.

    Args:
        comparable: whether all groups were measured on the same data.
    """
    measured = [group for group in groups if group["test_accuracy"]]
    if not measured:
        return "nothing to compare: no run has a test accuracy yet; nanonas train RUN measures it"
    if len(groups) == 1:
        return f"{groups[0]['name']}: test accuracy {percent(measured[0]['test_accuracy'], with_interval=True)}"
    if not comparable:
        return "no winner named: the groups' data differ, so that their accuracies are not comparable"
    if len(measured) == 1:
        return f"no winner named: only {measured[0]['name']} has a test accuracy; nanonas train RUN measures it"
    if not tests:
        sizes = " and ".join(str(group["test_accuracy"]["n"]) for group in measured)
        seeds = {run["seed"] for group in measured for run in group["runs"]}
        unused = next(seed for seed in range(len(seeds) + 1) if seed not in seeds)
        needed = seeds_needed(paired=True, tests=tests_among(len(measured)))
        if needed is None:
            return f"no winner named: {TOO_MANY}"
        return (
            f"no winner named: it takes {needed} seeds, the same in each group, to show any difference "
            f"(n={sizes}); repeat with --set seed={unused}"
        )
    return _winner(measured, tests)


def _winner(measured: Sequence[Mapping[str, Any]], tests: Sequence[Mapping[str, Any]]) -> str:
    """The group with the best mean against every other that was tested."""
    tested = {name for test in tests for name in (test["a"], test["b"])}
    untested = [group["name"] for group in measured if group["name"] not in tested]
    rest = f"; not tested, having fewer than 2 seeds: {', '.join(untested)}" if untested else ""
    best = max(
        (group for group in measured if group["name"] in tested), key=lambda group: group["test_accuracy"]["mean"]
    )
    decisive = [test for test in tests if best["name"] in (test["a"], test["b"])]
    found = "; ".join(sentence(test, len(tests)) for test in decisive) + rest
    return found if len(decisive) == 1 or all(map(is_shown, decisive)) else f"no winner named: {found}"


def is_shown(test: Mapping[str, Any]) -> bool:
    return bool(test["p_adjusted"] < ALPHA)


def sentence(test: Mapping[str, Any], tests: int) -> str:
    """`a is better than b: +1.20 points (95 % interval 0.40 to 2.00, n=6 and 6, Hedges' g 1.52, exact paired
    permutation test, p=0.031)`.

    Args:
        tests: how many there are, for which p was adjusted.
    """
    sign = 1 if test["difference"] >= 0 else -1
    better, worse = (test["a"], test["b"])[::sign]
    sizes = " and ".join(map(str, test["n"][::sign]))
    gain = points(sign * test["difference"], "+")
    if test["interval"] is None:
        known = f"n={sizes}, {gain} points, no spread within the groups to judge it by"
        return f"no difference shown between {better} and {worse} ({known})"
    low, high = sorted(sign * end for end in test["interval"])
    interval = f"95 % interval {points(low)} to {points(high)}"
    size = f"Hedges' g {sign * test['effect_size']:.2f}"
    p = p_text(test["p_adjusted"]) + (" after Holm" if tests > 1 else "")
    if is_shown(test):
        return f"{better} is better than {worse}: {gain} points ({interval}, n={sizes}, {size}, {test['method']}, {p})"
    advice = ""
    if tests * test["least_p"] >= ALPHA:
        needed = seeds_needed(test["paired"], tests)
        advice = f"; it takes {needed} seeds each to show any" if needed else f"; {TOO_MANY}"
    known = f"n={sizes}, {interval} points, {size}, {test['method']}, {p}{advice}"
    return f"no difference shown between {better} and {worse} ({known})"


def cells(group: Mapping[str, Any]) -> dict[str, str]:
    """A row of the table, by title; what is no accuracy is a mean: `1.29 M`, `0.52 ms`, `12.5 min`."""

    def mean(measure: str, write: Callable[[float], str]) -> str:
        return write(group[measure]["mean"]) if group[measure] else "–"

    return {
        "group": group["name"],
        "test accuracy": percent(group["test_accuracy"]),
        "validation accuracy": percent(group["val_accuracy"]),
        "params": mean("params", count),
        "MACs": mean("macs", count),
        "latency (PyTorch)": mean("latency_ms", lambda value: f"{three_digits(value)} ms"),
        "trials": mean("trials", count),
        "search": mean("search_seconds", duration),
        "train": mean("train_seconds", duration),
    }


def table(document: Mapping[str, Any]) -> Table:
    """A group a row, within 80 columns; what is no accuracy is a mean."""
    drawn = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for title in ("group", "accuracy", "network", "cost"):
        drawn.add_column(title, overflow="fold", no_wrap=title != "group")
    for group in document["groups"]:
        cell = cells(group)
        accuracy = f"test {cell['test accuracy']}\nval  {cell['validation accuracy']}"
        network, cost = (
            "\n".join(f"{cell[title]} {title}" for title in titles)
            for titles in (("params", "MACs", "latency (PyTorch)"), ("trials", "search", "train"))
        )
        drawn.add_row(*map(Text, (group["name"], accuracy, network, cost)))
    return drawn


def renderable(document: Mapping[str, Any]) -> Group:
    """The table, the tests, the warnings, the conformance list in a line and the verdict, for a person."""
    tests = [sentence(test, len(document["tests"])) for test in document["tests"]]
    warnings = [f"warning: {warning}" for warning in document["warnings"]]
    said = [] if tests == [document["verdict"]] else tests
    lines = ["", *warnings, *said, _practices(document["conformance"]), document["verdict"]]
    return Group(table(document), *map(Text, lines))


def _practices(checks: Sequence[Mapping[str, Any]]) -> str:
    """`NAS best practices: 9 pass, 1 fail (random baseline), 3 not applicable; --html says why`."""
    failed = [check["item"] for check in checks if check["status"] == "fail"]
    passed = sum(check["status"] == "pass" for check in checks)
    named = f" ({'; '.join(failed)})" if failed else ""
    rest = len(checks) - len(failed) - passed
    return f"NAS best practices: {passed} pass, {len(failed)} fail{named}, {rest} not applicable; --html says why"
