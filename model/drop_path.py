"""Stochastic depth (arXiv 1603.09382): a sample skips a residual branch at random."""

from torch import Tensor, nn


class DropPath(nn.Module):
    """Drops a branch for a whole sample in training and scales what is left."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, branch: Tensor) -> Tensor:
        """Give the branch, zero for the samples (first axis) that skip it."""
        if self.rate == 0.0 or not self.training:
            return branch
        keep = branch.new_empty(branch.shape[0], *[1] * (branch.dim() - 1))
        return branch * keep.bernoulli_(1 - self.rate) / (1 - self.rate)


def drop_path_rates(largest: float, layers: int) -> list[float]:
    """Spread rates linearly from 0 (first layer) to `largest` (last layer)."""
    return [largest * index / max(layers - 1, 1) for index in range(layers)]
