"""Thumbnails in a page."""

import base64
import io
from collections.abc import Sequence
from html import escape
from pathlib import Path

import numpy as np

from ...core.errors import DataError
from ...data.cache import Pixels
from ...data.dataset import DataConfig
from ...data.picture import Form, Range, decode, header_of

SIDE = 128  # pixels of the longer side
QUALITY = 80
MOST_CHARACTERS = 4_000_000
EXACT = 32  # pixels of a side up to which a PNG is hardly larger, and shows what the network saw


class Room:
    """How much may still be embedded in a page, so that it opens at once, however many mistakes there are."""

    def __init__(self, characters: int = MOST_CHARACTERS) -> None:
        self.left = characters

    def takes(self, text: str) -> bool:
        if len(text) > self.left:
            return False
        self.left -= len(text)
        return True


class Pictures:
    """The images of a part: from their files, which people can judge, or as the network gets them where there are none.

    Args:
        pixels: (N, H, W, C) uint8.
        names: of the files, relative to the data's root.
    """

    def __init__(
        self, pixels: Pixels, names: Sequence[str] | None, data: DataConfig, span: Range | None, room: Room
    ) -> None:
        self._pixels, self._names, self._span, self._room = pixels, names, span, room
        self._home = _home(data)
        self._made: dict[int, str] = {}

    def html(self, image: int, label: str) -> str:
        """An <img>, or nothing once the page is full."""
        if self._room.left <= 0:
            return ""
        if image not in self._made:
            self._made[image] = self._uri(image)
        shown = f'<img src="{self._made[image]}" alt="{escape(label)}">'
        return shown if self._room.takes(shown) else ""

    def _uri(self, image: int) -> str:
        from PIL import Image

        pixels = self._of_file(image)
        if pixels is None:
            pixels = np.asarray(self._pixels[image])
        picture = Image.fromarray(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels)
        picture.thumbnail((SIDE, SIDE), Image.Resampling.BILINEAR)
        data, exact = io.BytesIO(), max(picture.size) <= EXACT
        if exact:
            picture.save(data, "PNG")
        else:
            picture.save(data, "JPEG", quality=QUALITY)
        kind = "png" if exact else "jpeg"
        return f"data:image/{kind};base64,{base64.b64encode(data.getvalue()).decode()}"

    def _of_file(self, image: int) -> Pixels | None:
        """Its whole picture in its own shape; None where that cannot be read any more."""
        if self._names is None or self._home is None:
            return None
        path, channels = str(self._home / self._names[image]), self._pixels.shape[3]
        try:
            header = header_of(path)
            scale = min(1.0, SIDE / max(header.height, header.width))
            height, width = (max(1, round(side * scale)) for side in (header.height, header.width))
            return decode(path, Form(height, width, channels, range=self._span))
        except (DataError, OSError, ValueError):
            return None


def _home(data: DataConfig) -> Path | None:
    """Where the names of the files begin."""
    if data.name != "folder":
        return None
    if data.root is not None:
        return Path(data.root)
    return Path(data.labels).parent if data.labels is not None else None
