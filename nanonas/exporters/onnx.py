"""ONNX, for onnxruntime anywhere."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from . import EXPORTERS, Exporter, ModelFile, quiet

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn


class Onnx(Exporter):
    """Input `images`, output `logits`; metadata as the model's metadata properties."""

    file_name = "model.onnx"
    holds_code = False

    def write(self, network: "nn.Module", example: "Tensor", path: Path, metadata: Mapping[str, str]) -> None:
        import torch

        with quiet():
            program = torch.onnx.export(
                network,
                (example,),
                dynamo=True,
                input_names=["images"],
                output_names=["logits"],
                dynamic_shapes=({0: torch.export.Dim("batch")},),
                verbose=False,
                external_data=False,
            )
        assert program is not None
        model = program.model_proto  # made anew whenever it is asked for
        set_metadata(model, metadata)
        path.write_bytes(model.SerializeToString())

    def load(self, path: Path) -> ModelFile:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        name = session.get_inputs()[0].name

        def run(images: "np.ndarray") -> "np.ndarray":
            logits: np.ndarray = session.run(None, {name: images})[0]
            return logits

        return ModelFile(run, session.get_modelmeta().custom_metadata_map)


def set_metadata(model: "object", metadata: Mapping[str, str]) -> None:
    """Replaces the metadata properties of an onnx.ModelProto."""
    del model.metadata_props[:]  # type: ignore[attr-defined]
    for key, value in metadata.items():
        model.metadata_props.add(key=key, value=value)  # type: ignore[attr-defined]


EXPORTERS.add("onnx", Onnx())
