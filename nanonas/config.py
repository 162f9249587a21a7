"""What every section of a spec shares: unknown keys are refused, values never change, nothing is infinite."""

from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

Options = TypeVar("Options", bound=tuple[object, ...])


class Config(BaseModel):
    """The base of a component's settings, which stand under its name in the spec."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, validate_default=True)

    @model_validator(mode="before")
    @classmethod
    def _no_truth_for_a_number(cls, content: Any) -> Any:
        """Pydantic would take true as 1."""
        wrong = PydanticCustomError("truth", "is a number; yes, no, on and off mean true or false in YAML")
        errors: list[InitErrorDetails] = [
            {"type": wrong, "loc": (key,), "input": value}
            for key, value in (content.items() if isinstance(content, dict) else ())
            if isinstance(value, bool) and key in cls.model_fields and _is_number(cls.model_fields[key].annotation)
        ]
        if errors:
            raise ValidationError.from_exception_data(cls.__name__, errors)
        return content


def _is_number(annotation: Any) -> bool:
    """Or one of several numbers, perhaps beside words or None; but nothing that may be true or false."""
    kinds = {*get_args(annotation), annotation}
    return bool not in kinds and not kinds.isdisjoint({int, float})


class ComponentConfig(Config):
    """A section that chooses a component: `name` is what the component is registered under."""

    name: str


def distinct(options: Options) -> Options:
    """Raises ValueError when an option is listed twice."""
    if len(set(options)) < len(options):
        raise ValueError("an option is listed twice")
    return options


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
