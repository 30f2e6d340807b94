"""A flag that a process shares with those of its loader."""

import torch


class SharedFlag:
    """Set and cleared here, seen in the loader's processes too; a signal's handler may do it."""

    def __init__(self) -> None:
        self._cell = torch.zeros(1, dtype=torch.bool)
        self._cell.share_memory_()  # type: ignore[no-untyped-call]

    def __bool__(self) -> bool:
        return bool(self._cell)

    def put(self, *, up: bool) -> None:
        """Sets or clears it."""
        self._cell.fill_(value=up)
