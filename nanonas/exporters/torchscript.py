"""TorchScript, for LibTorch and older PyTorch; deprecated by PyTorch in favour of pt2."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ExportError
from . import EXPORTERS, METADATA, Exporter, ModelFile

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn


class TorchScript(Exporter):
    """Metadata as extra files; read with `torch.jit.load(path, _extra_files={"classes": ""})`."""

    file_name = "model.ts"
    holds_code = True

    def write(self, network: "nn.Module", example: "Tensor", path: Path, metadata: Mapping[str, str]) -> None:
        import torch

        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # deprecated, as said above
            traced = torch.jit.trace(network, example, check_trace=False)  # the parity gate checks it
            torch.jit.save(traced, str(path), _extra_files=dict(metadata))

    def read(self, path: Path) -> ModelFile:
        import torch

        extra: dict[str, str | bytes] = dict.fromkeys(METADATA, "")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                module = torch.jit.load(str(path), map_location="cpu", _extra_files=extra)
        except (RuntimeError, ValueError, OSError) as error:
            raise ExportError(
                f"{path} is no TorchScript model that can be loaded: {str(error).splitlines()[0]:.200}"
            ) from None

        def run(images: "np.ndarray") -> "np.ndarray":
            with torch.inference_mode():
                logits: np.ndarray = module(torch.from_numpy(images)).numpy()
            return logits

        texts = {key: value.decode() if isinstance(value, bytes) else value for key, value in extra.items()}
        return ModelFile(run, {key: value for key, value in texts.items() if value})


EXPORTERS.add("torchscript", TorchScript())
