"""Spec: a search as its YAML describes it, checked as a whole."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import Field, GetCoreSchemaHandler, model_validator
from pydantic_core import CoreSchema, core_schema

from ..core.config import ComponentConfig, Config
from ..core.problem import measures
from ..core.registry import Registry, nearest
from ..data.dataset import DataConfig
from ..evaluators import EVALUATORS, Assignment
from ..executors import EXECUTORS, ExecutorConfig
from ..spaces import SPACES
from ..strategies import STRATEGIES, StrategyConfig
from ..training.recipe import Recipe


@dataclass(frozen=True)
class Section:
    """Validates a section of the spec by the Config of the component that its `name` chooses."""

    registry: Registry[Any]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        configs = {name: handler.generate_schema(self.registry[name].Config) for name in self.registry}
        return core_schema.tagged_union_schema(configs, discriminator="name")


DEFAULTS = {"space": "nano", "strategy": "evolution", "evaluator": "training", "executor": "processes"}
SECTIONS: dict[str, Registry[Any]] = {
    "space": SPACES,
    "strategy": STRATEGIES,
    "evaluator": EVALUATORS,
    "executor": EXECUTORS,
}


class Budget(Config):
    """Whichever ends first; trials are lines of the journal, minutes are summed over restarts."""

    trials: Annotated[int | None, Field(ge=1, description="evaluations, failed ones too; repeats are free")] = None
    minutes: Annotated[
        float | None,
        Field(
            gt=0,
            description="of search, over restarts; what would end later, if it took the mean time so far, is not begun",
        ),
    ] = None

    @model_validator(mode="after")
    def _finite(self) -> Self:
        if self.trials is None and self.minutes is None:
            raise ValueError("needs trials, minutes or both")
        return self


class TrainConfig(Recipe):
    """The last training, from scratch on train + validation; with `minutes`, epochs are fitted to them."""

    minutes: Annotated[float | None, Field(gt=0, description="in place of epochs: as many as fit")] = None


class Spec(Config):
    """A whole run. `nanonas presets NAME` prints examples, `nanonas presets --schema` the JSON Schema."""

    name: Annotated[
        str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100, description="of the run directory too")
    ]
    seed: Annotated[int, Field(ge=0, lt=2**31, description="of everything random")] = 0
    device: Annotated[
        Literal["auto", "cpu", "cuda", "mps"], Field(description="what trains; auto: a GPU where there is one")
    ] = "auto"
    data: DataConfig = DataConfig()
    space: Annotated[ComponentConfig, Section(SPACES)] = Field(default={}, validate_default=True)
    strategy: Annotated[StrategyConfig, Section(STRATEGIES)] = Field(default={}, validate_default=True)
    evaluator: Annotated[ComponentConfig, Section(EVALUATORS)] = Field(default={}, validate_default=True)
    objectives: Annotated[
        dict[str, Literal["maximize", "minimize"]],
        Field(min_length=1, description="metrics and measures; several make a Pareto search, the first decides"),
    ] = {"val_accuracy": "maximize"}
    constraints: Annotated[
        dict[str, Annotated[float, Field(gt=0)]], Field(description="measures and their upper bounds")
    ] = {}
    budget: Budget
    executor: Annotated[ExecutorConfig, Section(EXECUTORS)] = Field(default={}, validate_default=True)
    train: TrainConfig = TrainConfig()

    @model_validator(mode="before")
    @classmethod
    def _default_components(cls, content: Any) -> Any:
        if not isinstance(content, dict):
            return content
        sections = {key: content.get(key, {}) for key in DEFAULTS}
        named = {k: {"name": DEFAULTS[k], **v} if isinstance(v, dict) else v for k, v in sections.items()}
        return {**content, **named}

    @model_validator(mode="after")
    def _names(self) -> Self:
        """Every message begins with the key that it is about, which tells `load_spec` where that stands."""
        known, metrics = measures(SPACES[self.space.name]), EVALUATORS[self.evaluator.name].metrics
        for name in self.objectives:
            if metrics is not None and name not in (*metrics, *known):
                raise ValueError(f"objectives.{name}: unknown metric; {nearest(name, (*metrics, *known))}")
        if STRATEGIES[self.strategy.name].one_shot and not EVALUATORS[self.evaluator.name].one_shot:
            raise ValueError(f"strategy.name: {self.strategy.name} goes with evaluator.name=supernet")
        if not EVALUATORS[self.evaluator.name].scores_architectures:
            if not STRATEGIES[self.strategy.name].one_shot:
                raise ValueError(
                    f"evaluator.name: a {self.evaluator.name} does not score architectures; it goes with "
                    "strategy.name=darts"
                )
            if self.executor.lookahead != 1:
                raise ValueError(
                    f"executor.lookahead: the epochs of a {self.evaluator.name} follow one another; add --set "
                    "executor.lookahead=1"
                )
        before = self.strategy.trials_before_the_first_score
        if self.budget.trials is not None and self.budget.trials <= before:
            raise ValueError(
                f"budget.trials: strategy {self.strategy.name} spends {before} trials before its first score; set more"
            )
        for name in self.constraints:
            if name not in known:
                raise ValueError(f"constraints.{name}: unknown measure; {nearest(name, known)}")
        return self

    @property
    def scores_networks(self) -> bool:
        """Whether val_accuracy is a fraction that one network reached: tables have units of their own, a supernet
        mixes."""
        return EVALUATORS[self.evaluator.name].metrics is not None and not STRATEGIES[self.strategy.name].one_shot

    @property
    def assignment(self) -> Assignment:
        """What an evaluator may know of it."""
        return Assignment(self.space, self.evaluator, self.data, self.objectives, self.seed, self.device)

    def text(self) -> str:
        """The whole spec as YAML; `load_spec` of it gives an equal spec."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def differences(old: Spec, new: Spec) -> list[str]:
    """What forbids to go on with `old` as `new`, as `key: old, new`; budget and executor may change, lookahead not."""
    before, after = flat(old.model_dump(mode="json")), flat(new.model_dump(mode="json"))
    before["objectives"], after["objectives"] = list(old.objectives), list(new.objectives)  # their order counts
    return [
        f"{key}: {before.get(key)!r} there, {after.get(key)!r} here"
        for key in dict.fromkeys([*before, *after])
        if before.get(key) != after.get(key)
        and (key == "executor.lookahead" or key.split(".")[0] not in ("budget", "executor"))
    ]


def flat(content: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested sections as dotted keys."""
    leaves: dict[str, Any] = {}
    for key, value in content.items():
        leaves |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) and value else {prefix + key: value}
    return leaves
