"""The Transformer on top of the hybrid: encoder layers, and positions that fit any grid."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class EncoderLayer(nn.Module):
    """A pre-norm Transformer encoder layer with GELU; tokens (B, N, width) -> (B, N, width).

    The same function and parameters as ``nn.TransformerEncoderLayer(norm_first=True, activation="gelu")``, without its
    fused inference path: that one rounds differently (and approximates GELU on CUDA) when no gradient is asked for,
    so that a score and the gradient an attack follows would come from two slightly different models. Plain matrix
    products are as fast for some ten tokens, deterministic, and can be differentiated twice.
    """

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.dropout = nn.Dropout(dropout)
        for linear in (self.qkv, self.out, self.up, self.down):
            nn.init.xavier_uniform_(linear.weight)
            nn.init.zeros_(linear.bias)

    def forward(self, tokens: Tensor) -> Tensor:
        """Self-attention, then feed-forward, each added to its input."""
        tokens = tokens + self.dropout(self._attention(self.norm1(tokens)))
        hidden = self.dropout(F.gelu(self.up(self.norm2(tokens))))
        encoded: Tensor = tokens + self.dropout(self.down(hidden))
        return encoded

    def _attention(self, tokens: Tensor) -> Tensor:
        batch, count, width = tokens.shape
        q, k, v = self.qkv(tokens).view(batch, count, 3, self.heads, -1).permute(2, 0, 3, 1, 4).unbind(0)
        attention = (q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5).softmax(dim=-1)
        mixed: Tensor = self.dropout(attention) @ v
        out: Tensor = self.out(mixed.transpose(1, 2).reshape(batch, count, width))
        return out


class PositionGrid(nn.Module):
    """Learnable positions on a square grid, interpolated bicubically to the grid at hand.

    Args:
        side: side of the grid that is learned (7: the features of a 224x224 image).
        width: token width.
    """

    def __init__(self, side: int, width: int) -> None:
        super().__init__()
        self.side = side
        self.grid = nn.Parameter(torch.empty(side * side, width))
        nn.init.trunc_normal_(self.grid, std=0.02)

    def forward(self, height: int, width: int) -> Tensor:
        """Positions (height * width, token width), row by row; differentiable at every size.

        Interpolation is linear, so it is applied as a matrix: unlike the backward pass of ``F.interpolate`` on CUDA,
        a matrix product is deterministic.
        """
        if (height, width) == (self.side, self.side):
            return self.grid
        basis = torch.eye(self.side**2, dtype=self.grid.dtype, device=self.grid.device)
        basis = basis.view(-1, 1, self.side, self.side)
        matrix = F.interpolate(basis, size=(height, width), mode="bicubic", align_corners=False).flatten(1)
        return matrix.T @ self.grid
