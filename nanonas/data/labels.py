"""A table of images: a CSV file with the columns path and label, and perhaps split and group."""

import csv
import io
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ..core.errors import DataError
from ..core.files import text_of
from .copies import TEST, TRAIN
from .folder import NAMES, Listing, listing

COLUMNS = ("path", "label", "split", "group")
EXAMPLE = "its first line names the columns path and label, and perhaps split and group"
LARGEST = 1 << 30  # bytes


def scan_table(table: Path, root: Path | None, groups: str | None = None) -> Listing:
    """The images that a CSV file lists; reads none of them.

    Args:
        root: where its paths begin; None: beside the file.
        groups: a regular expression on the paths, where the file has no column group.

    Raises:
        DataError: the file cannot be read, or a line is wrong, which is named with its number.
    """
    rows = list(_rows(table))
    if not rows:
        raise DataError(f"data.labels {table} lists no image; {EXAMPLE}")
    home = root or table.parent
    classes = tuple(sorted({row["label"] for _, row in rows}))
    if len(classes) == 1:
        raise DataError(f"data.labels {table} has a single class, {classes[0]!r}; at least two are needed")
    seen: dict[str, int] = {}
    paths, labels, parts = [], [], []
    for number, row in rows:
        path = os.path.join(home, row["path"])  # noqa: PTH118  # of text, as in a folder
        if (before := seen.setdefault(path, number)) != number:
            raise DataError(f"{table}, line {number}: {row['path']!r} stands in line {before}, too")
        if not os.path.isfile(path):  # noqa: PTH113
            where = f"{home} has no such file" + ("" if root else "; data.root says where paths begin")
            raise DataError(f"{table}, line {number}: {row['path']!r}: {where}")
        paths.append(path)
        labels.append(classes.index(row["label"]))
        parts.append(_part(table, number, row.get("split")))
    order = sorted(range(len(paths)), key=lambda i: (parts[i], labels[i], paths[i].replace(os.sep, "/")))
    own = None
    if any(row.get("group") for _, row in rows):
        texts = [row.get("group") or f"\0{row['path']}" for _, row in rows]
        numbers = {text: number for number, text in enumerate(dict.fromkeys(texts))}
        own = np.array([numbers[texts[i]] for i in order], dtype=np.int64)
    if TRAIN not in parts and TEST not in parts:
        raise DataError(f"data.labels {table} has validation images only; its column split needs train, too")
    return listing(
        home,
        classes,
        [paths[i] for i in order],
        [rows[i][1]["path"] for i in order],
        [labels[i] for i in order],
        [parts[i] for i in order],
        groups if own is None else own,
        (),
    )


def _rows(table: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Line numbers and what stands in the columns that we know."""
    try:
        if table.stat().st_size > LARGEST:
            raise DataError(f"data.labels {table} is larger than {LARGEST:,} bytes; is it the right file?")
        text = text_of(table.read_bytes())
    except OSError as error:
        raise DataError(f"cannot read data.labels {table}: {error.strerror}") from error
    except ValueError as error:
        raise DataError(f"data.labels {table}: {error}") from error
    delimiter = max(",;\t", key=text.partition("\n")[0].count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        columns = [name.strip().lower() for name in next(reader, [])]
        for name in ("path", "label"):
            if columns.count(name) != 1:
                raise DataError(f"data.labels {table} has no column {name!r}, or two of them; {EXAMPLE}")
        for fields in reader:
            if not any(field.strip() for field in fields):
                continue
            number = reader.line_num
            if len(fields) != len(columns):
                raise DataError(f"{table}, line {number} has {len(fields)} columns, and the first line {len(columns)}")
            row = {name: value.strip() for name, value in zip(columns, fields, strict=True) if name in COLUMNS}
            if not row["path"]:
                raise DataError(f"{table}, line {number} has no path")
            if not row["label"] or not row["label"].isprintable():
                raise DataError(f"{table}, line {number}: its label is {row['label']!r}; it must be printable text")
            yield number, row
    except csv.Error as error:
        raise DataError(f"{table}, line {reader.line_num}: {error}") from error


def _part(table: Path, number: int, text: str | None) -> int:
    for part, names in NAMES.items():
        if text is None or text.lower() in names:
            return TRAIN if text is None else part
    raise DataError(f"{table}, line {number}: its split is {text!r}; allowed: train, validation, test")
