"""What every section of a spec shares: unknown keys are refused, values never change, nothing is infinite."""

from pydantic import BaseModel, ConfigDict


class Config(BaseModel):
    """The base of a component's settings, which stand under its name in the spec."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, validate_default=True)


class ComponentConfig(Config):
    """A section that chooses a component: `name` is what the component is registered under."""

    name: str
