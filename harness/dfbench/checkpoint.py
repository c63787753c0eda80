"""Checkpoints: safetensors with their metadata; a truncated file or one of another model is a clear error."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from safetensors.torch import save as serialise
from torch import Tensor, nn

from dfbench.errors import CheckpointError


def save(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> None:
    """Write named tensors with JSON metadata."""
    flat = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    # Through bytes: a full disk is then an OSError like any other, where the library's own writer hides the cause.
    path.write_bytes(serialise(flat, metadata={"dfbench": json.dumps(metadata, sort_keys=True)}))


def load_tensors(path: Path) -> dict[str, Tensor]:
    """The named tensors of a checkpoint.

    Raises:
        CheckpointError: missing, truncated or not safetensors.
    """
    if not path.is_file():
        raise CheckpointError(f"no checkpoint at {path}: check the path")
    try:
        return dict(load_file(str(path)))
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(
            f"{path} is truncated or not a safetensors file ({error}): delete it, and run again to make it anew"
        ) from error


def load_metadata(path: Path) -> dict[str, Any]:
    """The metadata a checkpoint was saved with; empty where it has none of ours."""
    try:
        with safe_open(str(path), framework="pt") as handle:
            raw = (handle.metadata() or {}).get("dfbench", "{}")
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is truncated or not a safetensors file ({error}): delete it") from error
    return dict(json.loads(raw))


def load_into(module: nn.Module, path: Path, what: str) -> None:
    """Load a checkpoint into a module of exactly its names and shapes.

    Raises:
        CheckpointError: unreadable, or of another model; the message says which tensors differ.
    """
    tensors = load_tensors(path)
    own = module.state_dict()
    missing = sorted(own.keys() - tensors.keys())
    extra = sorted(tensors.keys() - own.keys())
    shapes = sorted(n for n in own.keys() & tensors.keys() if own[n].shape != tensors[n].shape)
    if missing or extra or shapes:
        examples = ", ".join((missing + extra + shapes)[:3])
        raise CheckpointError(
            f"{path} is not a checkpoint of {what}: {len(missing)} tensors missing, {len(extra)} unknown, "
            f"{len(shapes)} of another shape (e.g. {examples}); give the model it was saved from"
        )
    module.load_state_dict(tensors)
