"""A small real detector for tests: convolutions with batch norm, as in the big ones, but milliseconds per batch."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dfbench.contracts import Weights


class SmallDetector(nn.Module):
    """Two conv-norm blocks and a linear head on (B, 3, H, W) from 16 x 16."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = Weights("none")
        self.cam_layer = "features"
        self.min_size = 16
        self.features = nn.Sequential(
            nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU(),
            nn.Conv2d(8, 16, 3, 2, 1), nn.BatchNorm2d(16), nn.ReLU(),
        )  # fmt: skip
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Dropout(0.5), nn.Linear(256, 2))

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.features((x - 0.5) * 4))
        return logits


def small_detector(kind: type[SmallDetector] = SmallDetector) -> SmallDetector:
    """The detector with fixed weights and batch-norm statistics that are not the initial ones, in evaluation mode."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        detector = kind().train()
        for _ in range(5):
            detector(torch.rand(16, 3, 32, 32))
        for module in detector.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.normal_(module.weight, 1, 0.3)
                nn.init.normal_(module.bias, 0, 0.3)
        detector.eval()
        with torch.no_grad():  # sure of itself, and of either class on noise images, so that tests see both
            detector.head[3].weight *= 20
            detector.head[3].bias -= detector(torch.rand(64, 3, 32, 32)).mean(0)
    return detector


def noise_images(count: int, size: int = 32, seed: int = 0) -> Tensor:
    """Noise (count, 3, size, size) in [0, 1]."""
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(seed))


def own_labels(detector: nn.Module, x: Tensor) -> Tensor:
    """What the detector itself says, so that every image is classified correctly before an attack."""
    with torch.no_grad():
        labels: Tensor = detector(x).argmax(1)
    return labels
