"""Makes the three runs beside this file. Run once by the nanonas of version 0.1 (commit a01773e), and kept:

    git worktree add /tmp/v01 a01773e && cd /tmp/v01 && python -m venv .venv && .venv/bin/pip install -e .
    .venv/bin/python -I THIS_FILE FOLDER

The photographs are drawn, not kept: `photos` draws the same pixels anywhere.
"""

import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

SMALL = ["space.widths=[8]", "space.cells=[1]", "train.epochs=2", "device=cpu", "executor.name=inline"]
RUNS = {
    "digits": ["--preset", "digits-evo", *SMALL, "evaluator.epochs=1", "budget.trials=6", "strategy.population_size=4"],
    "folder": ["--preset", "folder-evo", "space={name: nano, widths: [8], cells: [1]}", "data.root=photos",
               "data.image_size=12", "evaluator={name: training, epochs: 1}", "strategy={name: random}",
               "constraints={}", "budget={trials: 3}", "train={epochs: 2}", "device=cpu", "executor.name=inline"],
    "darts": ["--preset", "digits-evo", *SMALL, "strategy={name: darts}", "budget.trials=2", "executor.lookahead=1",
              "evaluator={name: supernet, epochs: 2, channels: 4}"],
}  # fmt: skip


def photos(root: Path) -> None:
    """Two classes of 20 images of 12×10 to 16×14 pixels: bright above, or bright below."""
    rng = np.random.default_rng(0)
    for label, name in enumerate(("above", "below")):
        (root / name).mkdir(parents=True)
        for number in range(20):
            height, width = int(rng.integers(10, 15)), int(rng.integers(12, 17))
            pixels = rng.integers(0, 100, (height, width, 3), dtype=np.uint8)
            half = slice(height // 2) if label == 0 else slice(height // 2, None)
            pixels[half] += 120
            Image.fromarray(pixels).save(root / name / f"{number:02}.png")


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.mkdir(parents=True)
    photos(target / "photos")
    nanonas = [str(Path(sys.executable).with_name("nanonas"))]
    for name, words in RUNS.items():
        sets = [text for word in words[2:] for text in ("--set", word)]
        for command in (["search", *words[:2], *sets, "--out", name], ["train", name], ["eval", name]):
            subprocess.run([*nanonas, *command, "--quiet"], cwd=target, check=True)
        (target / name / "log.txt").unlink()
