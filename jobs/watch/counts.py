"""What the ranks tell each other of a step, as whole numbers that are summed.

They travel with the sums that the ranks make before each step anyway (`StopFlag.agree`), so
watching a run needs no communication of its own.
"""

from collections.abc import Sequence
from typing import NamedTuple

from jobs.watch.stragglers import OwnTime, Spread

_MICRO = 1_000_000


class StepCounts(NamedTuple):
    """Of one step; one rank's, or the sum over the ranks.

    Attributes:
        clips: Pictures and clips that are trained on.
        tokens: Tokens of text, without padding.
        megaflops: Millions of floating-point operations, see `model.flops`.
        waited_us: Microseconds of waiting for data.
    """

    clips: int
    tokens: int
    megaflops: int
    waited_us: int


def own_times(own: OwnTime, hosts: Sequence[str], world_size: int) -> list[int]:
    """One rank's times in places of its own among zeros: summed, they are those of all ranks."""
    places = [0] * (_EACH * world_size)
    # Another name for a node than Slurm's list has is told as none.
    host = hosts.index(own.host) + 1 if own.host in hosts else 0
    first = _EACH * own.rank
    places[first : first + _EACH] = round(own.forward_s * _MICRO), round(own.data_s * _MICRO), host
    return places


def spread_of(summed: Sequence[int], hosts: Sequence[str]) -> Spread:
    """All ranks' times, from the sums of what `own_times` gave on each."""
    ranks = range(len(summed) // _EACH)
    rows = [summed[_EACH * rank : _EACH * (rank + 1)] for rank in ranks]
    return Spread(
        [
            OwnTime(rank, hosts[host - 1] if host else "", forward / _MICRO, data / _MICRO)
            for rank, (forward, data, host) in zip(ranks, rows, strict=True)
        ]
    )


_EACH = 3
