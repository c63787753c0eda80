"""timm networks with a chosen start, as a feature extractor with its normalisation inside."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor, nn

from dfbench.contracts import Weights
from dfbench.errors import CheckpointError, ContractError, DataError
from dfbench_models.weights import HUB, LITE0, NONE, hub_file, lite0_file, local_file, read_state_dict

EFFICIENTNET = "efficientnet_b0"
LITE0_NETWORK = "tf_efficientnet_lite0"


class Features(nn.Module):
    """[0, 1] pixels (B, 3, H, W) -> the network's last feature map, (B, C, h, w) for a convolutional one.

    Args:
        net: a timm network.
        mean, std: per-channel normalisation of [0, 1] pixels.
    """

    net: Any
    mean: Tensor
    std: Tensor

    def __init__(self, net: nn.Module, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.net = net
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise, and run timm's ``forward_features``."""
        features: Tensor = self.net.forward_features((x - self.mean) / self.std)
        return features

    @property
    def shallowest(self) -> tuple[str, int]:
        """Name under this module, and channels, of the first features that timm lists of the network, or ("", 0)."""
        listed = list(getattr(self.net, "feature_info", ()))
        return (f"net.{listed[0]['module']}", int(listed[0]["num_chs"])) if listed else ("", 0)


def lite0() -> tuple[Features, Weights]:
    """EfficientNet-Lite0 with 1000 ImageNet classes, from the weights an installed distribution ships.

    The file names its tensors otherwise than timm but lists them in the same order. timm's ``tf_`` variant is the one
    the weights were trained as: TF-SAME padding, BatchNorm eps 1e-3, input (pixel - 127) / 128.

    Raises:
        MissingDependency: the distribution is not installed.
        CheckpointError: the file is damaged, or timm's network has changed.
    """
    path, weights = lite0_file()
    net = timm.create_model(LITE0_NETWORK)
    target, state = net.state_dict(), read_state_dict(path)
    pairs = list(zip(target, state.values(), strict=False))
    if len(target) != len(state) or any(target[name].shape != tensor.shape for name, tensor in pairs):
        raise CheckpointError(
            f"timm {timm.__version__} builds another {LITE0_NETWORK} than {path.name}: install timm 1.0"
        )
    net.load_state_dict(dict(pairs), strict=True)
    return Features(net, (127 / 255,) * 3, (128 / 255,) * 3), weights


def features(name: str, weights: str, classes: int, **options: Any) -> tuple[Features, Weights]:
    """A timm network with a new head of ``classes`` outputs (0: no head).

    Args:
        name: timm's name, which must be known to timm.
        weights: ``hub``, ``none``, or the path of a state dict of the network, with any classifier or none.
        classes: outputs of the new, randomly initialised head.
        options: passed to ``timm.create_model``.

    Raises:
        UsageError: no such weights, or the hub cannot be reached.
        CheckpointError: the file is missing, truncated, or of another network.
    """
    cfg = pretrained_cfg(name)
    net: Any
    if weights == NONE:
        net, start = timm.create_model(name, **options), Weights(NONE)
    else:
        path, start = hub_file(cfg) if weights == HUB else local_file(weights)
        net = _load(name, cfg, path, options)
    net.reset_classifier(classes)
    return Features(net, tuple(cfg["mean"]), tuple(cfg["std"])), start


def efficientnet(weights: str, classes: int, **options: Any) -> tuple[Features, Weights]:
    """EfficientNet-B0, or EfficientNet-Lite0 where ``weights`` is ``lite0``. Arguments as for :func:`features`."""
    if weights != LITE0:
        return features(EFFICIENTNET, weights, classes, **options)
    network, start = lite0()
    network.net.reset_classifier(classes)
    network.net.drop_rate = options.get("drop_rate", 0.0)
    return network, start


def pretrained_cfg(name: str) -> dict[str, Any]:
    """What timm knows of a network: input size, normalisation, classifier, where its weights are."""
    cfg: dict[str, Any] = timm.models.get_pretrained_cfg(name, allow_unregistered=False).to_dict()  # type: ignore[union-attr]
    return cfg


def _load(name: str, cfg: dict[str, Any], path: Path, options: dict[str, Any]) -> nn.Module:
    """The network with every tensor from the file: timm loads strictly when the classifiers agree in size."""
    state = read_state_dict(path)
    heads = cfg["classifier"] if isinstance(cfg["classifier"], (tuple, list)) else (cfg["classifier"],)
    sizes = [len(state[f"{head}.weight"]) for head in heads if f"{head}.weight" in state]
    classes = sizes[0] if sizes else 0
    overlay = {"state_dict": state, "num_classes": classes, "label_offset": 0, "custom_load": False}
    try:
        net: nn.Module = timm.create_model(
            name, pretrained=True, pretrained_cfg_overlay=overlay, num_classes=classes, **options
        )
    except (RuntimeError, KeyError, AttributeError) as error:
        raise CheckpointError(
            f"the weight file {path.name} is not of timm's {name}: give the file of that network, or another model "
            f"({' '.join(str(error).split())[:200]})"
        ) from error
    return net


def check_images(x: Tensor, min_size: int, model: str) -> None:
    """Refuse what a detector cannot look at.

    Raises:
        ContractError: not (B, 3, H, W).
        DataError: smaller than ``min_size`` pixels on a side.
    """
    if x.ndim != 4 or x.shape[1] != 3:
        raise ContractError(f"{model} takes RGB images (B, 3, H, W), but was given {tuple(x.shape)}")
    if min(x.shape[2:]) < min_size:
        height, width = x.shape[2:]
        raise DataError(
            f"images of {height}x{width} pixels are too small for {model}, which takes {min_size}x{min_size} and "
            "larger: use larger images, or another model"
        )
