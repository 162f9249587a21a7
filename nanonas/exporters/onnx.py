"""ONNX, for onnxruntime anywhere."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..devices.runtime import session
from . import CALIBRATION_BATCH, EXPORTERS, Exporter, Interface, ModelFile, quiet

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn


class Onnx(Exporter):
    """Input `images`, output `logits`, or `pixels` and `probabilities`; metadata as the model's metadata properties."""

    file_name = "model.onnx"
    holds_code = False
    quantizes = True
    needs = "onnxruntime numpy"
    python = """\
import json, numpy as np, onnxruntime
session = onnxruntime.InferenceSession(FILE)
meta = {key: json.loads(value) for key, value in session.get_modelmeta().custom_metadata_map.items()}
images = ((pixels / 255 - np.array(meta["mean"])) / np.array(meta["std"])).transpose(0, 3, 1, 2).astype("float32")
print([meta["classes"][i] for i in session.run(None, {"images": images})[0].argmax(1)])
"""
    python_pixels = """\
import json, onnxruntime
session = onnxruntime.InferenceSession(FILE)
classes = json.loads(session.get_modelmeta().custom_metadata_map["classes"])
probabilities = session.run(None, {"pixels": pixels})[0]
print([classes[i] for i in probabilities.argmax(1)])
"""
    javascript = """\
import * as ort from "onnxruntime-web";
const session = await ort.InferenceSession.create(FILE);
const [channels, height, width] = card.input_size;
const images = new Float32Array(channels * height * width);
pixels.forEach((pixel, i) => {
  const channel = i % channels;
  images[channel * height * width + (i - channel) / channels] = (pixel / 255 - card.mean[channel]) / card.std[channel];
});
const { logits } = await session.run({ images: new ort.Tensor("float32", images, [1, channels, height, width]) });
console.log(card.classes[logits.data.indexOf(Math.max(...logits.data))]);
"""
    javascript_pixels = """\
import * as ort from "onnxruntime-web";
const session = await ort.InferenceSession.create(FILE);
const [channels, height, width] = card.input_size;  // any other height and width will do
const { probabilities } = await session.run({ pixels: new ort.Tensor("uint8", pixels, [1, height, width, channels]) });
console.log(card.classes[probabilities.data.indexOf(Math.max(...probabilities.data))]);
"""

    def write(self, network: "nn.Module", example: "Tensor", path: Path, metadata: Mapping[str, str]) -> None:
        import torch

        interface = Interface.of(example)
        with quiet():
            program = torch.onnx.export(
                network,
                (example,),
                dynamo=True,
                input_names=[interface.input],
                output_names=[interface.output],
                dynamic_shapes=interface.dynamic_shapes,
                verbose=False,
                external_data=False,
            )
        assert program is not None
        model = program.model_proto  # made anew whenever it is asked for
        _set_metadata(model, metadata)
        path.write_bytes(model.SerializeToString())

    def write_int8(self, network: "nn.Module", images: "Tensor", path: Path, metadata: Mapping[str, str]) -> None:
        """QDQ, per channel, with weights of 7 bits, so that CPUs without VNNI do not saturate. A batch norm that no
        convolution took in stays in float32: its weights would have one scale for all channels."""
        import onnx
        from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
        from onnxruntime.quantization.shape_inference import quant_pre_process

        class Reader(CalibrationDataReader):  # type: ignore[misc]
            def __init__(self) -> None:
                self.batches = iter(images.split(CALIBRATION_BATCH))

            def get_next(self) -> "dict[str, np.ndarray] | None":
                batch = next(self.batches, None)
                return None if batch is None else {"images": batch.numpy()}

        with tempfile.TemporaryDirectory() as scratch, quiet():
            plain, prepared, done = (Path(scratch) / name for name in ("plain.onnx", "prepared.onnx", "done.onnx"))
            self.write(network, images[:2].clone(), plain, {})
            quant_pre_process(str(plain), str(prepared), skip_symbolic_shape=True)
            nodes = onnx.load_model(str(prepared)).graph.node
            quantize_static(
                str(prepared),
                str(done),
                Reader(),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                reduce_range=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                nodes_to_exclude=[node.name for node in nodes if node.op_type == "BatchNormalization"],
            )
            model = onnx.load_model(str(done))
        _shorten_names(model)
        _set_metadata(model, metadata)
        path.write_bytes(model.SerializeToString())

    def load(self, path: Path) -> ModelFile:
        loaded = session(str(path))
        name = loaded.get_inputs()[0].name

        def run(images: "np.ndarray") -> "np.ndarray":
            scores: np.ndarray = loaded.run(None, {name: images})[0]
            return scores

        return ModelFile(run, loaded.get_modelmeta().custom_metadata_map)


def _set_metadata(model: Any, metadata: Mapping[str, str]) -> None:
    """Replaces the metadata properties of an onnx.ModelProto. Those that the exporter gave to its parts are removed:
    stack traces, with the paths of this machine, more than a kilobyte a node."""
    for part in (model.graph, *model.graph.node, *model.graph.value_info, *model.graph.initializer):
        del part.metadata_props[:]
    del model.metadata_props[:]
    for key, value in metadata.items():
        model.metadata_props.add(key=key, value=value)


def _shorten_names(model: Any) -> None:
    """Numbers instead of names for what lies inside an onnx.ModelProto. In 8 bits, nodes around every weight repeat its
    layer's name, which made a tenth of a file."""
    graph = model.graph
    kept = [value.name for value in (*graph.input, *graph.output)]
    names = {"": "", **dict(zip(kept, kept, strict=True))}  # no name at all is an input that is left out
    for initializer in graph.initializer:
        initializer.name = names.setdefault(initializer.name, str(len(names)))
    for node in graph.node:
        node.name = ""
        for values in (node.input, node.output):
            values[:] = [names.setdefault(value, str(len(names))) for value in values]
    del graph.value_info[:]


EXPORTERS.add("onnx", Onnx())
