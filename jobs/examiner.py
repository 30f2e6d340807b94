"""Puts multiple-choice questions to a model: by the letter it gives, or by what it finds likely.

By letter is MVBench's way (arXiv 2311.17005): options are lettered, the answer is begun with
`Best option:(`, the letter that comes next counts. By likelihood the options are not shown: the
candidate that the model finds likeliest as its answer counts (mean over its tokens). A model
too small to find letters can still be asked that way.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from jobs.batches import ConversationBatches
from jobs.data.choices import ANSWER_START, MVBENCH_REMINDER, choice_question, letter
from jobs.data.dataset import Sample
from jobs.data.items import ChoiceItem
from jobs.data.loader import Batch
from model.batch import ChatBatch, pad_prompts
from model.prompt import IGNORED_LABEL, TokenizedPrompt, Turn, render_conversation
from model.video_chat import VideoChat


@dataclass(frozen=True)
class Examiner:
    """A model under examination.

    Attributes:
        module: The model, in eval mode.
        batches: How conversations become its inputs.
        instruction: What opens each question.
        answer_by: `letter` or `likelihood`.
        device: Where the model is.
    """

    module: VideoChat
    batches: ConversationBatches
    instruction: str
    answer_by: Literal["letter", "likelihood"]
    device: torch.device

    @torch.no_grad()
    def count_correct(self, batch: Batch) -> int:
        """How many questions of a batch the model answers rightly; unreadable clips do not."""
        if not batch.samples:
            return 0
        ask = self._by_letter if self.answer_by == "letter" else self._by_likelihood
        return ask(batch)

    def _by_letter(self, batch: Batch) -> int:
        items = [_choice(sample) for sample in batch.samples]
        rows = [
            self._row(
                sample,
                Turn(choice_question(item.question, item.candidates) + MVBENCH_REMINDER, None),
            )
            for item, sample in zip(items, batch.samples, strict=True)
        ]
        best = self.module.next_token_logits(self._inputs(rows, batch, [1] * len(rows)))
        tokens = best.argmax(dim=-1).tolist()
        answers = [self.batches.chat.tokenizer.decode([token]) for token in tokens]
        return sum(map(is_right, answers, items))

    def _by_likelihood(self, batch: Batch) -> int:
        items = [_choice(sample) for sample in batch.samples]
        counts = [len(item.candidates) for item in items]
        rows = [
            self._row(sample, Turn(item.question, candidate))
            for item, sample in zip(items, batch.samples, strict=True)
            for candidate in item.candidates
        ]
        inputs = self._inputs(rows, batch, counts)
        lengths = (labels_of(inputs) != IGNORED_LABEL).sum(dim=1)
        scores = self.module.sequence_log_likelihood(inputs) / lengths
        best = [int(each.argmax()) for each in torch.split(scores, counts)]
        return sum(place == item.answer_index for place, item in zip(best, items, strict=True))

    def _row(self, sample: Sample, turn: Turn) -> TokenizedPrompt:
        segments = render_conversation(
            self.batches.chat.template,
            [turn],
            kind=None if sample.kind == "text" else sample.kind,
            instruction=self.instruction,
            seconds=sample.seconds,
            answer_start=ANSWER_START if turn.answer is None else "",
        )
        return self.batches.chat.conversation(segments)

    def _inputs(
        self, rows: Sequence[TokenizedPrompt], batch: Batch, counts: Sequence[int]
    ) -> ChatBatch:
        """Pads the rows and gives each its clip; clip i serves the next `counts[i]` rows."""
        padded = pad_prompts(rows, pad_id=self.batches.chat.pad_id)
        video = batch.stacked()
        if video is not None:
            video = video.repeat_interleave(torch.tensor(counts), dim=0)
        asked = self.batches.with_clips(padded, video, [self.instruction] * len(rows))
        return asked.to(self.device)


def is_right(answer: str, item: ChoiceItem) -> bool:
    """Whether an answer that goes on after `Best option:(` names the right letter."""
    return answer.strip().upper()[:1] == letter(item.answer_index)


def labels_of(batch: ChatBatch) -> torch.Tensor:
    """The labels that count, (B, L - 1); the first token cannot be predicted."""
    if batch.labels is None:
        raise ValueError("the batch has no labels")
    return batch.labels[:, 1:]


def _choice(sample: Sample) -> ChoiceItem:
    if not isinstance(sample.item, ChoiceItem):
        raise TypeError(f"task {sample.set_name}: needs multiple-choice questions")
    return sample.item
