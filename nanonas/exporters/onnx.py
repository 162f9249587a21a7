"""ONNX, for onnxruntime anywhere."""

import contextlib
import io
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


class Onnx(Exporter):
    """Input `images`, output `logits`; metadata as the model's metadata properties."""

    file_name = "model.onnx"
    holds_code = False

    def write(self, network: "nn.Module", example: "Tensor", path: Path, metadata: Mapping[str, str]) -> None:
        import onnx
        import torch

        # it prints to stdout, which is for data only, and logs each of its passes
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings(), _quiet("torch.onnx", "onnxscript"):
            warnings.simplefilter("ignore")
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
        model = program.model_proto
        for key, value in metadata.items():
            model.metadata_props.add(key=key, value=value)
        onnx.save_model(model, str(path))

    def read(self, path: Path) -> ModelFile:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4
        try:
            session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's own errors share no base but this
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise ExportError(f"{path} is no ONNX model that can be loaded: {reason:.200}") from None
        name = session.get_inputs()[0].name

        def run(images: "np.ndarray") -> "np.ndarray":
            logits: np.ndarray = session.run(None, {name: images})[0]
            return logits

        properties = session.get_modelmeta().custom_metadata_map
        return ModelFile(run, {key: properties[key] for key in METADATA if key in properties})


@contextlib.contextmanager
def _quiet(*names: str):  # type: ignore[no-untyped-def]
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


EXPORTERS.add("onnx", Onnx())
