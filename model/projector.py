"""From the QFormer's width to the language model's."""

from torch import Tensor, nn


class Projector(nn.Module):
    """One linear layer."""

    def __init__(self, width_in: int, width_out: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width_in, width_out)

    def forward(self, tokens_BQD: Tensor) -> Tensor:
        """Give the tokens in the language model's width, (B, Q, width_out)."""
        out: Tensor = self.linear(tokens_BQD)
        return out
