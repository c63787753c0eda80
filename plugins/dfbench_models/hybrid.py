"""The hybrid detector: the features of an EfficientNet as the tokens of a Transformer."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dfbench.errors import UsageError
from dfbench_models.networks import check_images, efficientnet
from dfbench_models.transformer import EncoderLayer, PositionGrid

CHANNELS = 1280
"""Channels of the last feature map, of EfficientNet-B0 and of EfficientNet-Lite0."""


class Hybrid(nn.Module):
    """[0, 1] pixels (B, 3, H, W) -> logits (B, 2), for any H and W from 96 up.

    EfficientNet features (B, 1280, h, w) become h*w tokens, projected to ``width``; with a CLS token in front and
    learnable positions they pass a pre-norm Transformer encoder. The CLS output is classified by LayerNorm,
    Linear(256), GELU, Dropout, Linear(2).

    Args:
        width: token width; 1280 leaves out the projection.
        layers: encoder layers.
        heads: attention heads; must divide ``width``.
        dropout: probability, in the encoder and in the head.
        weights: ``lite0``, ``hub``, ``none``, or the path of an EfficientNet-B0 state dict.

    Raises:
        UsageError: ``heads`` does not divide ``width``; unknown or unreachable weights.
        MissingDependency: ``lite0`` without its distribution.
        CheckpointError: a missing, truncated or foreign weight file.
    """

    cam_layer = "backbone"
    shallow_layer = "backbone.net.blocks.0"
    min_size = 96

    def __init__(
        self, width: int = 256, layers: int = 4, heads: int = 4, dropout: float = 0.1, weights: str = "lite0"
    ) -> None:
        super().__init__()
        if width % heads:
            raise UsageError(f"hybrid: heads={heads} does not divide width={width}: give a divisor of the width")
        self.backbone, self.weights = efficientnet(weights, classes=0)
        self.project = nn.Linear(CHANNELS, width) if width != CHANNELS else nn.Identity()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.cls_position = nn.Parameter(torch.zeros(1, 1, width))
        nn.init.trunc_normal_(self.cls_token, std=0.02)
        nn.init.trunc_normal_(self.cls_position, std=0.02)
        self.positions = PositionGrid(7, width)
        self.encoder = nn.Sequential(*(EncoderLayer(width, heads, dropout) for _ in range(layers)))
        self.head = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 256), nn.GELU(), nn.Dropout(dropout), nn.Linear(256, 2)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, 2).

        Raises:
            DataError: images smaller than ``min_size``.
            ContractError: not (B, 3, H, W).
        """
        check_images(x, self.min_size, "hybrid")
        features = self.backbone(x)
        height, width = features.shape[2:]
        tokens = self.project(features.flatten(2).transpose(1, 2)) + self.positions(height, width)
        cls = (self.cls_token + self.cls_position).expand(len(x), -1, -1)
        encoded = self.encoder(torch.cat((cls, tokens), dim=1))
        logits: Tensor = self.head(encoded[:, 0])
        return logits


class HybridSeed(Hybrid):
    """The hybrid at the width it was first published with: 1280 and a feed-forward width of 5120."""

    def __init__(
        self, width: int = 1280, layers: int = 4, heads: int = 4, dropout: float = 0.1, weights: str = "lite0"
    ) -> None:
        super().__init__(width, layers, heads, dropout, weights)
