"""From a caption or a conversation to token ids and labels; no torch.

Notable: templates are data. Text between two places of media is tokenised in one piece, save
a caption, which is one of its own; a token is trained on when its last character is. BOS stands
once, at the beginning.
"""

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any, Literal, NamedTuple, Protocol

from model.errors import PromptError
from model.templates import Template

MEDIA_ID = -200
"""Stands in a sequence where a visual token goes. No vocabulary has it."""
IGNORED_LABEL = -100
"""Label of a token that is not trained on."""

Kind = Literal["video", "image"]


class Tokenizer(Protocol):
    """A fast tokenizer of transformers."""

    @property
    def bos_token_id(self) -> int | None:
        """Id of the token that begins a sequence, if there is one."""

    def __call__(
        self, text: str, *, add_special_tokens: bool, return_offsets_mapping: bool
    ) -> Mapping[str, Any]:
        """Give "input_ids" and "offset_mapping" of a text."""


@dataclass(frozen=True)
class Segment:
    """A piece of a sequence."""

    text: str
    """What it says; empty for media."""
    is_media: bool = False
    """The visual tokens of one clip go here."""
    trained: bool = False
    """The loss counts its tokens."""
    joined: bool = True
    """Tokenised in one piece with the text before it."""


@dataclass(frozen=True)
class Turn:
    """A question with its answer."""

    question: str
    answer: str | None
    """None where the model shall answer."""


class TokenizedPrompt(NamedTuple):
    """A sequence, before padding; both lists have its length."""

    ids: list[int]
    """Token ids; `MEDIA_ID` for each visual token."""
    labels: list[int]
    """The id where it is trained on, else `IGNORED_LABEL`."""


def render_caption(
    template: Template, *, kind: Kind, prompt: str, caption: str | None, end_trained: bool = True
) -> list[Segment]:
    """Render a clip and its caption (stage 2).

    Args:
        template: The language model's template.
        kind: What the clip is.
        prompt: What is asked, such as "Describe the video briefly."
        caption: None where the model shall write it.
        end_trained: The loss counts the token that ends the caption.
    """
    name = kind.capitalize()
    segments = [
        Segment(template.media_open.format(kind=name).lstrip()),
        Segment("", is_media=True),
        Segment(template.caption_prompt.format(kind=name, prompt=prompt)),
    ]
    if caption is not None:
        segments.append(Segment(caption.strip(), trained=True, joined=False))
        segments.append(Segment(template.caption_end, trained=end_trained))
    return segments


def render_conversation(
    template: Template,
    turns: Sequence[Turn],
    *,
    kind: Kind | None,
    instruction: str = "",
    seconds: Sequence[float] = (),
    answer_start: str = "",
) -> list[Segment]:
    """Render a conversation about a clip, or about nothing (stage 3).

    Args:
        template: The language model's template.
        turns: Questions and answers; a question may be empty right after a clip. Only
            the last answer may be None: the sequence then ends where it begins.
        kind: What the clip is; None for text alone.
        instruction: What opens the conversation; may be empty.
        seconds: When each frame was taken; told if the template says so.
        answer_start: How the answer that the model shall give begins.

    Raises:
        PromptError: No turn, or an answer is lacking before the last turn.
    """
    if not turns or any(turn.answer is None for turn in turns[:-1]):
        raise PromptError("a conversation needs turns, all but the last with an answer")
    segments = []
    if instruction:
        segments.append(Segment(template.system.format(instruction=instruction.strip())))
    if kind is not None:
        segments.extend(_media(template, kind, seconds))
    for index, turn in enumerate(turns):
        segments.extend(_turn(template, turn, after_media=index == 0 and kind is not None))
    if turns[-1].answer is not None:
        segments.append(Segment(template.end, trained=True))
    elif answer_start:
        segments.append(Segment(template.answer.format(answer=answer_start)))
    said = [segment for segment in segments if segment.text or segment.is_media]
    said[0] = replace(said[0], text=said[0].text.lstrip())
    if turns[-1].answer is not None:
        said[-1] = replace(said[-1], text=said[-1].text.rstrip())
    return said


