"""An engine as the keeper needs it, without DeepSpeed: one layer and torch's own optimizer."""

import torch


class SmallEngine:
    """What is asked of DeepSpeed's engine, in ZeRO stage 0 and fp32.

    Args:
        size: Weights of its layer, beside one bias.
    """

    device = torch.device("cpu")

    def __init__(self, size: int = 1) -> None:
        self.module = torch.nn.Linear(size, 1)
        self.optimizer = torch.optim.AdamW(self.module.parameters())

    def zero_optimization_stage(self) -> int:
        """None of DeepSpeed's stages."""
        return 0

    def fp16_enabled(self) -> bool:
        """There is no loss scale."""
        return False
