"""What every section of a spec shares: unknown keys are refused, values never change, nothing is infinite."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict


class Config(BaseModel):
    """The base of a component's settings, which stand under its name in the spec."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, validate_default=True)


class ComponentConfig(Config):
    """A section that chooses a component: `name` is what the component is registered under."""

    name: str


def absolute(path: str) -> str:
    """So that a spec means the same from anywhere. Raises ValueError for the home folder of nobody."""
    try:
        return str(Path(path).expanduser().absolute())
    except RuntimeError as error:
        raise ValueError(f"{error}: {path}") from None
