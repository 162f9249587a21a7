"""pt2, the file of torch.export."""

import logging
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ExportError
from . import EXPORTERS, METADATA, Exporter, ModelFile

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn


class Pt2(Exporter):
    """Metadata as extra files; read with `torch.export.load(path, extra_files={"classes": ""})`."""

    file_name = "model.pt2"
    holds_code = True

    def write(self, network: "nn.Module", example: "Tensor", path: Path, metadata: Mapping[str, str]) -> None:
        import torch

        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            program = torch.export.export(network, (example,), dynamic_shapes=({0: torch.export.Dim("batch")},))
            torch.export.save(program, str(path), extra_files=dict(metadata))

    def read(self, path: Path) -> ModelFile:
        import torch

        extra = dict.fromkeys(METADATA, "")
        logging.getLogger("torch.export").setLevel(logging.ERROR)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                module = torch.export.load(str(path), extra_files=extra).module()
        except Exception as error:  # a damaged archive fails in whatever part is read first
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise ExportError(f"{path} is no pt2 model that can be loaded: {reason:.200}") from None

        def run(images: "np.ndarray") -> "np.ndarray":
            with torch.inference_mode():
                logits: np.ndarray = module(torch.from_numpy(images)).numpy()
            return logits

        return ModelFile(run, {key: value for key, value in extra.items() if value})


EXPORTERS.add("pt2", Pt2())
