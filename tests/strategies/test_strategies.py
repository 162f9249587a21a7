"""Contracts that every registered strategy keeps: a new one is tested by being registered."""

import json
import math
import random
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pytest
from scipy.stats import norm
from searches import TRIALS, make_spec, outcomes

from nanonas.core.errors import RunError, SpecError
from nanonas.core.genotype import Genotype
from nanonas.core.pareto import Objectives, hypervolume, scores
from nanonas.core.problem import Problem
from nanonas.core.program import Program
from nanonas.core.task import Task
from nanonas.core.trial import Proposal, Trial, at_highest_fidelity
from nanonas.devices import runtime
from nanonas.engine.results import read_trials
from nanonas.engine.search import search
from nanonas.spaces import SPACES
from nanonas.spec.load import load_spec, override_spec
from nanonas.spec.schema import Spec
from nanonas.strategies import STRATEGIES, Strategy, predictor
from nanonas.strategies.predictor import MODELS, _Draw, expected_improvement, quantiles


@pytest.fixture(params=list(STRATEGIES))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def trials_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], list[Trial]]:
    """The trials of a search that nothing interrupts, made once for each strategy."""
    return cache(lambda name: list(search(make_spec(name), tmp_path_factory.mktemp(name) / "run")))


@pytest.fixture
def straight(name: str, trials_of: Callable[[str], list[Trial]]) -> list[tuple[Any, ...]]:
    return outcomes(trials_of(name))


def test_proposals_lie_in_the_space(name: str, trials_of: Callable[[str], list[Trial]]) -> None:
    space = SPACES["nano"](SPACES["nano"].Config())
    for trial in trials_of(name):
        assert space.parse(str(trial.genotype)) == trial.genotype


def test_the_same_seed_gives_the_same_trials_and_another_seed_others(
    name: str, straight: list[tuple[Any, ...]], tmp_path: Path
) -> None:
    first = straight
    assert first == outcomes(list(search(make_spec(name), tmp_path / "b")))
    assert first != outcomes(list(search(make_spec(name, seed=1), tmp_path / "c")))


@pytest.mark.parametrize("stop", [1, 7, 23])
def test_a_resumed_search_equals_a_straight_one(
    name: str, stop: int, straight: list[tuple[Any, ...]], tmp_path: Path
) -> None:
    list(islice(search(make_spec(name), tmp_path / "resumed"), stop))
    assert outcomes(list(search(make_spec(name), tmp_path / "resumed"))) == straight


def test_a_search_of_several_objectives_is_resumed_too(name: str, tmp_path: Path) -> None:
    wanted = {"val_accuracy": "maximize", "params": "minimize", "peak_memory": "minimize"}
    spec = make_spec(name, objectives=wanted, budget={"trials": 20})
    straight = outcomes(list(search(spec, tmp_path / "straight")))
    list(islice(search(spec, tmp_path / "resumed"), 13))
    assert outcomes(list(search(spec, tmp_path / "resumed"))) == straight


