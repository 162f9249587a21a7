"""nanonas predict"""

from pathlib import Path
from typing import Annotated

import typer

from nanonas.cli import completion

from .options import Json, Quiet, Trust, place


def predict(
    target: Annotated[
        str,
        typer.Argument(
            metavar="RUN|MODEL_FILE",
            help="A run directory or an exported file; `-`: stdin.",
            autocompletion=completion.runs,
        ),
    ],
    images: Annotated[
        list[str], typer.Argument(metavar="IMAGE", help="Image files, folders of them, or patterns, each any number.")
    ],
    csv: Annotated[Path | None, place("FILE", "Write the rows there, as they come; print how many there are.")] = None,
    min_probability: Annotated[
        float,
        typer.Option(min=0, max=1, metavar="P", help="Answer `unknown` where the most probable class has less."),
    ] = 0.0,
    heatmap: Annotated[
        Path | None, place("DIR", "Write a picture for each image of what its class rests on; of a run only.")
    ] = None,
    trust: Trust = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """The class of images, by a trained run or an exported file.

    An image that cannot be read is a row with the reason; the others go on, and the exit code is 1.

    Examples:

      nanonas predict runs/photos new/ --csv classes.csv

      nanonas predict runs/photos/exports/model.onnx a.jpg b.jpg --json
    """
    from contextlib import closing, nullcontext

    from nanonas.cli import report
    from nanonas.cli.output import Output, run_argument, typed_path
    from nanonas.cli.rows import RowFile
    from nanonas.core.errors import DataError
    from nanonas.core.say import paced
    from nanonas.data.chosen import chosen_images
    from nanonas.models.prediction import Prediction, Predictor

    output = Output(json, quiet)
    paths = chosen_images(str(typed_path(name)) for name in images)
    table = RowFile(csv) if csv else None
    predictor = Predictor.open(run_argument(target), trust, heatmap)
    progress = paced(output.say, "{:,} of {:,} images are classified")
    done: list[Prediction] = []
    try:
        with table or nullcontext(), closing(predictor.batches(paths, min_probability)) as batches:
            for batch in batches:
                if table:
                    table.add(batch)
                done += batch
                progress(len(done), len(paths))
    except (KeyboardInterrupt, OSError):
        kept = f"{csv} has {table.count:,} of {len(paths):,} images" if table else "--csv FILE keeps what is done"
        output.say(f"warning: stopped; {kept}; the same command starts over")
        raise
    places = {"csv": csv, "heatmaps": heatmap}
    named = {name: str(path) for name, path in places.items() if path}
    document = predictor.document(done, min_probability=min_probability, **named)
    output.result(document, report.predict_table)
    if document["unreadable"]:
        raise DataError(f"{document['unreadable']:,} of {len(paths):,} images cannot be read; their rows say why")
