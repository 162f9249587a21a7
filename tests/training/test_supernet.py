"""DARTS on digits: the supernet learns, and an interrupted search goes on as if it had not been."""

import json
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

from nanonas.core.errors import RunError, SpecError
from nanonas.core.task import Task
from nanonas.engine.planning import plan
from nanonas.engine.search import search
from nanonas.networks.network import MixedCell
from nanonas.networks.operations import OPERATIONS
from nanonas.networks.weights import save_tensors
from nanonas.spaces import SPACES
from nanonas.spec.load import load_spec
from nanonas.spec.schema import Spec
from nanonas.training.supernet import SupernetTrainer


def make_spec(*overrides: str) -> Spec:
    supernet = [
        "evaluator.name=supernet",
        "evaluator.epochs=4",
        "evaluator.data_fraction=0.4",
        "evaluator.batch_size=32",
    ]
    small = ["space.operations=[conv_1x1, skip_connect, none]", "evaluator.channels=4", "budget.trials=4"]
    inline = ["strategy.name=darts", "executor.name=inline", "executor.lookahead=1", "device=cpu"]
    return load_spec("digits-evo", [*supernet, *small, *inline, *overrides])


def outcomes(trials: Any) -> list[Any]:
    return [(str(t.genotype), dict(t.fidelity), dict(t.metrics)) for t in trials]


def test_a_trial_is_an_epoch_and_proposes_what_the_one_before_preferred(tmp_path: Path) -> None:
    trials = list(search(make_spec(), tmp_path / "run"))
    assert [trial.fidelity["epochs"] for trial in trials] == [1, 2, 3, 4]
    for before, after in pairwise(trials):
        values = dict(zip([c.name for c in space().choices], after.genotype.values, strict=True))
        for name, value in values.items():
            if "edge" in name:
                shares = {option: before.metrics.get(f"{name}={option}", 0) for option in ("conv_1x1", "skip_connect")}
                assert shares[str(value)] == max(shares.values())
                assert sum(shares.values()) == pytest.approx(1)
    assert trials[0].metrics["stage1.edge0-1=conv_1x1"] != trials[3].metrics["stage1.edge0-1=conv_1x1"]
    best = json.loads((tmp_path / "run" / "search.json").read_text())["best"]
    assert best["trial"] == 3


def space() -> Any:
    return SPACES["nano"](make_spec().space)


def test_the_learning_rate_falls_over_as_many_epochs_as_there_are() -> None:
    spec = make_spec("evaluator.data_fraction=1.0", "evaluator.shown=20000")
    evaluator: Any = spec.assignment.make_evaluator(print)
    assert evaluator.fidelity["epochs"] > 4
    trainer = evaluator._fresh_trainer(space(), evaluator.fidelity | {"epochs": 1})
    assert trainer.recipe.epochs == evaluator.fidelity["epochs"]


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    return outcomes(search(make_spec(), tmp_path_factory.mktemp("straight") / "run"))


@pytest.mark.parametrize("loss", ["nothing", "checkpoint", "line"])
def test_a_resumed_search_equals_a_straight_one(loss: str, straight: list[Any], tmp_path: Path) -> None:
    list(islice(search(make_spec(), tmp_path / "run"), 2))
    if loss == "checkpoint":
        (tmp_path / "run" / "supernet.safetensors").unlink()
    if loss == "line":  # killed between the checkpoint and the journal
        path = tmp_path / "run" / "trials.jsonl"
        path.write_text(path.read_text().splitlines(keepends=True)[0])
    assert outcomes(search(make_spec(), tmp_path / "run")) == straight


def test_the_weights_of_something_else_are_no_checkpoint(tmp_path: Path) -> None:
    list(islice(search(make_spec(), tmp_path / "run"), 1))
    save_tensors(tmp_path / "run" / "supernet.safetensors", {"x": torch.zeros(3)}, {})
    with pytest.raises(RunError, match=r"supernet\.safetensors is damaged; delete it"):
        list(search(make_spec(), tmp_path / "run"))


def test_it_stops_after_its_last_epoch(tmp_path: Path) -> None:
    said: list[str] = []
    assert len(list(search(make_spec("budget.trials=9"), tmp_path / "run", said.append))) == 4
    assert any("nothing new to propose" in text for text in said)


def test_epochs_follow_one_another(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"--set executor\.lookahead=1"):
        list(search(make_spec("executor.lookahead=2"), tmp_path / "run"))


def test_only_darts_reads_its_shares(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"it goes with strategy\.name=darts"):
        list(search(make_spec("strategy.name=random"), tmp_path / "run"))


def test_a_space_without_a_supernet_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="the space mobile has no supernet"):
        list(search(make_spec("space={name: mobile}"), tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_too_few_images_to_split_are_refused_before_there_is_a_run(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"class 0 would have a single one; raise evaluator\.data_fraction"):
        list(search(make_spec("evaluator.data_fraction=0.005"), tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_a_dry_run_trains_two_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    epochs: list[int] = []
    run_epoch = SupernetTrainer.run_epoch
    monkeypatch.setattr(SupernetTrainer, "run_epoch", lambda self: (epochs.append(self.epoch), run_epoch(self)))
    assert plan(make_spec("evaluator.epochs=50"))["trials"] == 4
    assert epochs == [0, 1]


def test_an_epoch_that_failed_halfway_is_not_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    straight = outcomes(search(make_spec(), tmp_path / "straight"))
    step, steps = torch.optim.Adam.step, []

    def failing(self: Any, *arguments: Any) -> Any:
        steps.append(self)
        if len(steps) == 17:  # in the third epoch
            raise RuntimeError("not enough memory: you tried to allocate")
        return step(self, *arguments)

    monkeypatch.setattr(torch.optim.Adam, "step", failing)
    trials = list(search(make_spec(), tmp_path / "run"))
    assert [trial.ok for trial in trials] == [True, True, False, True]
    learned = {name: value for name, value in straight[-1][2].items() if name not in ("params", "macs")}
    assert {name: trials[-1].metrics[name] for name in learned} == learned


def test_a_mixed_cell_is_the_weighted_sum_of_its_operations() -> None:
    cell = MixedCell([(0, 1)], ["edge"], ["conv_1x1", "none", "skip_connect"], 4).eval()
    cell.logits.copy_(torch.tensor([[1.0, 2.0, 3.0]]))
    x = torch.randn(2, 4, 5, 5)
    shares = torch.tensor([1.0, 2.0, 3.0]).softmax(0)
    assert torch.allclose(cell(x), shares[0] * cell.operations[0][0](x) + shares[2] * x, atol=1e-6)
    assert cell.weights()["edge=skip_connect"] == pytest.approx(1 / (1 + torch.tensor(-2.0).exp().item()))


def test_every_operation_fits_into_a_supernet() -> None:
    nano = SPACES["nano"](SPACES["nano"].Config(operations=tuple(OPERATIONS)))
    network = nano.supernet(Task(1, 8, 8, 3), channels=4)
    assert network(torch.randn(2, 1, 8, 8)).shape == (2, 3)
