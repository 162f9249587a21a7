"""An image file as pixels: of any mode and size, upright, or one line that says why not."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..core.errors import DataError
from .cache import Pixels

if TYPE_CHECKING:
    from PIL import Image

# a fixed list, since Pillow would hand a PostScript file named .jpg to Ghostscript
FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
GRAY_16_BIT = frozenset({"I", "I;16", "I;16L", "I;16B", "I;16N"})
GRAY = frozenset({"1", "L", "LA", "La"}) | GRAY_16_BIT
ORIENTATION, SIDEWAYS = 0x0112, (5, 6, 7, 8)  # EXIF's tag; its values that swap the sides
TRANSPARENT = frozenset({"LA", "La", "PA", "RGBA", "RGBa"})


def decode(path: str, shape: tuple[int, int, int], resize: bool = True) -> Pixels:
    """An image file as pixels; raises DataError, with the path, when it cannot be decoded."""
    with strict_about_bombs(), _opened(path) as image:
        if resize:
            image.draft(None, (2 * shape[1], 2 * shape[0]))  # a JPEG is decoded at half, a quarter … of its size
        return pixels_of(image, shape, resize)


def pixels_of(image: "Image.Image", shape: tuple[int, int, int], resize: bool = True) -> Pixels:
    """An image of any mode and size as (H, W, C) uint8, upright; resized to `shape` unless told otherwise."""
    height, width, channels = shape
    image = _flat(_upright(image), "L" if channels == 1 else "RGB")
    if resize and image.size != (width, height):
        image = image.resize((width, height), 2)  # bilinear, which Pillow antialiases
    return np.asarray(image).reshape(image.height, image.width, channels)


class Header(NamedTuple):
    """What a file says of its image before it is decoded: its size when it is upright, and whether it has no colour."""

    height: int
    width: int
    gray: bool


def header_of(path: str) -> Header:
    """Of a file that is not decoded; raises DataError, with the path, when it cannot be read."""
    with _opened(path) as image:
        swapped = _is_marked(image) and image.getexif().get(ORIENTATION) in SIDEWAYS
        height, width = image.size if swapped else image.size[::-1]
        return Header(height, width, image.mode in GRAY)


@contextmanager
def strict_about_bombs() -> Iterator[None]:
    """Pillow's warning about a huge image is an error here; what else it warns about does not change the pixels."""
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


@contextmanager
def _opened(path: str) -> Iterator["Image.Image"]:
    """The image, and DataError with its path for whatever goes wrong with it."""
    from PIL import Image, UnidentifiedImageError

    try:
        # not by name: Pillow would map a TIFF into memory, and swaps the sides of one that is to be rotated
        with open(path, "rb") as file, Image.open(file, formats=FORMATS) as image:  # noqa: PTH123
            yield image
    except DataError:
        raise
    except UnidentifiedImageError as error:
        raise DataError(f"{path} is not a readable image; replace or remove it") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DataError(f"{path} has more than {Image.MAX_IMAGE_PIXELS:,} pixels; shrink or remove it") from error
    except Exception as error:  # a damaged file makes Pillow raise nearly anything: SyntaxError, struct.error, …
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(f"{path} is not a readable image ({reason}); replace or remove it") from error


def _is_marked(image: "Image.Image") -> bool:
    """Whether the header may hold an orientation; asking Pillow straight away would decode every PNG."""
    return not image.info.keys().isdisjoint({"exif", "xmp", "XML:com.adobe.xmp"})


def _upright(image: "Image.Image") -> "Image.Image":
    from PIL import ImageOps

    return ImageOps.exif_transpose(image) if _is_marked(image) else image


def _flat(image: "Image.Image", mode: str) -> "Image.Image":
    """`image` in `mode`, L or RGB: 16 bits scaled to 8, and what is transparent laid over white."""
    from PIL import Image

    if image.mode in GRAY_16_BIT:
        values = np.asarray(image).astype(np.int64)
        if values.min() < 0 or values.max() > 65535:
            raise ValueError("32-bit pixels have no common range; convert them to 8 or 16 bits")
        image = Image.fromarray(((values * 255 + 32767) // 65535).astype(np.uint8))
    elif image.mode == "F":
        raise ValueError("floating-point pixels have no common range; convert them to 8 bits")
    elif image.mode in TRANSPARENT or "transparency" in image.info:
        white = Image.new("RGBA", image.size, "white")
        white.alpha_composite(image.convert("RGBA"))
        image = white
    return image if image.mode == mode else image.convert(mode)
