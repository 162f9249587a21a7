"""ExecuTorch with XNNPACK, for phones and small devices. Needs `pip install 'nanonas[executorch]'`."""

import contextlib
import copy
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import CALIBRATION_BATCH, EXPORTERS, Exporter, Interface, Metadata, ModelFile, quiet

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn


class ExecuTorch(Exporter):
    """One image at a time, since its memory is planned when it is written: `run` loops over a batch.

    Metadata as constant methods: `program.load_method("classes").execute([])[0]`.
    """

    file_name = "model.pte"
    holds_code = True  # no program, but the runtime trusts it: crafted files have overrun it (GHSA-xc7w-r669-48pf)
    takes_pixels = False
    quantizes = True
    extra = "executorch"
    needs = "executorch torch numpy"
    python = """\
import json, torch, executorch.runtime
program = executorch.runtime.Runtime.get().load_program(FILE)
classes, mean, std = (json.loads(program.load_method(key).execute([])[0]) for key in ("classes", "mean", "std"))
images = ((torch.from_numpy(pixels) / 255 - torch.tensor(mean)) / torch.tensor(std)).permute(0, 3, 1, 2).split(1)
print([classes[program.load_method("forward").execute([x.flatten().view(x.shape)])[0].argmax()] for x in images])
"""

    def write(self, network: "nn.Module", example: "Tensor", path: Path, metadata: Mapping[str, str]) -> None:
        import torch

        with quiet(), torch.no_grad():
            _write(network, _each(example)[0], path, metadata)

    def write_int8(self, network: "nn.Module", images: "Tensor", path: Path, metadata: Mapping[str, str]) -> None:
        """Static and symmetric, per channel, by the quantizer of XNNPACK."""
        import torch

        with quiet(), torch.no_grad():
            from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
                XNNPACKQuantizer,
                get_symmetric_quantization_config,
            )
            from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

            quantizer = XNNPACKQuantizer().set_global(get_symmetric_quantization_config(is_per_channel=True))
            shapes = Interface.of(images).dynamic_shapes
            graph = torch.export.export(_folded(network), (images[:2],), dynamic_shapes=shapes).module()
            observed = prepare_pt2e(graph, quantizer)
            for batch in images.split(CALIBRATION_BATCH):
                observed(batch)
            _write(convert_pt2e(observed), _each(images)[0], path, metadata)

    def load(self, path: Path) -> ModelFile:
        import numpy as np
        import torch
        from executorch.extension.pybindings.portable_lib import _unsafe_reset_threadpool
        from executorch.runtime import Runtime

        with _no_native_log():
            _unsafe_reset_threadpool(1)
            program = Runtime.get().load_program(path)
            forward = program.load_method("forward")
            names = program.method_names & Metadata.model_fields.keys()
            texts = {name: program.load_method(name).execute([])[0] for name in names}

        def run(images: "np.ndarray") -> "np.ndarray":
            return np.concatenate([forward.execute([one])[0].numpy() for one in _each(torch.from_numpy(images))])

        return ModelFile(run, texts)


def _folded(network: "nn.Module") -> "nn.Module":
    """A copy in which a batch norm that follows no convolution is one itself, depthwise and of one pixel.

    The quantizer leaves such a batch norm as it is, and then spends a third of the export on a look for what training
    with quantization would have left behind.
    """
    from torch import nn
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    network = copy.deepcopy(network)
    for sequence in [module for module in network.modules() if isinstance(module, nn.Sequential)]:
        before: nn.Module | None = None
        for name, layer in list(sequence.named_children()):
            if isinstance(layer, nn.BatchNorm2d) and not isinstance(before, nn.Conv2d):
                channels = layer.num_features
                bare = nn.Conv2d(channels, channels, 1, groups=channels, bias=False)
                nn.init.ones_(bare.weight)
                setattr(sequence, name, fuse_conv_bn_eval(bare.eval(), layer))
            before = layer
    return network


def _write(network: Any, image: "Tensor", path: Path, metadata: Mapping[str, str]) -> None:
    import torch
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    program = torch.export.export(network, (image,))
    edge = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()], constant_methods=dict(metadata))
    path.write_bytes(edge.to_executorch().buffer)


def _each(images: "Tensor") -> "Sequence[Tensor]":
    """Batches of one, with the strides of a batch of one: those of a gray image may pass for channels last."""
    import torch

    batches: Sequence[Tensor] = images.clone(memory_format=torch.contiguous_format).split(1)
    return batches


@contextlib.contextmanager
def _no_native_log() -> Iterator[None]:
    """The runtime logs to the process's own stderr, past Python's."""
    kept = os.dup(2)
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


EXPORTERS.add("executorch", ExecuTorch())
