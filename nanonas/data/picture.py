"""An image file as pixels: of any mode and size, upright, fitted, or one line that says why not."""

import errno
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from ..core.errors import DataError
from .cache import Pixels

if TYPE_CHECKING:
    from PIL import Image

# a fixed list, since Pillow would hand a PostScript file named .jpg to Ghostscript
FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF", "PPM", "AVIF", "HEIF", "JXL")
PLUGINS = {".avif": "pillow_avif", ".heic": "pillow_heif", ".heif": "pillow_heif", ".jxl": "pillow_jxl"}
PACKAGES = {"pillow_avif": "pillow-avif-plugin", "pillow_heif": "pillow-heif", "pillow_jxl": "pillow-jxl-plugin"}
DEEP = frozenset({"I", "I;16", "I;16L", "I;16B", "I;16N", "F"})  # modes of more than 8 bits
GRAY = frozenset({"1", "L", "LA", "La"}) | DEEP
SIXTEEN = (0.0, 65535.0)
ORIENTATION, SIDEWAYS = 0x0112, (5, 6, 7, 8)  # EXIF's tag; its values that swap the sides
TRANSPARENT = frozenset({"LA", "La", "PA", "RGBA", "RGBa"})
PAD = 128  # the gray beside an image that is padded

Fit = Literal["squash", "crop", "pad"]
Range = tuple[float, float]


class Damaged(DataError):
    """A file that is no image which can be read: others will do without it."""


@dataclass(frozen=True)
class Form:
    """What an image becomes: (height, width, channels) uint8.

    Attributes:
        fit: how another shape is dealt with. squash: both sides are resized; crop: what is too long is cut off at both
            ends; pad: gray is put at both ends.
        range: the values of an image of more than 8 bits that become 0 and 255; None: 0 and 65535.
        resize: whether images of another size are resized, or stay as they are.
    """

    height: int
    width: int
    channels: int
    fit: Fit = "squash"
    range: Range | None = None
    resize: bool = True

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.height, self.width, self.channels


def decode(path: str, form: Form) -> Pixels:
    """An image file as pixels; raises Damaged, with the path, when it cannot be decoded."""
    with strict_about_bombs(), _opened(path) as image:
        return pixels_of(image, form)


def pixels_of(image: "Image.Image", form: Form) -> Pixels:
    """An image of any mode and size as (H, W, C) uint8, upright; fitted and resized as `form` says."""
    image = _flat(_upright(image), "L" if form.channels == 1 else "RGB", form.range)
    if form.resize and image.size != (form.width, form.height):
        image = _fitted(image, form).resize((form.width, form.height), 2)  # bilinear, which Pillow antialiases
    return np.asarray(image).reshape(image.height, image.width, form.channels)


def extremes(path: str) -> Range:
    """The lowest and the highest value of an image of more than 8 bits; raises Damaged as `decode` does."""
    with strict_about_bombs(), _opened(path) as image:
        values = _finite(np.asarray(image))
        return float(values.min()), float(values.max())


class Header(NamedTuple):
    """What a file says of its image before it is decoded: its size when it is upright, whether it has no colour, and
    whether it has more than 8 bits a channel. `cut`: in colour, of which only the upper eight are read."""

    height: int
    width: int
    gray: bool
    deep: bool
    cut: bool


def header_of(path: str) -> Header:
    """Of a file that is not decoded; raises Damaged, with the path, when it cannot be read."""
    with _opened(path) as image:
        swapped = _is_marked(image) and image.getexif().get(ORIENTATION) in SIDEWAYS
        height, width = image.size if swapped else image.size[::-1]
        cut = any("16" in str(tile[3]) for tile in getattr(image, "tile", ())) and image.mode not in GRAY
        return Header(height, width, image.mode in GRAY, image.mode in DEEP, cut)


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
    """The image, and Damaged with its path for whatever is wrong with it. DataError where the system refuses."""
    from PIL import Image, UnidentifiedImageError

    missing = _missing_plugin(path[path.rfind(".") :].lower())
    advice = f"type: pip install {missing}" if missing else "replace or remove it"
    try:
        # not by name: Pillow would map a TIFF into memory, and swaps the sides of one that is to be rotated
        with open(path, "rb") as file, Image.open(file, formats=_known_formats()) as image:  # noqa: PTH123
            yield image
    except UnidentifiedImageError as error:
        raise Damaged(f"{path} is not a readable image; {advice}") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise Damaged(f"{path} has more than {Image.MAX_IMAGE_PIXELS:,} pixels; shrink or remove it") from error
    except Exception as error:  # a damaged file makes Pillow raise nearly anything: SyntaxError, struct.error, …
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        if isinstance(error, OSError) and error.errno not in (None, errno.ENOENT, errno.ELOOP):
            raise DataError(f"cannot read {path}: {error.strerror}") from error  # tomorrow, perhaps
        raise Damaged(f"{path} is not a readable image ({reason}); {advice}") from error


