"""TorchScript, for LibTorch and older PyTorch; deprecated by PyTorch in favour of pt2."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from . import EXPORTERS, Exporter, Metadata, ModelFile, quiet, torch_file

if TYPE_CHECKING:
    from torch import Tensor, nn


class TorchScript(Exporter):
    """Metadata as extra files; read with `torch.jit.load(path, _extra_files={"classes": ""})`."""

    file_name = "model.ts"
    holds_code = True
    needs = "torch numpy"
    python = """\
import json, torch
model = torch.jit.load(FILE, _extra_files=(meta := {"classes": "", "mean": "", "std": ""}))
mean, std = (torch.tensor(json.loads(meta[key])) for key in ("mean", "std"))
images = ((torch.from_numpy(pixels) / 255 - mean) / std).permute(0, 3, 1, 2)
print([json.loads(meta["classes"])[i] for i in model(images).argmax(1)])
"""
    python_pixels = """\
import json, torch
model = torch.jit.load(FILE, _extra_files=(meta := {"classes": ""}))
print([json.loads(meta["classes"])[i] for i in model(torch.from_numpy(pixels)).argmax(1)])
"""

    def write(self, network: "nn.Module", example: "Tensor", path: Path, metadata: Mapping[str, str]) -> None:
        import torch

        buffer = io.BytesIO()  # given a path, a full disk would abort the process
        with quiet(), torch.no_grad():
            traced = torch.jit.trace(network, example, check_trace=False)  # the parity gate checks it
            torch.jit.save(traced, buffer, _extra_files=dict(metadata))
        path.write_bytes(buffer.getvalue())

    def load(self, path: Path) -> ModelFile:
        import torch

        extra: dict[str, str | bytes] = dict.fromkeys(Metadata.model_fields, "")
        return torch_file(torch.jit.load(str(path), map_location="cpu", _extra_files=extra), extra)


EXPORTERS.add("torchscript", TorchScript())
