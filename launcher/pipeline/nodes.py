"""How many nodes a job gets: a number, or a range such as `2-4`."""

import re
from typing import Annotated, Final

from pydantic import BeforeValidator

_RANGE: Final = re.compile(r"([0-9]+)-([0-9]+)")


def read_nodes(value: object) -> int | str:
    """A number of nodes, or a range as sbatch takes it; one of a single number is that number.

    Raises:
        ValueError: It is neither, or holds no node.
    """
    if isinstance(value, str) and (found := _RANGE.fullmatch(value)):
        fewest, most = int(found[1]), int(found[2])
        if fewest > most:
            raise ValueError(f"a range begins with the fewest; write {most}-{fewest}, not {value}")
    elif isinstance(value, int) and not isinstance(value, bool):
        fewest = most = value
    else:
        raise ValueError(f"must be a whole number, or a range such as 2-4, not {value!r}")
    if fewest < 1:
        raise ValueError(f"must be at least 1, not {value}")
    return most if fewest == most else f"{fewest}-{most}"


def bounds(nodes: int | str) -> tuple[int, int]:
    """The fewest and the most nodes of what `read_nodes` gave."""
    fewest, _, most = str(nodes).partition("-")
    return int(fewest), int(most or fewest)


Nodes = Annotated[int | str, BeforeValidator(read_nodes)]
