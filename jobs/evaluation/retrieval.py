"""Retrieval by stage 1: the clip to a caption, and the caption to a clip.

Letters: B clips, Q query tokens, E width of the common space, N texts.
Notable: the similarity is that of the contrastive loss (vtc): the mean over the queries of their
cosines with the text, which is the cosine's product with the mean of the normalised queries. So a
clip is kept as one vector of E numbers, whatever its queries. With `rerank` the best of both
directions are put in order by the matching head (vtm), as in tasks/retrieval_utils.py of the
reference; each clip is encoded once more for that, with the texts that it may belong to.
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from jobs.batches import text_tensors
from jobs.build import qformer_tokenizer
from jobs.contract.evaluation import Evaluate
from jobs.data.items import CaptionItem
from jobs.data.loader import Batch
from jobs.evaluation.answers import Answer
from jobs.evaluation.forms import load_pretrained
from jobs.evaluation.gallery import Gallery, candidates, hits, open_gallery, reordered
from jobs.evaluation.scores import Results, Tell
from jobs.evaluation.sets import open_parts
from jobs.evaluation.survey import Part, Survey
from jobs.job import Job
from model.video_text import VideoTextPretraining

LONGEST_TEXT = 32
"""Tokens of a caption, as in the training of stage 1."""
PAIRS_AT_ONCE = 32


def evaluate(job: Job, wanted: Evaluate, tell: Tell) -> Results:
    """Looks for every clip and every caption of each set; tells recall at 1, 5 and 10.

    Raises:
        StoppedError: Stopped on a signal; what is encoded so far is saved.
        RefusedError: A newer attempt took over, or there are no weights.
    """
    module, device = load_pretrained(job, wanted)
    encoder = Encoder(module, qformer_tokenizer(job.spec.model), device)
    frames = wanted.frames or module.cfg.pretraining.frames
    size_px = module.cfg.video_encoder.image_size
    parts = open_parts(wanted, frames=frames, size_px=size_px)
    galleries = [open_gallery(part) for part in parts]
    again = [
        Part(f"{part.name}: rerank", part.dataset, gallery.rows) if wanted.rerank else None
        for part, gallery in zip(parts, galleries, strict=True)
    ]
    job.stop.stay()
    survey = Survey(job, wanted, [*parts, *(part for part in again if part is not None)])
    for part, gallery, second in zip(parts, galleries, again, strict=True):
        given = survey.over(part, lambda batch, part=part: encoder.encode(part, batch))  # type: ignore[misc]
        clips, texts = vectors_of(given)
        scores = gallery.similarities(clips, texts)
        ordered = (scores, scores.T)
        if second is not None:
            asked = candidates(scores, wanted.rerank)
            pairs = Pairs(encoder, gallery, asked)
            matches = survey.over(second, pairs.match)
            ordered = reordered(scores, wanted.rerank, matches)
        for score in hits(part.name, gallery, *ordered):
            tell(score)
    return Results(survey.step, {})


@dataclass(frozen=True)
class Encoder:
    """Stage 1's model, used to compare.

    Attributes:
        module: The model, in eval mode.
        tokenizer: The QFormer's.
        device: Where the model is.
    """

    module: VideoTextPretraining
    tokenizer: object
    device: torch.device

    @torch.no_grad()
    def encode(self, part: Part, batch: Batch) -> dict[int, Answer]:
        """The vectors of each clip and its caption, by index; no `clip` where it is unreadable."""
        indices = [sample.key.index for sample in batch.samples]
        indices += [clip.key.index for clip in batch.bad]
        texts_BE = self._texts([_caption(part, index) for index in indices])
        clips_BE = self._clips(batch)
        return {
            index: {
                "text": packed(texts_BE[row]),
                "clip": packed(clips_BE[row]) if row < len(batch.samples) else None,
            }
            for row, index in enumerate(indices)
        }

    @torch.no_grad()
    def match(self, video_TCHW: Tensor, texts: Sequence[str]) -> list[float]:
        """How well each text fits a clip, as the logit of the matching head."""
        visual_1VD = self.module.visual(self._placed(video_TCHW[None]))
        queries, logits = self.module.cfg.qformer.num_queries, list[float]()
        for first in range(0, len(texts), PAIRS_AT_ONCE):
            ids_NL, mask_NL = self._tokens(list(texts[first : first + PAIRS_AT_ONCE]))
            seen = visual_1VD.expand(len(ids_NL), -1, -1)
            hidden_NLD = self.module.qformer.multimodal(seen, ids_NL, mask_NL)
            pooled = [hidden_NLD[:, :queries].mean(dim=1), hidden_NLD[:, queries]]
            logits += self.module.match_head(torch.cat(pooled, dim=1))[:, 1].float().tolist()
        return logits

    def _clips(self, batch: Batch) -> Tensor:
        video = batch.stacked()
        if video is None:
            return torch.empty(0)
        hidden_BQD = self.module.qformer.queries(self.module.visual(self._placed(video))).hidden
        projected_BQE = self.module.video_projection(hidden_BQD)
        return functional.normalize(projected_BQE.float(), dim=-1).mean(dim=1)

    def _texts(self, texts: list[str]) -> Tensor:
        hidden_BD = self.module.qformer.text(*self._tokens(texts))[:, 0]
        return functional.normalize(self.module.text_projection(hidden_BD).float(), dim=-1)

    def _tokens(self, texts: list[str]) -> tuple[Tensor, Tensor]:
        ids, mask = text_tensors(self.tokenizer, texts, LONGEST_TEXT)
        return ids.to(self.device), mask.to(self.device)

    def _placed(self, video: Tensor) -> Tensor:
        return video.to(self.device)


@dataclass(frozen=True)
class Pairs:
    """The texts that each clip is to be matched with.

    Attributes:
        encoder: What matches.
        gallery: The clips and texts.
        texts: Numbers of texts for each clip, by the clip's number.
    """

    encoder: Encoder
    gallery: Gallery
    texts: Sequence[Sequence[int]]

    def match(self, batch: Batch) -> dict[int, Answer]:
        """The logit of each text, by its number, for the clips of a batch by their rows."""
        found: dict[int, Answer] = {clip.key.index: {} for clip in batch.bad}
        for sample in batch.samples:
            if sample.video_TCHW is None:
                raise TypeError(f"task {sample.set_name}: retrieval needs clips")
            numbers = self.texts[self.gallery.clip_of[sample.key.index]]
            texts = [self.gallery.texts[number] for number in numbers]
            logits = self.encoder.match(sample.video_TCHW, texts)
            found[sample.key.index] = dict(zip(map(str, numbers), logits, strict=True))
        return found


def packed(vector: Tensor) -> str:
    """A vector as text, float32, exactly."""
    return base64.b64encode(vector.cpu().numpy().astype("<f4").tobytes()).decode()


def unpacked(text: str) -> Tensor:
    """What `packed` was given."""
    return torch.from_numpy(np.frombuffer(base64.b64decode(text), "<f4").copy())


def vectors_of(answers: Sequence[Answer]) -> tuple[list[Tensor | None], list[Tensor]]:
    """The vectors of the rows' clips (None: unreadable) and of their captions."""
    clips = [None if row["clip"] is None else unpacked(row["clip"]) for row in answers]
    return clips, [unpacked(row["text"]) for row in answers]


def _caption(part: Part, index: int) -> str:
    item = part.dataset.find(index)[1]
    if not isinstance(item, CaptionItem):
        raise TypeError(f"task {part.name}: retrieval needs captions")
    return item.caption