def test_a_predictor_that_asks_for_latency_goes_on_with_its_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine refuses a journal whose end it would not propose again."""
    wanted = {"val_accuracy": "maximize", "latency_ms": "minimize"}
    small = {"name": "nano", "widths": [16], "cells": [1]}
    spec = make_spec("predictor", space=small, objectives=wanted)

    def timed(seed: int) -> Callable[[Program], list[float]]:
        return lambda program: [random.Random(f"{seed} {node}").random() for node in range(len(program.nodes))]

    monkeypatch.setattr(runtime, "kernels_ms", timed(0))
    monkeypatch.setattr(runtime, "measured_ms", lambda program: 1.0)
    list(islice(search(spec, tmp_path / "run"), 18))
    monkeypatch.setattr(runtime, "kernels_ms", timed(1))
    longer = override_spec(spec, ["budget.trials=20"])
    assert [trial.replayed for trial in search(longer, tmp_path / "run")] == [True] * 18 + [False] * 2
    (tmp_path / "run" / "latency.json").unlink()
    with pytest.raises(RunError, match="where this version of nanonas proposes"):
        list(search(longer, tmp_path / "run"))


@pytest.mark.parametrize("lookahead", [1, 4])
def test_a_long_journal_is_told_and_only_its_end_proposed_again(
    name: str, lookahead: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = override_spec(make_spec(name), [f"executor.lookahead={lookahead}"])
    straight = list(search(spec, tmp_path / "straight"))
    list(islice(search(spec, tmp_path / "resumed"), TRIALS - 5))
    monkeypatch.setattr("nanonas.engine.search.VERIFIED", 3)
    resumed = list(search(spec, tmp_path / "resumed"))
    assert outcomes(resumed) == outcomes(straight)
    assert [trial.repeats for trial in resumed] == [trial.repeats for trial in straight]
    cached = [json.loads((tmp_path / run / "search.json").read_text())["cached"] for run in ("straight", "resumed")]
    assert cached[0] == cached[1]


def test_where_repeats_count_a_long_journal_is_resumed_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = override_spec(make_spec("evolution", space={"name": "nasbench201"}), ["strategy.repeats=true"])
    straight = outcomes(list(search(spec, tmp_path / "straight")))
    list(islice(search(spec, tmp_path / "resumed"), TRIALS - 5))
    monkeypatch.setattr("nanonas.engine.search.VERIFIED", 3)
    assert outcomes(list(search(spec, tmp_path / "resumed"))) == straight


def test_a_genotype_of_no_space_far_up_in_a_journal_is_refused_by_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nanonas.engine.search.VERIFIED", 3)
    list(search(make_spec("random"), tmp_path / "run"))
    journal = tmp_path / "run" / "trials.jsonl"
    lines = journal.read_text().splitlines(keepends=True)
    lines[4] = json.dumps(json.loads(lines[4]) | {"genotype": "w16/nothing"}) + "\n"
    journal.write_text("".join(lines))
    with pytest.raises(RunError, match=r"trials\.jsonl:5: genotype 'w16/nothing'"):
        list(search(make_spec("random"), tmp_path / "run"))


def test_failed_trials_are_survived(name: str, tmp_path: Path) -> None:
    spec = make_spec(name, evaluator={"name": "fake", "fail_share": 0.25})
    trials = list(search(spec, tmp_path / "run"))
    assert len(trials) == TRIALS
    assert 0 < sum(not trial.ok for trial in trials) < TRIALS


def test_a_search_in_which_everything_fails_ends(name: str, tmp_path: Path) -> None:
    spec = make_spec(name, evaluator={"name": "fake", "fail_share": 1.0})
    with pytest.raises(RunError, match="trials failed: all with 'the training loss is nan"):
        list(search(spec, tmp_path / "run"))
    assert not any(trial.ok for trial in read_trials(tmp_path / "run", SPACES["nano"](spec.space)))


def test_no_key_is_evaluated_twice(name: str, tmp_path: Path) -> None:
    spec = make_spec(name, space={"name": "nano", "operations": ["skip_connect", "none", "conv_1x1"]})
    space = SPACES["nano"](spec.space)
    keys = [(space.canonical(t.genotype), str(t.fidelity)) for t in search(spec, tmp_path / "run")]
    assert len(set(keys)) == len(keys) == TRIALS


@pytest.mark.parametrize("strategy", ["local_search", "predictor"])
def test_with_repeats_equal_networks_come_again_but_no_genotype(strategy: str, tmp_path: Path) -> None:
    spec = make_spec(strategy, space={"name": "nasbench201"}, budget={"trials": 150})
    trials = list(search(override_spec(spec, ["strategy.repeats=true"]), tmp_path / "run"))
    space = SPACES["nasbench201"](SPACES["nasbench201"].Config())
    assert len({trial.genotype for trial in trials}) == len(trials)
    assert len({space.canonical(trial.genotype) for trial in trials}) < len(trials)


def test_an_exhausted_space_stops_with_a_message(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nanonas.engine.search.MAX_REPEATS", 50)
    tiny = {"name": "nano", "operations": ["skip_connect", "none"], "widths": [16], "cells": [1]}
    spec = make_spec(name, space=tiny, budget={"trials": 100_000})
    said: list[str] = []
    trials = list(search(spec, tmp_path / "run", said.append))
    assert 0 < len(trials) < 5000
    assert any("exhausted" in text for text in said)


@pytest.mark.parametrize("strategy", ["evolution", "nsga2"])
def test_a_population_around_which_all_is_known_gets_a_stranger(strategy: str, tmp_path: Path) -> None:
    small = {"name": strategy, "population_size": 2} | ({"sample_size": 2} if strategy == "evolution" else {})
    space = {"name": "nano", "operations": ["conv_1x1", "skip_connect", "none"], "widths": [16], "cells": [1]}
    content = make_spec("random", space=space, budget={"trials": 400}).model_dump(mode="json")
    assert len(list(search(Spec.model_validate(content | {"strategy": small}), tmp_path / "run"))) == 400


# ---- regularized evolution


def make(strategy: str, objectives: Objectives | None = None, **config: Any) -> Any:
    space = SPACES["nano"](SPACES["nano"].Config())
    task, wanted = Task(3, 32, 32, 10), objectives or {"val_accuracy": "maximize"}
    problem = Problem(space, task, wanted, constraints={}, fidelity={"epochs": 81})
    return STRATEGIES[strategy](STRATEGIES[strategy].Config(**config), problem)


def accept(proposal: Proposal) -> bool:
    return True


def told(strategy: Strategy, scores: list[float | None]) -> list[Trial]:
    trials = []
    for number, score in enumerate(scores):
        genotype = strategy.space.sample(random.Random(number))
        metrics = {} if score is None else {"val_accuracy": score}
        status = "failed" if score is None else "ok"
        trials.append(Trial(number, genotype, {}, None, status, metrics, None, 0, 0.0))
        strategy.tell(trials[-1])
    return trials


def test_evolution_starts_with_random_architectures() -> None:
    strategy = make("evolution", population_size=5, sample_size=2)
    told(strategy, [0.1] * 4)
    assert strategy.ask(4, random.Random(0), accept).parent is None
    assert strategy.ask(5, random.Random(0), accept).parent is not None


def test_the_parent_is_the_best_of_the_sample() -> None:
    strategy = make("evolution", population_size=5, sample_size=5)
    trials = told(strategy, [0.1, 0.9, 0.3, None, 0.2, 0.5])
    children = [strategy.ask(6, random.Random(seed), accept) for seed in range(300)]
    assert all(differing(child, trials[child.parent]) == 1 for child in children)
    # drawn with replacement: the best of five is in a sample of five with probability 1 − 0.8⁵
    shares = [sum(child.parent == parent for child in children) / 300 for parent in range(6)]
    assert shares[1] == pytest.approx(0.67, abs=0.09)
    assert shares[3] == 0
    assert shares[0] < shares[2] < shares[5] < shares[1]


def test_the_oldest_dies_not_the_worst() -> None:
    strategy = make("evolution", population_size=3, sample_size=3)
    told(strategy, [0.9, 0.1, 0.2, 0.3])
    assert {strategy.ask(4, random.Random(seed), accept).parent for seed in range(100)} == {1, 2, 3}


def test_evolution_beats_random_on_a_smooth_landscape(tmp_path: Path) -> None:
    best = {
        name: max(t.metrics["val_accuracy"] for t in search(make_spec(name, budget={"trials": 150}), tmp_path / name))
        for name in ("random", "evolution")
    }
    assert best["evolution"] > best["random"]


def test_the_largest_feasible_candidate_is_evaluated(tmp_path: Path) -> None:
    sampler = {"name": "evolution", "population_size": 20, "sample_size": 5}
    spec = override_spec(make_spec("random", constraints={"params": 100_000}), [f"strategy={json.dumps(sampler)}"])
    plain = list(search(spec, tmp_path / "plain"))
    largest = json.dumps({"name": "largest", "candidates": 20, "sampler": sampler})
    large = list(search(override_spec(spec, [f"strategy={largest}"]), tmp_path / "large"))
    sizes = [{m: median(t.metrics[m] for t in trials) for m in ("params", "macs")} for trials in (plain, large)]
    assert max(trial.metrics["params"] for trial in large) <= 100_000
    assert 100_000 - sizes[1]["params"] < (100_000 - sizes[0]["params"]) / 2
    assert sizes[1]["macs"] > sizes[0]["macs"]
    assert large[-1].parent is not None
    assert json.loads((tmp_path / "large" / "search.json").read_text())["random"]["n"] == 0
    assert json.loads((tmp_path / "plain" / "search.json").read_text())["random"]["n"] == 20


# ---- local search


def test_local_search_tries_neighbours_of_the_best_place_until_one_is_better() -> None:
    strategy = make("local_search")
    trials = told(strategy, [0.5])
    child = strategy.ask(1, random.Random(0), accept)
    assert child.parent == 0
    assert differing(child, trials[0]) == 1
    strategy.tell(trial_of_proposal(1, child, 0.4))
    assert strategy.ask(2, random.Random(0), accept).parent == 0
    strategy.tell(trial_of_proposal(2, strategy.ask(2, random.Random(1), accept), 0.6))
    assert strategy.ask(3, random.Random(0), accept).parent == 2


def test_local_search_begins_again_where_no_neighbour_is_new() -> None:
    strategy = make("local_search")
    told(strategy, [0.5])
    strategy.tell(trial_of_proposal(1, child := strategy.ask(1, random.Random(1), accept), 0.1))
    assert child.parent == 0
    restart = strategy.ask(2, random.Random(0), lambda proposal: False)
    assert restart.parent is None
    strategy.tell(trial_of_proposal(2, restart, 0.2))
    assert strategy.ask(3, random.Random(0), accept).parent == 2  # worse than before, but the new place


def test_local_search_draws_alike_whether_or_not_it_remembers_where_all_is_known() -> None:
    one, other = (make("local_search") for _ in range(2))
    for strategy in (one, other):
        told(strategy, [0.5])
    one.ask(1, random.Random(0), lambda proposal: False)  # remembers; the other is as after a resume
    asked = [strategy.ask(1, random.Random(7), lambda proposal: False) for strategy in (one, other)]
    assert asked[0] == asked[1]


def test_a_climb_that_seemed_to_be_over_goes_on_when_its_last_neighbour_is_better() -> None:
    strategy = make("local_search")
    told(strategy, [0.5])
    last = strategy.ask(1, random.Random(0), accept)
    restart = strategy.ask(2, random.Random(0), lambda proposal: False)  # asked before `last` is told
    strategy.tell(trial_of_proposal(1, last, 0.9))
    strategy.tell(trial_of_proposal(2, restart, 0.2))
    assert strategy.ask(3, random.Random(0), accept).parent == 2
    around = {str(genotype) for genotype in strategy.space.neighbours(restart.genotype)}
    elsewhere = strategy.ask(4, random.Random(0), lambda proposal: str(proposal.genotype) not in around)
    assert elsewhere.parent == 1


def differing(proposal: Proposal, trial: Trial) -> int:
    return sum(a != b for a, b in zip(proposal.genotype.values, trial.genotype.values, strict=True))


def trial_of_proposal(number: int, proposal: Proposal, score: float) -> Trial:
    metrics = {"val_accuracy": score}
    return Trial(number, proposal.genotype, proposal.fidelity, proposal.parent, "ok", metrics, None, 0, 0.0)


# ---- NSGA-II


def test_nsga2_keeps_the_front_and_its_ends() -> None:
    strategy = make("nsga2", {"val_accuracy": "maximize", "params": "minimize"}, population_size=3)
    rows = [(0.9, 100), (0.1, 10), (0.5, 50), (0.51, 51), (0.3, 60), (0.05, 200)]
    for number, (accuracy, params) in enumerate(rows):
        genotype = strategy.space.sample(random.Random(number))
        metrics = {"val_accuracy": accuracy, "params": params}
        strategy.tell(Trial(number, genotype, {}, None, "ok", metrics, None, 0, 0.0))
    kept = {trial.trial for trial in strategy.population}
    assert {0, 1} < kept <= {0, 1, 2, 3}


@pytest.mark.parametrize(("strategy", "trials"), [("nsga2", 200), ("predictor", 40)])
def test_several_objectives_get_a_better_front_than_at_random(strategy: str, trials: int, tmp_path: Path) -> None:
    objectives = {"val_accuracy": "maximize", "params": "minimize"}
    volume = {}
    for name in ("random", strategy):
        spec = make_spec(name, objectives=objectives, budget={"trials": trials})
        if name == "predictor":
            spec = override_spec(spec, ["strategy.candidates=20"])
        found = list(search(spec, tmp_path / name))
        volume[name] = hypervolume([scores(t.metrics, spec.objectives) for t in found], (0, -2_000_000))
    assert volume[strategy] > volume["random"]


# ---- successive halving


def test_the_best_of_a_rung_go_on_and_the_top_rung_is_a_full_evaluation(tmp_path: Path) -> None:
    spec = make_spec("successive_halving", budget={"trials": 90}, executor={"name": "inline", "lookahead": 1})
    trials = list(search(spec, tmp_path / "run"))
    rungs = {epochs: [t for t in trials if t.fidelity["epochs"] == epochs] for epochs in (9, 27, 81)}
    assert sum(map(len, rungs.values())) == 90
    assert len(rungs[9]) > 2 * len(rungs[27]) > 4 * len(rungs[81]) > 0
    for low, high in ((9, 27), (27, 81)):
        for trial in rungs[high]:
            before = [t for t in rungs[low] if t.trial < trial.trial]
            parent = trials[trial.parent or 0]
            assert parent in before
            assert parent.genotype == trial.genotype
            better = sum(t.metrics["val_accuracy"] > parent.metrics["val_accuracy"] for t in before)
            assert better < len(before) / 3


def test_rungs_that_coincide_are_one() -> None:
    assert make("successive_halving").rungs == [{"epochs": 9}, {"epochs": 27}, {"epochs": 81}]
    assert make("successive_halving", rungs=6).rungs[0] == {"epochs": 1}
    assert len(make("successive_halving", rungs=10).rungs) == 5


def test_an_unknown_fidelity_is_named() -> None:
    with pytest.raises(SpecError, match=r"unknown fidelity 'epoch'; did you mean 'epochs'\?"):
        make("successive_halving", fidelity="epoch")


def test_a_sampler_can_be_chosen_and_a_mistake_in_it_is_located(tmp_path: Path) -> None:
    sampler = {"name": "evolution", "population_size": 8, "sample_size": 4}
    spec = override_spec(make_spec("successive_halving"), [f"strategy.sampler={json.dumps(sampler)}"])
    trials = list(search(spec, tmp_path / "run"))
    assert any(t.parent is not None and t.fidelity["epochs"] == 9 for t in trials)
    path = tmp_path / "my.yaml"
    path.write_text(
        "name: x\nbudget: {trials: 1}\nstrategy:\n  name: successive_halving\n"
        "  sampler: {name: evolution, population: 3}\n"
    )
    with pytest.raises(SpecError, match=r"my\.yaml:5:\d+: strategy\.sampler\.population: unknown key"):
        load_spec(path)


# ---- predictor


def test_the_predictor_finds_the_best_sooner_than_chance(tmp_path: Path) -> None:
    best = {}
    for name in ("random", "predictor"):
        specs = [make_spec(name, seed=seed, budget={"trials": 40}) for seed in (0, 1)]
        if name == "predictor":
            specs = [override_spec(spec, ["strategy.candidates=20"]) for spec in specs]
        runs = [search(spec, tmp_path / f"{name}{seed}") for seed, spec in enumerate(specs)]
        best[name] = [max(trial.metrics["val_accuracy"] for trial in trials) for trials in runs]
    assert min(best["predictor"]) > max(best["random"])


def test_expected_improvement_is_that_of_a_gaussian_process() -> None:
    """Near a good point it is larger than near a bad one, and where nothing is known it is not nothing."""
    place = np.array([0.0, 1.0, 2.0, 8.0])
    new = np.array([1.9, 0.1, 5.0])

    def alike(a: Any, b: Any) -> Any:
        gap = np.abs(a[:, None] - b[None])
        return np.exp(-gap), gap, gap**2

    scores = quantiles([0.1, 0.5, 0.9, 0.2])
    best, once = scores.max(keepdims=True), np.ones((1, 3))
    similar = alike(place, place), alike(place, new)
    gain = expected_improvement(*similar, scores, np.random.default_rng(0), best, once)
    assert gain[0] > gain[1]
    assert (gain > 0).all()


def test_the_average_is_over_processes_weighted_by_their_likelihood() -> None:
    """Against the textbook's formulas (Rasmussen & Williams 2006, equations 2.25, 2.26 and 2.30)."""
    draw = np.random.default_rng(1)
    x, new = draw.normal(size=(12, 1)), draw.normal(size=(5, 1))

    def alike(a: Any, b: Any) -> Any:
        gap = np.abs(a - b.T)
        return np.exp(-gap), gap**2, gap**2

    scores = quantiles(list(draw.normal(size=12)))
    gains, likelihoods = [], []
    draws = np.random.default_rng(0)
    for one in [_Draw.of(draws) for _ in range(MODELS)]:
        inverse = np.linalg.inv(one.kernel(alike(x, x)) + one.noise * np.eye(12))
        scale = scores @ inverse @ scores / 12
        cross = one.kernel(alike(x, new))
        mean, std = cross.T @ inverse @ scores, np.sqrt(scale * (1 - np.diag(cross.T @ inverse @ cross)))
        z = (mean - scores.max()) / std
        gains.append(std * (z * norm.cdf(z) + norm.pdf(z)))
        likelihoods.append(-0.5 * (12 * np.log(scale) - np.linalg.slogdet(inverse)[1]))
    weights = np.exp(np.array(likelihoods) - max(likelihoods))
    expected = np.array(gains).T @ weights / weights.sum()
    similar = alike(x, x), alike(x, new)
    best, once = scores.max(keepdims=True), np.ones((1, 5))
    gain = expected_improvement(*similar, scores, np.random.default_rng(0), best, once)
    assert gain == pytest.approx(expected, rel=0.02, abs=1e-6)  # draws of negligible weight are left out
    two = np.array([scores.min(), scores.max()])
    both = expected_improvement(*similar, scores, np.random.default_rng(0), two, np.array([[0.0] * 5, [2.0] * 5]))
    assert both == pytest.approx(2 * gain)


