"""Draws docs/search.svg: a real search of digits-evo, as a terminal shows it at its end.

python benchmarks/picture.py
"""

import io
import tempfile
from pathlib import Path

from rich.console import Console

from nanonas import load_spec, search, train
from nanonas.cli import report
from nanonas.cli.output import Output
from nanonas.core.files import read_json

TARGET = Path(__file__).parent.parent / "docs" / "search.svg"


def main() -> None:
    spec = load_spec("digits-evo")
    console = Console(record=True, width=96, file=io.StringIO(), force_terminal=True, highlight=False)
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "digits-evo-seed0"
        view = report.SearchView(spec, Path("runs/digits-evo-seed0"), Output())
        for trial in search(spec, run):
            view.update(trial)
        console.print("$ nanonas search --preset digits-evo", style="bold")
        console.print(view.render())
        console.print()
        document = read_json(run / "search.json") | {"run": "runs/digits-evo-seed0"}
        console.print(report.search_table(document))
        console.print("\n$ nanonas train runs/digits-evo-seed0", style="bold")
        console.print(report.train_table(train(run) | {"run": "runs/digits-evo-seed0"}))
    TARGET.write_text(console.export_svg(title="nanonas"), encoding="utf-8")


if __name__ == "__main__":
    main()
