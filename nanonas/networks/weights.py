"""Weights as safetensors files: tensors by name, and texts; no code."""

from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor

from ..core.errors import RunError
from ..core.files import write_bytes


def save_tensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    write_bytes(path, save(tensors, metadata))


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata; RunError when the file is truncated or no safetensors file."""
    with path.open("rb"):  # safetensors says of a file that may not be read that it does not exist
        pass
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
        return load_file(path), metadata
    except (SafetensorError, ValueError) as error:
        raise RunError(f"{path} is damaged: {error}; delete it and train again") from None