@pytest.mark.parametrize("first", ["val_accuracy", "params"])
def test_a_candidate_is_held_against_what_costs_no_more(first: str, monkeypatch: pytest.MonkeyPatch) -> None:
    last = {"val_accuracy": "params", "params": "val_accuracy"}[first]
    wanted: Objectives = {"val_accuracy": "maximize", "params": "minimize"}
    strategy = make("predictor", {name: wanted[name] for name in (first, last)})

    def params(genotype: Genotype) -> float:
        return strategy.space.measure(genotype, Task(3, 32, 32, 10))["params"]

    rng = random.Random(0)
    small, *known, large = sorted((strategy.space.sample(rng) for _ in range(12)), key=params)
    scores = [0.5 + number / 100 for number in range(len(known))]
    for number, genotype in enumerate(known):
        metrics = {"val_accuracy": scores[number], "params": params(genotype)}
        strategy.tell(Trial(number, genotype, {}, None, "ok", metrics, None, 0, 0.0))
    assert {trial.genotype for trial in strategy._front} == set(known)
    asked: list[Any] = []
    monkeypatch.setattr(predictor, "expected_improvement", lambda *given: asked.append(given[-2:]) or given[-1].sum(0))
    monkeypatch.setattr(predictor, "BUDGETS", 200)
    gain = strategy._gain(known, scores, [small, known[4], large], rng)
    ((rivals, counts),) = asked
    assert gain[0] == 200 > gain[1] > gain[2] > 0
    assert list(rivals) == sorted(set(rivals)) and set(rivals) <= set(quantiles(scores))
    assert not counts[rivals < quantiles(scores)[4], 1].any()


