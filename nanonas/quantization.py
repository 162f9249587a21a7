"""int8 ONNX: static quantization with onnxruntime, calibrated on training images."""

import tempfile
from pathlib import Path

import numpy as np
import torch

from .classifier import Classifier
from .exporters import EXPORTERS, quiet
from .exporters.onnx import set_metadata

CALIBRATION_BATCH = 64


def write_int8(classifier: Classifier, images: torch.Tensor, path: Path) -> None:
    """QDQ, per channel, with weights of 7 bits, so that CPUs without VNNI do not saturate."""
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    from .exporting import metadata_of

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.batches = iter(images.split(CALIBRATION_BATCH))

        def get_next(self) -> dict[str, np.ndarray] | None:
            batch = next(self.batches, None)
            return None if batch is None else {"images": batch.numpy()}

    with tempfile.TemporaryDirectory() as scratch, quiet():
        plain, prepared, done = (Path(scratch) / name for name in ("plain.onnx", "prepared.onnx", "done.onnx"))
        EXPORTERS["onnx"].write(classifier.network.eval(), images[:2].clone(), plain, {})
        quant_pre_process(str(plain), str(prepared), skip_symbolic_shape=True)
        quantize_static(
            str(prepared),
            str(done),
            Reader(),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        model = onnx.load_model(str(done))
    set_metadata(model, metadata_of(classifier).texts())
    path.write_bytes(model.SerializeToString())
