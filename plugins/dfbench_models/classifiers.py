"""Plain classifiers: EfficientNet, and whatever else timm offers."""

from __future__ import annotations

import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dfbench.contracts import Weights
from dfbench.errors import UsageError, did_you_mean
from dfbench_models.networks import Features, check_images, efficientnet, features, pretrained_cfg


class _Classifier(nn.Module):
    """Features, then timm's own head: pooling, dropout and a linear layer."""

    cam_layer = "backbone"
    shallow_layer = "backbone.net.blocks.0"
    min_size = 32
    size: tuple[int, int] | None = None
    """The one input size of a network that takes no other."""

    def __init__(self, network: tuple[Features, Weights]) -> None:
        super().__init__()
        self.backbone, self.weights = network

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, 2) of [0, 1] pixels (B, 3, H, W).

        Raises:
            DataError: images smaller than ``min_size``.
            ContractError: not (B, 3, H, W).
        """
        check_images(x, self.min_size, "this model")
        if self.size is not None and tuple(x.shape[2:]) != self.size:
            x = F.interpolate(x, size=self.size, mode="bilinear", align_corners=False, antialias=True)
        logits: Tensor = self.backbone.net.forward_head(self.backbone(x))
        return logits


class EfficientNet(_Classifier):
    """EfficientNet-B0 (EfficientNet-Lite0 with ``weights="lite0"``): global pooling, dropout, Linear(1280, 2).

    Args:
        dropout: probability, before the linear layer.
        weights: ``lite0``, ``hub``, ``none``, or the path of an EfficientNet-B0 state dict.

    Raises:
        UsageError: unknown or unreachable weights.
        MissingDependency: ``lite0`` without its distribution.
        CheckpointError: a missing, truncated or foreign weight file.
    """

    def __init__(self, dropout: float = 0.2, weights: str = "lite0") -> None:
        super().__init__(efficientnet(weights, classes=2, drop_rate=dropout))


class TimmClassifier(_Classifier):
    """Any classifier of timm with a new head of two classes.

    A network that is made for one input size (many Transformers) resizes its input itself, differentiably.
    ``cam_layer`` is empty where the last features are no map (B, C, h, w), ``shallow_layer`` where the first ones that
    timm lists are none.

    Args:
        name: timm's name, with or without the tag of its weights (``resnet18.a1_in1k``).
        weights: ``hub``, ``none``, or the path of a state dict of the network.

    Raises:
        UsageError: timm does not know the name; unknown or unreachable weights.
        CheckpointError: a missing, truncated or foreign weight file.
    """

    def __init__(self, name: str, weights: str = "hub") -> None:
        known = (*timm.list_models(), *timm.list_models(pretrained=True))
        if name not in known:
            raise UsageError(f"timm has no model {name!r}, {did_you_mean(name, known)}")
        super().__init__(features(name, weights, classes=2))
        cfg = pretrained_cfg(name)
        side = tuple(cfg["input_size"][1:])
        if cfg.get("fixed_input_size"):
            self.size = side
        self.min_size = max(cfg.get("min_input_size") or (3, 32, 32))
        first, channels = self.backbone.shallowest
        shapes = self._feature_shapes(first, side)
        if not _is_map(shapes.get("", ()), self.backbone.net.num_features):
            self.cam_layer = ""
        self.shallow_layer = f"backbone.{first}" if _is_map(shapes.get(first, ()), channels) else ""

    @torch.no_grad()
    def _feature_shapes(self, first: str, side: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
        """Shapes of what two sub-modules of the backbone give for an image: the whole of it (""), and ``first``."""
        shapes: dict[str, tuple[int, ...]] = {}
        handles = [
            self.backbone.get_submodule(name).register_forward_hook(
                lambda module, args, output, name=name: shapes.__setitem__(name, tuple(getattr(output, "shape", ())))
            )
            for name in {"", first}
        ]
        mode = self.training
        self.eval().backbone(torch.zeros(1, 3, *side))
        self.train(mode)
        for handle in handles:
            handle.remove()
        return shapes


def _is_map(shape: tuple[int, ...], channels: int) -> bool:
    return len(shape) == 4 and shape[1] == channels
