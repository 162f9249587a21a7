"""Zero-cost proxies, and searches that use them."""

import json
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from nanonas.core.errors import EvaluationError, SpecError
from nanonas.core.task import Task
from nanonas.engine.planning import plan
from nanonas.engine.search import search
from nanonas.spaces import SPACES
from nanonas.spec.load import load_spec
from nanonas.training.proxies import PROXIES, jacov, naswot, proxy_scores, synflow

IMAGES = torch.randn(16, 3, 12, 12, generator=torch.Generator().manual_seed(0))


def network(seed: int = 0) -> nn.Module:
    space = SPACES["nano"](SPACES["nano"].Config(widths=(8,)))
    rng = random.Random(seed)
    genotype = next(g for g in iter(lambda: space.sample(rng), None) if space.is_connected(g))
    torch.manual_seed(0)
    return space.build(genotype, Task(3, 12, 12, 10))


@pytest.mark.parametrize("name", list(PROXIES))
def test_a_proxy_is_a_finite_number_that_differs_between_networks(name: str) -> None:
    scores = {PROXIES[name](network(seed), IMAGES) for seed in range(4)}
    assert len(scores) == 4
    assert all(abs(score) < float("inf") for score in scores)


def test_weights_stay_as_they_are() -> None:
    model = network()
    before = [parameter.detach().clone() for parameter in model.parameters()]
    proxy_scores(model, IMAGES)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def test_synflow_of_a_chain_is_its_product() -> None:
    chain = nn.Sequential(nn.Flatten(), nn.Linear(2, 3, bias=False), nn.Linear(3, 1, bias=False))
    flow = (chain[2].weight.abs() @ chain[1].weight.abs()).sum()
    assert synflow(chain, torch.zeros(1, 2)) == pytest.approx((2 * flow).log().item(), abs=1e-5)


def test_naswot_of_two_images_is_the_determinant_of_their_agreement() -> None:
    images = torch.tensor([[1.0, 1.0, -1.0], [1.0, -1.0, -1.0]])
    assert naswot(nn.Sequential(nn.ReLU()), images) == pytest.approx(torch.tensor(3 * 3 - 2 * 2.0).log().item())


def test_jacov_is_lower_where_images_look_alike() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(432, 32), nn.ReLU(), nn.Linear(32, 4))
    alike = IMAGES[:1].repeat(16, 1, 1, 1) + 0.01 * IMAGES
    assert jacov(model, alike) < jacov(model, IMAGES)


def test_a_score_that_is_not_finite_fails_the_candidate() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(432, 4), nn.ReLU())
    nn.init.zeros_(model[1].weight)
    with pytest.raises(EvaluationError, match="jacov is nan"):
        proxy_scores(model, IMAGES)


DIGITS = ["device=cpu", "executor.name=inline", "evaluator.epochs=1", "evaluator.data_fraction=0.3", "space.widths=[8]"]


def test_a_warm_start_reports_how_its_proxies_agreed(tmp_path: Path) -> None:
    strategy = ["strategy.name=zero_cost", "strategy.candidates=8", "strategy.keep=4", "budget.trials=13"]
    trials = list(search(load_spec("digits-evo", [*DIGITS, *strategy]), tmp_path / "run"))
    assert [trial.fidelity["epochs"] for trial in trials] == [0] * 8 + [1] * 5
    assert set(trials[0].metrics) == {"jacov", "synflow", "naswot", "params", "macs"}
    parents = [trials[trial.parent] for trial in trials[8:12] if trial.parent is not None]
    assert [str(parent.genotype) for parent in parents] == [str(trial.genotype) for trial in trials[8:12]]
    result = json.loads((tmp_path / "run" / "search.json").read_text())
    assert (result["proxies"]["scored"], result["proxies"]["n"]) == (8, 4)
    assert set(result["proxies"]["kendall_tau"]) == {"jacov", "synflow", "naswot", "params", "macs", "macs + jacov"}
    assert result["best"]["trial"] >= 8


def test_a_search_by_proxy_alone(tmp_path: Path) -> None:
    overrides = ["evaluator.name=proxy", "objectives={naswot: maximize}", "budget.trials=10"]
    trials = list(search(load_spec("digits-evo", [*DIGITS[:2], *overrides]), tmp_path / "run"))
    result: dict[str, Any] = json.loads((tmp_path / "run" / "search.json").read_text())
    assert result["best"]["metrics"]["naswot"] == max(trial.metrics["naswot"] for trial in trials)
    assert "proxies" not in result


def test_of_equal_images_naswot_counts_one() -> None:
    network_, twice = network(), torch.cat([IMAGES, IMAGES[:3]])
    assert naswot(network_, twice) == pytest.approx(naswot(network_, IMAGES), rel=1e-6)


def test_a_dry_run_of_a_search_by_proxy_alone() -> None:
    assert plan(load_spec("digits-evo", ["evaluator.name=proxy", "objectives={naswot: maximize}"]))["seconds"] > 0


def test_a_strategy_can_name_every_proxy() -> None:
    names = ["params", "macs", *PROXIES]
    warm = ["strategy.name=zero_cost", "budget.trials=200"]
    assert load_spec("digits-evo", [*warm, f"strategy.proxies=[{', '.join(names)}]"])
    with pytest.raises(SpecError, match=r"strategy\.proxies"):
        load_spec("digits-evo", [*warm, "strategy.proxies=[jacow]"])


def test_a_table_cannot_be_warm_started(tmp_path: Path) -> None:
    path = tmp_path / "cells.csv"
    path.write_text("cell,val_accuracy_12,test_accuracy_200\n|none~0|+|none~0|none~1|+|none~0|none~1|none~2|,1,2\n")
    spec = load_spec("nasbench201", [f"evaluator.path={path}", "strategy.name=zero_cost", "budget.trials=200"])
    with pytest.raises(SpecError, match="this evaluator has no more epochs"):
        list(search(spec, tmp_path / "run"))
