"""From decoded samples to the model's inputs, one class for each kind of stage.

Letters: B sequences, L tokens, N clips, I instruction tokens.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch.nn import functional

from jobs.data.dataset import Sample, keyed_rng
from jobs.data.items import CaptionItem, ConversationItem
from jobs.data.loader import Batch, Inputs, together
from jobs.data.tiles import tiles_of
from model.batch import ChatBatch, pad_prompts, rounded_up
from model.prompt import (
    Segment,
    TokenizedPrompt,
    Turn,
    qformer_instruction,
    render_caption,
    render_conversation,
    tokenize,
)
from model.templates import CAPTION_PROMPTS, Template

PROMPT_STREAM, TURN_STREAM = 1, 2
"""Keep the draws of caption prompts and of turns apart from those of the augmentation."""


@dataclass(frozen=True)
class Chat:
    """How sequences are made for one language model.

    Attributes:
        tokenizer: The language model's.
        template: Its conversations' form.
        num_visual_tokens: Tokens a clip takes.
        max_text_tokens: Longer texts are cut.
        multiple: Sequences are padded to a multiple of so many tokens, so that shapes repeat.
    """

    tokenizer: Any
    template: Template
    num_visual_tokens: int
    max_text_tokens: int
    multiple: int = 1

    @property
    def pad_id(self) -> int:
        """What fills short sequences; it is masked, so any token will do."""
        return self.tokenizer.pad_token_id or 0

    def padded(self, rows: Sequence[TokenizedPrompt]) -> ChatBatch:
        """The rows of a training batch, without clips."""
        return pad_prompts(rows, pad_id=self.pad_id, multiple=self.multiple)

    def conversation(self, segments: Sequence[Segment], *, clips: int = 1) -> TokenizedPrompt:
        """Ids and labels of a conversation; the limit counts all of its text.

        Args:
            segments: What a render function gave.
            clips: How many clips stand at its place of media: those of a tiled picture.
        """
        spread = [each for each in segments for _ in range(clips if each.is_media else 1)]
        return tokenize(
            spread,
            self.tokenizer,
            max_text_length=self.max_text_tokens,
            num_visual_tokens=self.num_visual_tokens,
        )


@dataclass(frozen=True)
class CaptionBatches:
    """Stage 2: a clip, a prompt, its caption.

    Attributes:
        chat: How sequences are made.
        seed: Of the prompts' draw.
        end_trained: The loss counts the token that ends a caption.
    """

    chat: Chat
    seed: int
    end_trained: bool = True

    def __call__(self, batch: Batch) -> Inputs:
        """The inputs of `VideoChat`; one prompt a batch, as in the reference."""
        first = batch.samples[0]
        prompts = CAPTION_PROMPTS[first.kind]
        drawn = prompts[keyed_rng(self.seed, first.key, PROMPT_STREAM).integers(len(prompts))]
        rows = [self._row(sample, drawn) for sample in batch.samples]
        made = replace(self.chat.padded(rows), video=batch.stacked())
        return Inputs({"batch": made}, made.num_tokens)

    def _row(self, sample: Sample, prompt: str) -> TokenizedPrompt:
        kind, caption = sample.kind, _caption(sample)
        if kind == "text":
            raise TypeError(f"set {sample.set_name}: captions need a picture or a clip")
        segments = render_caption(
            self.chat.template,
            kind=kind,
            prompt=prompt,
            caption=caption,
            end_trained=self.end_trained,
        )
        return tokenize(
            segments,
            self.chat.tokenizer,
            max_text_length=self.chat.max_text_tokens,
            num_visual_tokens=self.chat.num_visual_tokens,
            limit="trained",
        )


@dataclass(frozen=True)
class ConversationBatches:
    """Stage 3: conversations about clips; the QFormer reads the instruction, too.

    Attributes:
        chat: How sequences are made.
        qformer_tokenizer: The QFormer's; None where it reads no text.
        max_instruction_tokens: Longer instructions are cut.
        turns_seed: Of the order of a conversation's turns, drawn anew for each epoch as in
            the reference; None keeps the file's order.
        tile_px: Side of a tile, where pictures come as grids of tiles; None: they do not.
    """

    chat: Chat
    qformer_tokenizer: Any | None
    max_instruction_tokens: int
    turns_seed: int | None = None
    tile_px: int | None = None

    def __call__(self, batch: Batch) -> Inputs:
        """The inputs of `VideoChat`."""
        items = [self._drawn(sample) for sample in batch.samples]
        clips = [self.clips(sample) for sample in batch.samples]
        rows = [
            self.row(item, sample.seconds, clips=len(own))
            for item, sample, own in zip(items, batch.samples, clips, strict=True)
        ]
        padded = self.chat.padded(rows)
        told = [self._told(item) for item, own in zip(items, clips, strict=True) for _ in own]
        made = self.with_clips(padded, joined(clips), told)
        return Inputs({"batch": made}, made.num_tokens)

    def clips(self, sample: Sample) -> Sequence[torch.Tensor]:
        """What the model sees of a sample, each (T, C, H, W): one clip, its tiles, or nothing."""
        if sample.video_TCHW is None:
            return ()
        if self.tile_px is None:
            return (sample.video_TCHW,)
        return tiles_of(sample.video_TCHW, self.tile_px).unbind()

    def row(
        self, item: ConversationItem, seconds: tuple[float, ...] = (), *, clips: int = 1
    ) -> TokenizedPrompt:
        """Ids and labels of one conversation, with so many clips at its place of media."""
        segments = render_conversation(
            self.chat.template,
            [Turn(turn.question, turn.answer) for turn in item.turns],
            kind=None if item.kind == "text" else item.kind,
            instruction=item.turns[0].instruction,
            seconds=seconds,
        )
        return self.chat.conversation(segments, clips=clips)

    def _drawn(self, sample: Sample) -> ConversationItem:
        item = _conversation(sample)
        if self.turns_seed is None or len(item.turns) == 1:
            return item
        order = keyed_rng(self.turns_seed, sample.key, TURN_STREAM).permutation(len(item.turns))
        return replace(item, turns=tuple(item.turns[index] for index in order))

    def _told(self, item: ConversationItem) -> str:
        first = item.turns[0]
        return qformer_instruction(self.chat.template, first.instruction, first.question)

    def with_clips(
        self, padded: ChatBatch, video_NTCHW: torch.Tensor | None, instructions: list[str]
    ) -> ChatBatch:
        """Adds the clips and, for a QFormer that reads text, an instruction for each."""
        if video_NTCHW is None or self.qformer_tokenizer is None:
            return replace(padded, video=video_NTCHW)
        ids, mask = text_tensors(
            self.qformer_tokenizer,
            instructions,
            self.max_instruction_tokens,
            multiple=self.chat.multiple,
        )
        return replace(padded, video=video_NTCHW, instruction_ids=ids, instruction_mask=mask)


@dataclass(frozen=True)
class PairBatches:
    """Stage 1: clips and captions side by side.

    Attributes:
        tokenizer: The QFormer's.
        max_text_tokens: Longer captions are cut.
        multiple: As in `Chat`.
    """

    tokenizer: Any
    max_text_tokens: int
    multiple: int = 1

    def __call__(self, batch: Batch) -> Inputs:
        """The inputs of `VideoTextPretraining`; equal captions get equal numbers."""
        captions = [_caption(sample) for sample in batch.samples]
        ids, mask = text_tensors(
            self.tokenizer, captions, self.max_text_tokens, multiple=self.multiple
        )
        numbers = [zlib.crc32(caption.encode()) for caption in captions]
        arguments = {
            "video_BTCHW": batch.stacked(),
            "text_ids_BL": ids,
            "text_mask_BL": mask,
            "idx_B": torch.tensor(numbers),
        }
        return Inputs(arguments, int(mask.sum()))


def joined(clips: Sequence[Sequence[torch.Tensor]]) -> torch.Tensor | None:
    """The clips of all samples as one tensor (N, T, C, H, W); None of none."""
    return together([clip for own in clips for clip in own])


def text_tensors(
    tokenizer: Any,  # noqa: ANN401 - transformers is untyped
    texts: list[str],
    max_tokens: int,
    *,
    multiple: int = 1,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and mask of texts for the QFormer, int64 (B, L), padded on the right.

    L is that of the longest text, at most `max_tokens`, up to the next multiple of `multiple`
    where that is not more than `max_tokens` either: there are no positions for longer ones.
    """
    encoded = tokenizer(
        texts, padding="longest", truncation=True, max_length=max_tokens, return_tensors="pt"
    )
    ids, mask = encoded["input_ids"], encoded["attention_mask"]
    missing = min(rounded_up(ids.shape[1], multiple), max_tokens) - ids.shape[1]
    if missing > 0:
        ids = functional.pad(ids, (0, missing), value=tokenizer.pad_token_id)
        mask = functional.pad(mask, (0, missing))
    return ids, mask


def _caption(sample: Sample) -> str:
    if not isinstance(sample.item, CaptionItem):
        raise TypeError(f"set {sample.set_name}: this stage needs captions")
    return sample.item.caption


def _conversation(sample: Sample) -> ConversationItem:
    if not isinstance(sample.item, ConversationItem):
        raise TypeError(f"set {sample.set_name}: this stage needs conversations (`QA`)")
    return sample.item