def test_equal_scores_teach_the_predictor_nothing() -> None:
    strategy = make("predictor", candidates=20)
    told(strategy, [0.1] * 6)
    assert strategy.ask(6, random.Random(0), accept).parent is None
    strategy.tell(trial_of_proposal(6, strategy.ask(6, random.Random(1), accept), 0.2))
    assert all(strategy.ask(7, random.Random(seed), accept).parent is not None for seed in range(20))


def test_quantiles_share_ranks_and_put_failures_last() -> None:
    values = quantiles([0.5, -math.inf, 0.5, 0.9])
    assert values[0] == values[2]
    assert values[1] == min(values)
    assert values[3] == max(values)
    assert values.sum() == pytest.approx(0)


def test_the_predictor_remembers_the_best_and_the_latest() -> None:
    strategy = make("predictor")
    told(strategy, [1.0 if i < 100 else 0.1 for i in range(1000)])
    kept = {trial.trial for trial in strategy._remembered()}
    assert kept == set(range(100)) | set(range(900, 1000))


@pytest.mark.parametrize("first", ["val_accuracy", "params"])
def test_with_costs_it_remembers_the_front_and_the_best_of_what_it_predicts(
    first: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predictor, "MEMORY", 20)
    last = {"val_accuracy": "params", "params": "val_accuracy"}[first]
    wanted: Objectives = {"val_accuracy": "maximize", "params": "minimize"}
    strategy = make("predictor", {name: wanted[name] for name in (first, last)})

    def tell(numbers: range, accuracy: Callable[[int], float], params: Callable[[int], float]) -> None:
        for number in numbers:
            genotype = strategy.space.sample(random.Random(number))
            metrics = {"val_accuracy": accuracy(number), "params": params(number)}
            strategy.tell(Trial(number, genotype, {}, None, "ok", metrics, None, 0, 0.0))

    tell(range(6), lambda number: 0.5 + number / 100, lambda number: 100 + number)  # a front
    tell(range(6, 12), lambda number: 0.5, lambda number: 1000 - number)  # next in accuracy
    tell(range(12, 40), lambda number: 0.1, lambda number: 500 + number)
    kept = {trial.trial for trial in strategy._remembered()}
    assert kept == set(range(6)) | set(range(8, 12)) | set(range(30, 40))
    assert [trial.trial for trial in strategy._front] == sorted(range(6), reverse=first == "val_accuracy")
    tell(range(40, 60), lambda number: 1 + number / 100, lambda number: number - 40)
    assert {trial.trial for trial in strategy._remembered()} == set(range(30, 60))  # a front of 20, and as ever ten
    tell(range(60, 70), lambda number: 1 + number / 100, lambda number: number - 40)
    thinned = {*range(40, 70, 2), 69} if first == "params" else {*range(41, 70, 2), 40}
    latest = set(range(49, 68, 2)) if first == "params" else set(range(50, 69, 2))
    assert {trial.trial for trial in strategy._remembered()} == thinned | latest


