"""Copies among pictures: how many a folder has, how many of those that augmentation makes are found, how many wrongly.

    python benchmarks/copies.py photos-trash photos-steel cifar10-jpeg [--size 128] [--sheet DIR]
    python benchmarks/copies.py --show

For each folder of images: equal and nearly equal pairs, those among them of two classes (few of these can be right),
and how many pictures of test have a copy in train. Of 300 pictures, drawn at random and changed as augmentation changes
them: the share found again (recall), and the share taken for a copy of another picture (wrong). `--sheet` draws the
pairs, to be judged by eye. Appends a row a folder to benchmarks/results/copies.json.
"""

import argparse
import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from common import Record
from PIL import Image, ImageEnhance

from nanonas.data import folder
from nanonas.data.copies import TEST, TRAIN, Fingerprints
from nanonas.data.picture import strict_about_bombs

RECORD = Record("copies")
DRAWN = 300
Change = Callable[[Image.Image, np.random.Generator], Image.Image]


def saved(image: Image.Image, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(io.BytesIO(buffer.getvalue()))


def cropped(image: Image.Image, share: float, rng: np.random.Generator) -> Image.Image:
    """Of each side so much is kept."""
    width, height = (round(side * share) for side in image.size)
    left, top = int(rng.integers(image.width - width + 1)), int(rng.integers(image.height - height + 1))
    return image.crop((left, top, left + width, top + height)).resize(image.size, Image.Resampling.BILINEAR)


def noisy(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    pixels = np.asarray(image).astype(float)
    return Image.fromarray(np.clip(pixels + rng.normal(0, 10, pixels.shape), 0, 255).astype(np.uint8))


CHANGES: dict[str, Change] = {
    "JPEG of quality 50": lambda image, rng: saved(image, 50),
    "half the size": lambda image, rng: image.resize((image.width // 2, image.height // 2)).resize(image.size),
    "brightness ± 30 %": lambda image, rng: ImageEnhance.Brightness(image).enhance(rng.choice([0.7, 1.3])),
    "contrast ± 30 %": lambda image, rng: ImageEnhance.Contrast(image).enhance(rng.choice([0.7, 1.3])),
    "noise of 10 levels": noisy,
    "mirrored": lambda image, rng: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    "turned by a quarter": lambda image, rng: image.transpose(Image.Transpose.ROTATE_90),
    "turned by 3°": lambda image, rng: image.rotate(3, Image.Resampling.BILINEAR),
    "turned by 15°": lambda image, rng: image.rotate(15, Image.Resampling.BILINEAR),
    "crop of 95 %": lambda image, rng: cropped(image, 0.95, rng),
    "crop of 80 %": lambda image, rng: cropped(image, 0.8, rng),
}


def measure(root: Path, size: int | None, sheet: Path | None) -> dict[str, Any]:
    listing = folder.scan(root.resolve())
    images, _ = listing.open(size, "squash", lambda done, total: None)
    prints, kept = Fingerprints(), np.random.default_rng(0).permutation(len(listing.paths))[:DRAWN]
    drawn = []
    with strict_about_bombs():
        for start in range(0, len(listing.paths), 256):
            rows = np.arange(start, min(start + 256, len(listing.paths)))
            pixels, _ = images.read(rows)
            prints.add(pixels)
            drawn += [(row, pixels[row - start]) for row in rows if row in kept]
    pairs = sorted({(min(pair), max(pair)) for pair in prints.pairs()})
    equal = [pair for pair in pairs if prints.digests[pair[0]] == prints.digests[pair[1]]]
    near = [pair for pair in pairs if pair not in {*equal}]
    groups = prints.groups()
    train = {*groups[listing.parts == TRAIN].tolist()}
    leaked = sum(int(group) in train for group in groups[listing.parts == TEST])
    row: dict[str, Any] = {
        "folder": root.name,
        "images": len(groups),
        "size": size,
        "equal_pairs": len(equal),
        "near_pairs": len(near),
        "near_pairs_of_two_classes": sum(bool(listing.labels[a] != listing.labels[b]) for a, b in near),
        "images_with_a_copy": int(len(groups) - np.count_nonzero(np.bincount(groups) == 1)),
        "test_images": int((listing.parts == TEST).sum()),
        "test_images_also_in_train": leaked,
        "drawn": len(drawn),
        "changes": {},
    }
    rng = np.random.default_rng(0)
    for name, change in CHANGES.items():
        more = Fingerprints([*prints.digests], [*prints.grays])
        flat = [pixels[..., 0] if pixels.shape[2] == 1 else pixels for _, pixels in drawn]
        mode = "L" if images.shape[2] == 1 else "RGB"
        changed = [np.asarray(change(Image.fromarray(pixels), rng).convert(mode)) for pixels in flat]
        more.add(np.stack(changed).reshape(len(changed), *images.shape))
        found = more.groups()
        own = found[len(groups) :]
        right = np.array([found[row] == group for (row, _), group in zip(drawn, own, strict=True)])
        alone = own == np.arange(len(groups), len(found))
        row["changes"][name] = {"recall": float(right.mean()), "wrong": float((~right & ~alone).mean())}
    if sheet and near:
        draw(sheet / f"{root.name}.png", images, near)
    return row


def draw(path: Path, images: Any, pairs: list[tuple[int, int]]) -> None:
    """Up to 60 pairs, six in a line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    chosen = [pairs[i] for i in np.linspace(0, len(pairs) - 1, min(60, len(pairs))).astype(int)]
    canvas = Image.new("RGB", (6 * 210, 105 * -(-len(chosen) // 6)), "white")
    for place, pair in enumerate(chosen):
        pixels, _ = images.read(np.array(pair))
        for side, image in enumerate(pixels):
            shown = Image.fromarray(image.squeeze()).convert("RGB").resize((100, 100))
            canvas.paste(shown, (place % 6 * 210 + 101 * side, place // 6 * 105))
    canvas.save(path)


def show(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        two = f"{row['near_pairs_of_two_classes']:,} of two classes"
        pairs = f"{row['equal_pairs']:,} equal and {row['near_pairs']:,} near pairs ({two})"
        print(
            f"{row['folder']}: {row['images']:,} images, {pairs}; "
            f"{row['images_with_a_copy']:,} images with a copy; "
            f"{row['test_images_also_in_train']:,} of {row['test_images']:,} test images are in train, too"
        )
        for name, found in row["changes"].items():
            shares = f"found {100 * found['recall']:5.1f} %, wrong {100 * found['wrong']:4.1f} %"
            print(f"  {name:<22} {shares}  (n={row['drawn']})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("roots", nargs="*", type=Path, metavar="FOLDER")
    parser.add_argument("--size", type=int, default=128, help="of the images; 0: as they are")
    parser.add_argument("--sheet", type=Path, metavar="DIR", help="draw the near pairs there")
    parser.add_argument("--show", action="store_true", help="print what is there and stop")
    arguments = parser.parse_args()
    for root in [] if arguments.show else arguments.roots:
        row = measure(root, arguments.size or None, arguments.sheet)
        RECORD.append(row)
        show([row])
        sys.stdout.flush()
    if arguments.show:
        show(RECORD.rows())


if __name__ == "__main__":
    main()
