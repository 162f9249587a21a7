"""What every section of a spec shares: unknown keys are refused, values never change, nothing is infinite."""

import codecs
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, model_validator

UTF = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
"""What a file in Unicode begins with. UTF-16 begins with the first bytes of UTF-32, and so comes after it."""

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


def text_of(data: bytes) -> str:
    """A file that a user made, with any editor or by `>` in PowerShell, which writes UTF-16.

    Raises ValueError, with what to do, for what is neither UTF-8 nor begins with the mark of another UTF.
    """
    encoding = next((name for mark, name in UTF.items() if data.startswith(mark)), "utf-8")
    try:
        text = data.decode(encoding).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = 1 + data[: error.start].count(b"\n")
        problem = f"not text in {encoding.upper()} (byte {data[error.start]:#04x} in line {line})"
        raise ValueError(f"{problem}; save it as UTF-8 in an editor") from None
    if "\0" in text:
        raise ValueError("not text in UTF-8 but perhaps in UTF-16 (it holds NUL bytes); save it as UTF-8 in an editor")
    return text
