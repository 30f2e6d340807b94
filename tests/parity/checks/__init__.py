"""One module for each kind of vector.

Each has `recognises(vector)`, true for the vectors that it can check, and `check(vector)`,
which yields a `Finding` for every value of the vector.
"""

import importlib
import pkgutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

from tests.parity.findings import Finding
from tests.parity.vectors import Vector


@dataclass(frozen=True)
class Check:
    """How one kind of vector is checked.

    Attributes:
        name: Of its module.
        recognises: Whether a vector is of this kind.
        check: Its findings.
    """

    name: str
    recognises: Callable[[Vector], bool]
    check: Callable[[Vector], Iterator[Finding]]


@cache
def all_checks() -> tuple[Check, ...]:
    """Every check there is: one for each module here that can recognise a vector."""
    modules = [
        importlib.import_module(f"{__name__}.{found.name}")
        for found in pkgutil.iter_modules(__path__)
    ]
    return tuple(
        Check(module.__name__.rpartition(".")[2], module.recognises, module.check)
        for module in modules
        if hasattr(module, "recognises")
    )


def find_check(vector: Vector) -> Check | None:
    """The check of a vector; None where no check knows its kind.

    Raises:
        LookupError: Two checks claim it.
    """
    found = [check for check in all_checks() if check.recognises(vector)]
    if len(found) > 1:
        names = " and ".join(check.name for check in found)
        raise LookupError(f"{vector.name}: {names} both claim it")
    return found[0] if found else None
