"""Freezing: no gradient and eval mode, both.

Notable: `train()` on the whole leaves what is frozen in eval mode. An adapter (LoRA)
inside a frozen part is not frozen.
"""

from collections.abc import Iterator
from typing import Self

from torch import nn

from model.errors import FreezeError

ADAPTER = "lora_"
"""Part of the name of every adapter's module and parameter, as peft gives it."""


class FreezableModule(nn.Module):
    """A module of which parts can be frozen by name."""

    def __init__(self) -> None:
        super().__init__()
        self._frozen: tuple[str, ...] = ()

    @property
    def frozen(self) -> tuple[str, ...]:
        """The names of the frozen parts."""
        return self._frozen

    def freeze(self, *names: str) -> None:
        """Freeze submodules.

        Args:
            names: Dotted names, such as "video_encoder".

        Raises:
            FreezeError: A name is no submodule.
        """
        known = dict(self.named_modules())
        for name in names:
            if not name or name not in known:
                parts = ", ".join(part for part, _ in self.named_children())
                raise FreezeError(f"freeze: no part {name!r}; known: {parts}")
        self._frozen = tuple(dict.fromkeys([*self._frozen, *names]))
        for name in names:
            for parameter_name, parameter in known[name].named_parameters():
                if ADAPTER not in parameter_name:
                    parameter.requires_grad = False
        self.train(self.training)

    def train(self, mode: bool = True) -> Self:  # noqa: FBT001, FBT002 - torch's signature
        """Set training mode everywhere but in the frozen parts."""
        super().train(mode)
        for name in self._frozen:
            part = self.get_submodule(name)
            part.eval()
            for adapter in _adapters(part):
                adapter.train(mode)
        return self


def trainable_parameters(module: nn.Module) -> dict[str, nn.Parameter]:
    """Give the parameters that have a gradient, by name."""
    return {name: value for name, value in module.named_parameters() if value.requires_grad}


def count_parameters(module: nn.Module, *, trainable: bool) -> int:
    """Count the numbers in the parameters that are trainable, or that are not."""
    chosen = (p for p in module.parameters() if p.requires_grad is trainable)
    return sum(parameter.numel() for parameter in chosen)


def _adapters(part: nn.Module) -> Iterator[nn.Module]:
    return (module for name, module in part.named_modules() if ADAPTER in name)
