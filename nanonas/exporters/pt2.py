"""pt2, the file of torch.export."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from . import EXPORTERS, Exporter, Interface, Metadata, ModelFile, quiet, torch_file

if TYPE_CHECKING:
    from torch import Tensor, nn


class Pt2(Exporter):
    """Metadata as extra files; read with `torch.export.load(path, extra_files={"classes": ""})`."""

    file_name = "model.pt2"
    holds_code = True
    needs = "torch numpy"
    python = """\
import json, torch
model = torch.export.load(FILE, extra_files=(meta := {"classes": "", "mean": "", "std": ""})).module()
mean, std = (torch.tensor(json.loads(meta[key])) for key in ("mean", "std"))
images = ((torch.from_numpy(pixels) / 255 - mean) / std).permute(0, 3, 1, 2)
print([json.loads(meta["classes"])[i] for i in model(images).argmax(1)])
"""
    python_pixels = """\
import json, torch
model = torch.export.load(FILE, extra_files=(meta := {"classes": ""})).module()
print([json.loads(meta["classes"])[i] for i in model(torch.from_numpy(pixels)).argmax(1)])
"""

    def write(self, network: "nn.Module", example: "Tensor", path: Path, metadata: Mapping[str, str]) -> None:
        import torch

        buffer = io.BytesIO()  # given a path, a full disk would abort the process
        with quiet(), torch.no_grad():
            program = torch.export.export(network, (example,), dynamic_shapes=Interface.of(example).dynamic_shapes)
            torch.export.save(program, buffer, extra_files=dict(metadata))
        path.write_bytes(buffer.getvalue())

    def load(self, path: Path) -> ModelFile:
        import torch

        extra = dict.fromkeys(Metadata.model_fields, "")
        return torch_file(torch.export.load(str(path), extra_files=extra).module(), extra)


EXPORTERS.add("pt2", Pt2())
