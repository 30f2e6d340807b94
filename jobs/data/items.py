"""What a row of an annotation file becomes, and a set of such rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Kind = Literal["image", "video", "text"]
KINDS: tuple[Kind, ...] = ("image", "video", "text")
MediaForm = Literal["file", "frames"]


@dataclass(frozen=True)
class CaptionItem:
    """A picture or clip and a sentence about it.

    Attributes:
        kind: image or video.
        media: path below the media root.
        caption: the sentence.
    """

    kind: Kind
    media: str
    caption: str


@dataclass(frozen=True)
class Turn:
    """One question and its answer.

    Attributes:
        instruction: the task in words; may be empty.
        question: may be empty, where the instruction says all.
        answer: never empty.
    """

    instruction: str
    question: str
    answer: str


@dataclass(frozen=True)
class ConversationItem:
    """A conversation about a picture or clip, or about nothing but text.

    Attributes:
        kind: image, video or text.
        media: path below the media root; None for text.
        turns: at least one.
        start_s: first second of the clip that is meant; None for its start.
        end_s: second at which it ends; None for its end.
    """

    kind: Kind
    media: str | None
    turns: tuple[Turn, ...]
    start_s: float | None = None
    end_s: float | None = None


@dataclass(frozen=True)
class ChoiceItem:
    """A multiple-choice question about a picture or clip.

    Attributes:
        kind: image or video.
        media: path below the media root.
        question: the question alone, without the options.
        candidates: the options in the order shown.
        answer: one of them.
        start_s: first second that is meant; None for the start.
        end_s: second at which it ends; None for the end.
    """

    kind: Kind
    media: str
    question: str
    candidates: tuple[str, ...]
    answer: str
    start_s: float | None = None
    end_s: float | None = None

    @property
    def answer_index(self) -> int:
        """Position of the answer among the candidates, from 0."""
        return self.candidates.index(self.answer)


Item = CaptionItem | ConversationItem | ChoiceItem
FORMS: dict[type, str] = {
    CaptionItem: "caption",
    ConversationItem: "conversation",
    ChoiceItem: "choice",
}
"""What the forms of a row are called."""


@dataclass(frozen=True)
class MediaSet:
    """A named part of a corpus; all its items are of one kind.

    Attributes:
        name: what reports call it.
        kind: image, video or text.
        items: the rows.
        root: folder that the media paths start from.
        directional: left and right, or text in the picture, matter: never mirror it.
        media_form: `file`: each media path is a picture, a video or a GIF; `frames`: it is a
            folder of numbered pictures, which are a video's frames.
        fps: how many frames a second such a folder holds; None for files.
    """

    name: str
    kind: Kind
    items: Sequence[Item]
    root: Path
    directional: bool = False
    media_form: MediaForm = "file"
    fps: float | None = None


def texts_of(item: Item) -> tuple[str, ...]:
    """All texts of an item, in reading order."""
    if isinstance(item, CaptionItem):
        return (item.caption,)
    if isinstance(item, ChoiceItem):
        return (item.question, *item.candidates)
    return tuple(text for turn in item.turns for text in (turn.question, turn.answer))
