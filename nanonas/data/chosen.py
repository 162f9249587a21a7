"""Image files that a user names: files, folders and patterns."""

import glob
import os
from collections.abc import Iterable, Iterator

from ..core.errors import DataError
from .folder import EXTENSIONS, images_in

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a cell begins with that a spreadsheet computes."""


def chosen_images(named: Iterable[str]) -> list[str]:
    """Each file once, in the order in which they are named; those of a folder and of a pattern are sorted.

    A folder is walked as one of training images is. A pattern means what it means to a shell: it names hidden files
    only where it says so, and what it names need not have an image's extension. A path that a spreadsheet would take
    for a formula begins with `./`.

    Raises:
        DataError: a name stands for nothing, a folder cannot be read, or there is no image at all.
    """
    named = list(named)
    found = list(dict.fromkeys(_plain(path) for name in named for path in _files(name)))
    if not found:
        raise DataError(f"{', '.join(named)} has no images: no {', '.join(sorted(EXTENSIONS))}")
    return found


def _files(name: str) -> Iterator[str]:
    try:
        if os.path.isdir(name):  # noqa: PTH112  # text, since a Path would be made for each of very many
            yield from images_in(name.rstrip(os.sep) or os.sep)[0]
        elif os.path.lexists(name):
            yield name
        else:
            yield from _matching(name)
    except (OSError, ValueError) as error:  # a name that no file can have
        said = error.strerror if isinstance(error, OSError) else str(error)
        where = error.filename if isinstance(error, OSError) and error.filename else name
        raise DataError(f"cannot read {where}: {said}") from error


def _matching(pattern: str) -> Iterator[str]:
    matches = sorted(glob.glob(pattern, recursive=True)) if glob.has_magic(pattern) else []  # noqa: PTH207
    if not matches:
        what = "names no file" if glob.has_magic(pattern) else "does not exist"
        raise DataError(f"{pattern} {what}; name image files, folders of them, or patterns such as 'photos/*.jpg'")
    for match in matches:
        yield from _files(match)


def _plain(path: str) -> str:
    return f"{os.curdir}{os.sep}{path}" if path.startswith(FORMULA) else path