def test_a_lower_rung_needs_something_to_lower(tmp_path: Path) -> None:
    proxy = ["evaluator={name: proxy}", "objectives={jacov: maximize}"]
    spec = load_spec("digits-evo", ["strategy.name=successive_halving", *proxy])
    with pytest.raises(SpecError, match="this evaluator has 0 epochs"):
        list(search(spec, tmp_path / "run"))
    spec = load_spec("digits-evo", ["strategy.name=successive_halving", "evaluator.epochs=1"])
    with pytest.raises(SpecError, match=r"of 1 epochs no rung can have less; raise evaluator\.epochs"):
        list(search(spec, tmp_path / "run"))


def test_zero_cost_scores_of_small_images_do_not_compare_with_those_of_large_ones() -> None:
    genotype = SPACES["nano"](SPACES["nano"].Config()).sample(random.Random(0))
    small, large = (
        Trial(number, genotype, {"epochs": 0, "image_size": side}, None, "ok", {"jacov": 1.0}, None, 0, 0.0)
        for number, side in enumerate((4, 8))
    )
    assert at_highest_fidelity([small, large], ["jacov"]) == [large]
    trained = replace(small, fidelity={"epochs": 1, "image_size": 4})
    assert at_highest_fidelity([trained, large], ["jacov"]) == [trained]


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("strategy={name: darts}", "darts goes with evaluator.name=supernet"),
        ("strategy={name: zero_cost, candidates: 40}", "budget.trials: strategy zero_cost spends 40 trials before its"),
        ("strategy={name: successive_halving, sampler: {name: random, repeats: true}}", "repeats is said of the outer"),
    ],
)
def test_what_cannot_work_together_is_refused(override: str, said: str) -> None:
    with pytest.raises(SpecError, match=said):
        load_spec("digits-evo", [override])


