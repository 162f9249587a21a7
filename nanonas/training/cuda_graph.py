"""Steps of a training as CUDA graphs: a small network computes faster than a host can launch its kernels."""

from collections.abc import Callable

import torch
from torch import Tensor


class CapturedStep:
    """Runs a function of a batch and its labels, recorded as one CUDA graph and replayed.

    For each new size of images it runs once as written, which allocates and initializes what lasts; the second call
    records it. So it must use the same memory every time, and what it leaves to the host happens only twice. A function
    that cannot be recorded, since an operation of it waits for the device, runs as written.
    """

    def __init__(self) -> None:
        self.possible = True
        self.graph: torch.cuda.CUDAGraph | None = None
        self._batch = self._labels = self._result = torch.empty(0)

    def __call__(self, function: Callable[[Tensor, Tensor], Tensor], batch: Tensor, labels: Tensor) -> Tensor:
        """
        Args:
            function: (N, C, H, W) float32, (N,) int64 → (), all on the device; the same one at every call.
        """
        if batch.shape != self._batch.shape:
            self._batch, self._labels, self.graph = torch.empty_like(batch), torch.empty_like(labels), None
            return function(batch, labels)
        if self.graph is None and self.possible:
            self._record(function)
        if self.graph is None:
            return function(batch, labels)
        self._batch.copy_(batch)
        self._labels.copy_(labels)
        self.graph.replay()
        return self._result

    def _record(self, function: Callable[[Tensor, Tensor], Tensor]) -> None:
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph):
                self._result = function(self._batch, self._labels)
            self.graph = graph
        except RuntimeError:
            torch.cuda.synchronize()
            self.possible = False
