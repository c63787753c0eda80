"""Which device work runs on."""

from __future__ import annotations

import os

import torch

from dfbench.errors import UsageError


def resolve(name: str) -> torch.device:
    """The device ``cpu``, ``cuda`` or ``cuda:N``; ``auto`` is CUDA where torch finds it, else the CPU.

    Raises:
        UsageError: unknown, or not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UsageError(f"unknown device {name!r}: use cpu, cuda or cuda:N") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UsageError(f"device {name!r}: torch finds no CUDA device here; use --device cpu")
    if device.type not in ("cpu", "cuda"):
        raise UsageError(f"device {name!r} is not supported; use cpu, cuda or cuda:N")
    return device


def be_deterministic() -> None:
    """Have torch choose deterministic algorithms, and fail where an operation has none.

    On the CPU that is how it works anyway, for a given number of threads; on CUDA it costs speed.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False