def test_evolution_inside_asha_has_all_of_its_random_parents(tmp_path: Path) -> None:
    sampler = {"name": "evolution", "population_size": 12, "sample_size": 4}
    spec = override_spec(make_spec("successive_halving"), [f"strategy.sampler={json.dumps(sampler)}"])
    drawn = [t.parent is None for t in search(spec, tmp_path / "run") if t.fidelity["epochs"] == 9]
    assert all(drawn[:12])
    assert not any(drawn[16:])


# ---- DARTS


def test_darts_proposes_what_the_supernet_prefers_as_large_as_it_may_be() -> None:
    strategy = make("darts")
    genotype = strategy.space.sample(random.Random(0))
    preferred = dict.fromkeys((c.name for c in strategy.space.choices if "edge" in c.name), "conv_1x1")
    shares = {f"{name}={option}": 0.7 for name, option in preferred.items()}
    others = {f"{name}=conv_3x3": 0.3 for name in preferred}
    strategy.tell(
        Trial(0, genotype, {"epochs": 1}, None, "ok", {"val_accuracy": 0.1, **shares, **others}, None, 0, 0.0)
    )
    proposal = strategy.ask(1, random.Random(0), accept)
    assert proposal.fidelity == {"epochs": 2}
    assert set(proposal.genotype.values[3:9]) == {"conv_1x1"}
    small = strategy.ask(1, random.Random(0), lambda p: strategy.problem.measure(p.genotype)["params"] < 150_000)
    assert set(small.genotype.values[3:9]) == {"conv_1x1"}
    assert strategy.ask(81, random.Random(0), accept) is None