def _missing_plugin(suffix: str) -> str | None:
    """The package without which Pillow does not read files of this kind; a plugin that is there is loaded."""
    if suffix not in PLUGINS or _reads(suffix):
        return None
    return PACKAGES[PLUGINS[suffix]]


@cache
def _reads(suffix: str) -> bool:
    from PIL import Image

    Image.init()
    if suffix not in Image.EXTENSION:
        with suppress(ImportError):
            module = import_module(PLUGINS[suffix])
            if hasattr(module, "register_heif_opener"):
                module.register_heif_opener()
            _known_formats.cache_clear()
    return Image.EXTENSION.get(suffix) in Image.OPEN


@cache
def _known_formats() -> list[str]:
    from PIL import Image

    Image.init()
    return [name for name in FORMATS if name in Image.OPEN]


def _is_marked(image: "Image.Image") -> bool:
    """Whether the header may hold an orientation; asking Pillow straight away would decode every PNG."""
    return not image.info.keys().isdisjoint({"exif", "xmp", "XML:com.adobe.xmp"})


def _upright(image: "Image.Image") -> "Image.Image":
    from PIL import ImageOps

    return ImageOps.exif_transpose(image) if _is_marked(image) else image


def _flat(image: "Image.Image", mode: str, span: Range | None) -> "Image.Image":
    """`image` in `mode`, L or RGB: more than 8 bits scaled to 8, and what is transparent laid over white."""
    from PIL import Image

    if image.mode in DEEP:
        values = _finite(np.asarray(image))
        low, high = span or SIXTEEN
        if span is None and not (image.mode != "F" and low <= values.min() and values.max() <= high):
            raise ValueError("its values have no known range; set data.range: [lowest, highest]")
        scaled = (np.clip(values, low, high) - low) * (255 / ((high - low) or 1.0))
        image = Image.fromarray(np.floor(scaled + 0.5).astype(np.uint8))
    elif image.mode in TRANSPARENT or "transparency" in image.info:
        white = Image.new("RGBA", image.size, "white")
        white.alpha_composite(image.convert("RGBA"))
        image = white
    return image if image.mode == mode else image.convert(mode)


def _finite(values: npt.NDArray[np.generic]) -> npt.NDArray[np.float64]:
    """As float64; what is no number becomes the lowest value. Raises ValueError when there is no number at all."""
    found = values.astype(np.float64)
    known = np.isfinite(found)
    if not known.all():
        if not known.any():
            raise ValueError("it has no pixel that is a number")
        found[~known] = found[known].min()
    return found


def _fitted(image: "Image.Image", form: Form) -> "Image.Image":
    """`image` in the aspect ratio of `form`; whole pixels, so that an exported file can do the same."""
    from PIL import Image

    width, height = image.size
    if form.fit == "crop":
        wide = min(width, max(1, height * form.width // form.height))
        high = min(height, max(1, width * form.height // form.width))
        left, top = (width - wide) // 2, (height - high) // 2
        return image.crop((left, top, left + wide, top + high))
    if form.fit == "pad":
        wide = max(width, -(-height * form.width // form.height))
        high = max(height, -(-width * form.height // form.width))
        canvas = Image.new(image.mode, (wide, high), PAD if image.mode == "L" else (PAD,) * 3)
        canvas.paste(image, ((wide - width) // 2, (high - height) // 2))
        return canvas
    return image
