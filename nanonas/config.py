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
    """So that a spec means the same from anywhere. Raises ValueError for what is no text, or the home of nobody."""
    try:
        found = str(Path(path).expanduser().absolute())
        found.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{found!a} is no UTF-8; rename the folder") from None
    except RuntimeError as error:
        raise ValueError(f"{error}: {path}") from None
    return found
