"""int8 ONNX: static quantization with onnxruntime, calibrated on training images."""

import contextlib
import hashlib
import io
import logging
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .classifier import Classifier
from .exporters import EXPORTERS
from .profile import latency_ms
from .training import threads


def export_int8(classifier: Classifier, folder: Path, say: Callable[[str], None]) -> dict[str, Any]:
    """Writes model-int8.onnx (QDQ, per channel, weights of 7 bits so that CPUs without VNNI do not saturate).

    It cannot pass the parity gate of the float formats: how far it is off is reported instead.
    """
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    from .exporting import metadata_of, parity_images

    say("exporting onnx, int8")
    images = parity_images(classifier, say)

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.batches = iter([{"images": batch.numpy()} for batch in images.split(64)])

        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(self.batches, None)

    path = folder / "model-int8.onnx"
    temporary = folder / ".new-model-int8.onnx"
    logging.getLogger().setLevel(logging.ERROR)  # onnxruntime logs advice through the root logger
    try:
        with tempfile.TemporaryDirectory() as scratch, contextlib.redirect_stdout(io.StringIO()):
            plain, prepared = Path(scratch) / "plain.onnx", Path(scratch) / "prepared.onnx"
            EXPORTERS["onnx"].write(classifier.network.eval(), images[:2].clone(), plain, metadata_of(classifier))
            quant_pre_process(str(plain), str(prepared), skip_symbolic_shape=True)
            quantize_static(
                str(prepared),
                str(temporary),
                Reader(),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                reduce_range=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
            )
        _keep_metadata(temporary, metadata_of(classifier))
        model = EXPORTERS["onnx"].read(temporary)
        logits = model.run(images.numpy())
        with torch.inference_mode():
            expected = classifier.eval()(images).numpy()
        with threads(1):
            latency = latency_ms(model.run, classifier.card.input_size)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return {
        "format": "onnx-int8",
        "path": f"{folder.name}/{path.name}",
        "bytes": path.stat().st_size,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "max_abs_diff": float(np.abs(expected - logits).max()),
        "top1_agreement": float((expected.argmax(1) == logits.argmax(1)).mean()),
        "latency_ms": latency,
    }


def _keep_metadata(path: Path, metadata: dict[str, str]) -> None:
    import onnx

    model: onnx.ModelProto = onnx.load_model(str(path))
    del model.metadata_props[:]
    for key, value in metadata.items():
        model.metadata_props.add(key=key, value=value)
    onnx.save_model(model, str(path))