def qformer_instruction(template: Template, instruction: str, question: str) -> str:
    """Give what the QFormer reads beside a clip: the instruction, empty where there is none."""
    asked = question if template.question_in_qformer and instruction else ""
    return f"{instruction.strip()} {asked.strip()}".strip()


def time_message(seconds: Sequence[float]) -> str:
    """Say how many frames were taken and when, in seconds; nothing without frames."""
    if not seconds:
        return ""
    when = ", ".join(f"{second:.1f}" for second in seconds)
    return f" The video contains {len(seconds)} frames sampled at {when} seconds."


def tokenize(
    segments: Sequence[Segment],
    tokenizer: Tokenizer,
    *,
    max_text_length: int,
    num_visual_tokens: int,
    limit: Literal["all", "trained"] = "all",
) -> TokenizedPrompt:
    """Turn segments into ids and labels.

    Args:
        segments: What a render function gave.
        tokenizer: The language model's.
        max_text_length: Most text tokens; what is over is cut off on the right.
        num_visual_tokens: Tokens a clip takes.
        limit: What `max_text_length` counts: all text with BOS (stage 3), or only the
            text from the first trained token on (stage 2: the caption).

    Raises:
        PromptError: The text before a clip leaves no room for it.
    """
    bos = tokenizer.bos_token_id
    ids: list[int] = [] if bos is None else [bos]
    labels = [IGNORED_LABEL] * len(ids)
    for run in _pieces(segments):
        if run[0].is_media:
            new_ids = [MEDIA_ID] * (num_visual_tokens * len(run))
            new_labels = [IGNORED_LABEL] * len(new_ids)
        else:
            new_ids, new_labels = _tokenize_text(run, tokenizer)
        ids.extend(new_ids)
        labels.extend(new_labels)
    room = max_text_length + (ids.count(MEDIA_ID) if limit == "all" else _first_trained(labels))
    if MEDIA_ID in ids[room:]:
        raise PromptError(
            f"the text before the clip has {ids.index(MEDIA_ID)} tokens, "
            f"max_text_length {max_text_length} leaves no room for the clip"
        )
    return TokenizedPrompt(ids[:room], labels[:room])


def _pieces(segments: Sequence[Segment]) -> Iterator[list[Segment]]:
    """Neighbours of one kind, each what the tokenizer reads at once."""
    run: list[Segment] = []
    for segment in segments:
        if run and (run[-1].is_media != segment.is_media or not segment.joined):
            yield run
            run = []
        run.append(segment)
    if run:
        yield run


def _media(template: Template, kind: Kind, seconds: Sequence[float]) -> Iterator[Segment]:
    name = kind.capitalize()
    time = time_message(seconds) if template.says_time and kind == "video" else ""
    yield Segment(template.media_open.format(kind=name))
    yield Segment("", is_media=True)
    yield Segment(template.media_close.format(kind=name, time=time))


def _turn(template: Template, turn: Turn, *, after_media: bool) -> Iterator[Segment]:
    role = template.question_role_after_media if after_media else template.question_role
    if turn.question or not after_media:
        yield Segment(role, trained=template.roles_trained)
        yield Segment(template.question.format(question=turn.question.strip()))
    yield Segment(template.answer_role, trained=template.roles_trained)
    if turn.answer is not None:
        yield Segment(template.answer.format(answer=turn.answer.strip()), trained=True)
        yield Segment(template.answer_end, trained=True)


def _tokenize_text(run: Sequence[Segment], tokenizer: Tokenizer) -> tuple[list[int], list[int]]:
    """Tokenise neighbouring texts as one and find the segment of each token's last character."""
    text = "".join(segment.text for segment in run)
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    ids: list[int] = list(encoded["input_ids"])
    starts = [0, *accumulate(len(segment.text) for segment in run[:-1])]
    labels = []
    for token_id, (begin, end) in zip(ids, encoded["offset_mapping"], strict=True):
        segment = run[bisect_right(starts, max(begin, end - 1)) - 1]
        labels.append(token_id if segment.trained else IGNORED_LABEL)
    return ids, labels


def _first_trained(labels: Sequence[int]) -> int:
    trained = (index for index, label in enumerate(labels) if label != IGNORED_LABEL)
    return next(trained, len(labels))
