"""Clips and captions that are looked for among each other, and how often they are found.

Letters: C clips, N texts.
Notable: a clip with several captions, or a caption of several clips, is found when any right
one is; candidates that are as similar as the right one stand before it, so that a model that
tells nothing apart finds nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from jobs.data.items import CaptionItem
from jobs.evaluation.answers import Answer
from jobs.evaluation.scores import Score
from jobs.evaluation.sets import rows_of
from jobs.evaluation.survey import Part

DEPTHS = (1, 5, 10)
_BELOW_ALL = 1e6
"""Takes what was not reordered below all that was, and leaves it in order."""


@dataclass(frozen=True)
class Gallery:
    """The clips and texts of a set, each once.

    Attributes:
        rows: The first row of each clip.
        texts: The texts.
        clip_of: Number of the clip, by row.
        text_of: Number of the text, by row.
    """

    rows: Sequence[int]
    texts: Sequence[str]
    clip_of: Sequence[int]
    text_of: Sequence[int]

    def similarities(self, clips: Sequence[Tensor | None], texts: Sequence[Tensor]) -> Tensor:
        """How alike each clip and each text are, (C, N); -inf for an unreadable clip.

        Args:
            clips: Vectors of the rows' clips.
            texts: Vectors of the rows' captions.
        """
        vectors_CE = [clips[row] for row in self.rows]
        first = {number: row for row, number in reversed(list(enumerate(self.text_of)))}
        texts_NE = torch.stack([texts[first[number]] for number in range(len(self.texts))])
        nothing = torch.zeros(texts_NE.shape[1])
        stacked = torch.stack([nothing if vector is None else vector for vector in vectors_CE])
        scores_CN = stacked @ texts_NE.T
        scores_CN[[vector is None for vector in vectors_CE]] = -torch.inf
        return scores_CN.nan_to_num(nan=-torch.inf, neginf=-torch.inf)


def open_gallery(part: Part) -> Gallery:
    """The clips and texts of a part; raises TypeError where its rows have no captions."""
    clips: dict[str, int] = {}
    texts: dict[str, int] = {}
    rows, clip_of, text_of = list[int](), list[int](), list[int]()
    for row, item in enumerate(rows_of(part)):
        if not isinstance(item, CaptionItem):
            raise TypeError(f"task {part.name}: retrieval needs captions")
        if item.media not in clips:
            rows.append(row)
        clip_of.append(clips.setdefault(item.media, len(clips)))
        text_of.append(texts.setdefault(item.caption, len(texts)))
    return Gallery(rows, tuple(texts), clip_of, text_of)


def candidates(scores_CN: Tensor, depth: int) -> list[list[int]]:
    """The texts each clip is to be matched with: its best ones, and those that it is best for."""
    best_CN = _best(scores_CN, depth) | _best(scores_CN.T, depth).T
    return [row.nonzero().flatten().tolist() for row in best_CN]


def reordered(scores_CN: Tensor, depth: int, matches: Sequence[Answer]) -> tuple[Tensor, Tensor]:
    """The scores from clip to text (C, N) and from text to clip (N, C), the best put in order.

    Args:
        scores_CN: Similarities.
        depth: How many candidates of each query are put in order.
        matches: For each clip the logit of each text, by the text's number.
    """
    scores_CN = scores_CN.double()  # as float32 they would be lost beside so large a number
    logits_CN = torch.full_like(scores_CN, -torch.inf)
    for clip, found in enumerate(matches):
        for text, logit in found.items():
            logits_CN[clip, int(text)] = logit
    lowered = scores_CN - _BELOW_ALL
    return (
        torch.where(_best(scores_CN, depth), logits_CN, lowered),
        torch.where(_best(scores_CN.T, depth), logits_CN.T, lowered.T),
    )


def hits(name: str, gallery: Gallery, to_text_CN: Tensor, to_clip_NC: Tensor) -> list[Score]:
    """Recall at each depth in both directions, as scores of a set called `name`."""
    texts_of: list[list[int]] = [[] for _ in gallery.rows]
    clips_of: list[list[int]] = [[] for _ in gallery.texts]
    for clip, text in zip(gallery.clip_of, gallery.text_of, strict=True):
        texts_of[clip].append(text)
        clips_of[text].append(clip)
    found = {
        "clip to text": positions(to_text_CN, texts_of),
        "text to clip": positions(to_clip_NC, clips_of),
    }
    return [
        Score(f"{name} {way} R@{depth}", sum(_within(at, depth) for at in places), len(places))
        for way, places in found.items()
        for depth in DEPTHS
    ]


def positions(scores: Tensor, right: Sequence[Sequence[int]]) -> list[int | None]:
    """Place of the best right candidate of each query, from 0; None where it has no score.

    Args:
        scores: Queries by candidates.
        right: Numbers of the right candidates of each query.
    """
    places: list[int | None] = []
    for row, own in zip(scores, right, strict=True):
        best = row[list(own)].max()
        others = row >= best
        others[list(own)] = False
        places.append(None if best == -torch.inf else int(others.sum()))
    return places


def _within(place: int | None, depth: int) -> bool:
    return place is not None and place < depth


def _best(scores: Tensor, depth: int) -> Tensor:
    """Which candidates are the best `depth` of each query, without those that have no score."""
    best = scores.topk(min(depth, scores.shape[1]), dim=1).indices
    chosen = torch.zeros_like(scores, dtype=torch.bool).scatter_(1, best, value=True)
    return chosen & (scores > -torch.inf)
