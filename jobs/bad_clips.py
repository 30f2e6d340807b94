"""Unreadable clips of a run, counted per set over all ranks.

Notable: what a rank leaves out is known to all after a few steps, so that each is told of once,
by rank 0, and a run that must end ends on all ranks at once, with one message. The ranks meet on
the host: no GPU is waited for.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch.distributed as dist

from jobs.data.dataset import BadClip
from jobs.data.errors import TooManyBadClipsError
from model.ranks import host_group

SHOWN_FILES = 5
JUDGED_AFTER = 1000
"""Samples of a set, or all of a smaller one, to be seen before its share is judged.

Of a set with half as many bad clips as are allowed (0.5 % of 1 %) one in 70 is stopped wrongly
after 1000 samples; after 20 one bad clip would do.
"""
SHARED_EVERY_STEPS = 8


@dataclass
class News:
    """What a rank has seen since the ranks last shared it.

    Attributes:
        seen: Samples asked for, by set.
        bad: Those that could not be read.
    """

    seen: Counter[str] = field(default_factory=Counter)
    bad: list[BadClip] = field(default_factory=list)


def gather(news: News) -> list[News]:
    """The news of all ranks, by rank; all ranks call it together."""
    if not dist.is_initialized() or dist.get_world_size() == 1:
        return [news]
    found = [News() for _ in range(dist.get_world_size())]
    dist.all_gather_object(found, news, group=host_group())
    return found


class BadClips:
    """How many clips of each set could not be read, on all ranks, in this attempt.

    Args:
        max_fraction: More than this part of a set's samples stops the run.
        sizes: Samples in each set.
        rank: This process.
        tell: Is told of the clips: rank 0 of all ranks', another rank of its own.
        gather: Brings the ranks' news together.

    Attributes:
        seen: Samples asked for, by set.
        count: Unreadable ones, by set.
    """

    def __init__(
        self,
        max_fraction: float,
        sizes: Mapping[str, int],
        *,
        rank: int,
        tell: Callable[[Sequence[BadClip]], None],
        gather: Callable[[News], list[News]] = gather,
    ) -> None:
        self._max_fraction, self._sizes, self._rank = max_fraction, sizes, rank
        self._tell, self._gather = tell, gather
        self._news = News()
        self._files: dict[tuple[str, str], str] = {}
        self.seen: Counter[str] = Counter()
        self.count: Counter[str] = Counter()

    def add(self, seen: Mapping[str, int], bad: Sequence[BadClip]) -> None:
        """Takes note of what this rank has seen in a step."""
        self._news.seen.update(seen)
        self._news.bad.extend(bad)

    def share(self) -> None:
        """Tells and judges what all ranks have seen since the last time; all call it together.

        Raises:
            TooManyBadClipsError: A set has too many; on all ranks.
        """
        parts = self._gather(self._news)
        everywhere = [clip for part in parts for clip in part.bad]
        told = everywhere if self._rank == 0 else self._news.bad
        self._news = News()
        for part in parts:
            self.seen.update(part.seen)
        self.count.update(clip.set_name for clip in everywhere)
        self._files.update({(clip.set_name, clip.file): clip.error_class for clip in everywhere})
        self._tell(told)
        self._judge(sorted({clip.set_name for clip in everywhere}))

    def _judge(self, names: Sequence[str]) -> None:
        """A set is judged early where even perfect clips to come would not bring it right."""
        for name in names:
            after = min(JUDGED_AFTER, self._sizes[name])
            if self.count[name] > self._max_fraction * max(after, self.seen[name]):
                raise TooManyBadClipsError(self._complaint(name))

    def _complaint(self, name: str) -> str:
        files = [f"{file} ({error})" for (own, file), error in self._files.items() if own == name]
        return (
            f"set {name!r}: {self.count[name]} of {self.seen[name]} clips are unreadable "
            f"(allowed: {self._max_fraction:.0%}); first: {', '.join(files[:SHOWN_FILES])}. "
            "Mend or remove these files, or look whether the media root is the right one"
        )
