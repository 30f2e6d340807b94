"""Puts multiple-choice questions to a model: by the letter it gives, or by what it finds likely.

By letter is MVBench's way (arXiv 2311.17005): options are lettered, the answer is begun with
`Best option:(`, the first word that comes next counts. By likelihood the options are not shown:
the candidate that the model finds likeliest as its answer counts (mean over its tokens). A
model too small to find letters can still be asked that way.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from jobs.batches import ConversationBatches, joined
from jobs.data.choices import (
    ANSWER_START,
    LETTER_FORMS,
    MVBENCH_REMINDER,
    choice_question,
    letter,
    option,
)
from jobs.data.dataset import Sample
from jobs.data.items import ChoiceItem
from jobs.data.loader import Batch
from jobs.evaluation.answers import Answer
from jobs.evaluation.writing import write_on
from model.batch import ChatBatch, pad_prompts
from model.prompt import IGNORED_LABEL, Segment, TokenizedPrompt, Turn, render_conversation
from model.video_chat import VideoChat

UNREADABLE: Answer = {"pred": "", "right": False}


@dataclass(frozen=True)
class Examiner:
    """A model under examination.

    Attributes:
        module: The model, in eval mode.
        batches: How conversations become its inputs.
        instruction: What opens each question.
        answer_by: `letter` or `likelihood`.
        device: Where the model is.
        max_new_tokens: Longest answer by letter.
    """

    module: VideoChat
    batches: ConversationBatches
    instruction: str
    answer_by: Literal["letter", "likelihood"]
    device: torch.device
    max_new_tokens: int = 100

    def answers(self, batch: Batch) -> dict[int, Answer]:
        """What the model answers to each question of a batch, by index.

        An answer holds `pred`, such as `(A) left`, and whether it is `right`. A question whose
        clip cannot be read is answered wrongly.
        """
        found = {clip.key.index: UNREADABLE for clip in batch.bad}
        if not batch.samples:
            return found
        ask = self._by_letter if self.answer_by == "letter" else self._by_likelihood
        for sample, answer in zip(batch.samples, ask(batch), strict=True):
            found[sample.key.index] = answer
        return found

    def _by_letter(self, batch: Batch) -> list[Answer]:
        rows = [self._letter_row(sample) for sample in batch.samples]
        inputs = self._inputs(rows, batch, [1] * len(rows), side="left")
        written = write_on(self.module, self.batches.chat, inputs, self.max_new_tokens)
        predicted = ["(" + text.split("\n")[0] for text in written]
        return [
            {"pred": text, "right": is_right(text, choice_of(sample))}
            for text, sample in zip(predicted, batch.samples, strict=True)
        ]

    @torch.no_grad()
    def _by_likelihood(self, batch: Batch) -> list[Answer]:
        items = [choice_of(sample) for sample in batch.samples]
        counts = [len(item.candidates) for item in items]
        rows = [
            self._likelihood_row(sample, Turn(item.question, candidate))
            for item, sample in zip(items, batch.samples, strict=True)
            for candidate in item.candidates
        ]
        inputs = self._inputs(rows, batch, counts)
        lengths = (labels_of(inputs) != IGNORED_LABEL).sum(dim=1)
        scores = self.module.sequence_log_likelihood(inputs) / lengths
        best = [int(each.argmax()) for each in torch.split(scores, counts)]
        return [
            {"pred": option(item.candidates, place), "right": place == item.answer_index}
            for place, item in zip(best, items, strict=True)
        ]

    def _letter_row(self, sample: Sample) -> TokenizedPrompt:
        template, item = self.module.cfg.template, choice_of(sample)
        segments = letter_segments(template, self.instruction, item)
        return self.batches.chat.conversation(segments, clips=len(self.batches.clips(sample)))

    def _likelihood_row(self, sample: Sample, turn: Turn) -> TokenizedPrompt:
        segments = render_conversation(
            self.batches.chat.template,
            [turn],
            kind=None if sample.kind == "text" else sample.kind,
            instruction=self.instruction,
            seconds=sample.seconds,
        )
        return self.batches.chat.conversation(segments, clips=len(self.batches.clips(sample)))

    def _inputs(
        self,
        rows: Sequence[TokenizedPrompt],
        batch: Batch,
        counts: Sequence[int],
        *,
        side: str = "right",
    ) -> ChatBatch:
        """Pads the rows and gives each its clips; those of sample i serve `counts[i]` rows."""
        padded = pad_prompts(rows, pad_id=self.batches.chat.pad_id, side=side)
        clips = [
            self.batches.clips(sample)
            for sample, count in zip(batch.samples, counts, strict=True)
            for _ in range(count)
        ]
        told = [self.instruction for own in clips for _ in own]
        return self.batches.with_clips(padded, joined(clips), told).to(self.device)


def letter_segments(template: str, instruction: str, item: ChoiceItem) -> list[Segment]:
    """The question with lettered options, up to where the answer goes on with a letter."""
    said = {
        "kind": item.kind.capitalize(),
        "instruction": instruction.strip(),
        "question": choice_question(item.question, item.candidates) + MVBENCH_REMINDER,
        "start": ANSWER_START,
    }
    before, after = (form.format(**said) for form in LETTER_FORMS[template])
    return [Segment(before), Segment("", is_media=True), Segment(after)]


def is_right(predicted: str, item: ChoiceItem) -> bool:
    """Whether an answer such as `(B) up` names the right letter, as MVBench counts it.

    The first word counts: with its dots away it is a part of the right letter in brackets, or
    holds it. Unlike in the reference an answer without any word is wrong: there the bracket
    that opens every answer is a part of each letter.
    """
    word, right = predicted.lower().split(" ")[0], f"({letter(item.answer_index).lower()})"
    return any(map(str.isalnum, word)) and (word.replace(".", "") in right or right in word)


def labels_of(batch: ChatBatch) -> torch.Tensor:
    """The labels that count, (B, L - 1); the first token cannot be predicted."""
    if batch.labels is None:
        raise ValueError("the batch has no labels")
    return batch.labels[:, 1:]


def choice_of(sample: Sample) -> ChoiceItem:
    """The question of a sample; raises TypeError where it has none."""
    if not isinstance(sample.item, ChoiceItem):
        raise TypeError(f"task {sample.set_name}: needs multiple-choice questions")
    return sample.item
