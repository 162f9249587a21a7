"""What every section of a spec shares: unknown keys are refused, values never change, nothing is infinite."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, model_validator

Options = TypeVar("Options", bound=tuple[object, ...])


class Config(BaseModel):
    """The base of a component's settings, which stand under its name in the spec."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, validate_default=True)

    @model_validator(mode="before")
    @classmethod
    def _no_truth_for_a_number(cls, content: Any) -> Any:
        """Pydantic would take true as 1: where numbers are wanted it becomes a word, which is none."""
        if not isinstance(content, dict):
            return content
        numbers = {key for key, field in cls.model_fields.items() if _is_of_numbers(field.annotation)}
        return {key: _spelled(value) if key in numbers else value for key, value in content.items()}


def _is_of_numbers(annotation: Any) -> bool:
    """Or holds some; but nothing that may be true or false."""
    kinds = list(_kinds(annotation))
    return bool not in kinds and (int in kinds or float in kinds)


def _kinds(annotation: Any) -> Iterator[Any]:
    yield annotation
    for part in get_args(annotation):
        yield from _kinds(part)


def _spelled(value: Any) -> Any:
    """With words in the place of true and false."""
    if isinstance(value, dict):
        return {key: _spelled(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_spelled(part) for part in value]
    return str(value).lower() if isinstance(value, bool) else value


class ComponentConfig(Config):
    """A section that chooses a component: `name` is what the component is registered under."""

    name: str


def distinct(options: Options) -> Options:
    """Raises ValueError when an option is listed twice."""
    if len(set(options)) < len(options):
        raise ValueError("an option is listed twice")
    return options


def expanded(path: str | Path) -> Path:
    """With the home folder for a `~` at its beginning, also where no shell saw it. Raises ValueError where there is
    none."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise ValueError(f"there is no home folder for {path}; write the whole path") from None


def absolute(path: str) -> str:
    """So that a spec means the same from anywhere. Raises ValueError for what is no text, or the home of nobody."""
    try:
        found = str(expanded(path).absolute())
        found.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{found!a} is no UTF-8; rename the folder") from None
    return found
