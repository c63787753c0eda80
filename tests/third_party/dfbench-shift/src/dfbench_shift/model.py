"""The small detector."""

from torch import Tensor, nn

from dfbench.contracts import Weights


class SmallCNN(nn.Module):
    """Three strided convolutions with batch norm, then a linear layer: (B, 3, H, W) in [0, 1] to logits (B, 2)."""

    weights = Weights("random")
    cam_layer = "features"
    min_size = 16

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs in ((3, width), (width, 2 * width), (2 * width, 4 * width)):
            layers += [nn.Conv2d(inputs, outputs, 3, 2, 1), nn.BatchNorm2d(outputs), nn.ReLU()]
        self.features = nn.Sequential(*layers)
        self.head = nn.Linear(4 * width, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(2 * x - 1).mean((2, 3)))
