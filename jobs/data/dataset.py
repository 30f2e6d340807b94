"""Sets of items as a torch dataset: what is asked for by key comes decoded and augmented.

Letters in names: B batch, T time, C channel, H height, W width.
"""

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from jobs.data.errors import UnreadableClipError
from jobs.data.items import CaptionItem, Item, Kind, MediaSet, texts_of
from jobs.data.patience import read_in_time
from jobs.data.pictures import read_frames, read_image
from jobs.data.sampling import GeneratorDraws, Sampling
from jobs.data.shared_flag import SharedFlag
from jobs.data.tiles import to_grid
from jobs.data.transform import Augmentation, GeneratorUniform, to_pixels
from jobs.data.video import Clip, Wish, read_clip

READ_TIMEOUT_S = 60.0
SIDES = re.compile(r"\b(left|right)", re.IGNORECASE)


@dataclass(frozen=True)
class SampleKey:
    """What is asked for.

    Attributes:
        epoch: from 0.
        index: sample, counted through all sets in their order.
    """

    epoch: int
    index: int


@dataclass(frozen=True)
class Sample:
    """One sample, decoded.

    Attributes:
        video_TCHW: its grey levels, uint8, or where it comes in tiles float32, normalised (those
            are not rounded); one frame for a picture, None for text and where it went elsewhere.
        item: its texts, see `jobs.data.items`.
        key: epoch and index.
        set_name: the set it belongs to.
        seconds: when each frame is shown; empty for text.
    """

    video_TCHW: Tensor | None  # noqa: N815 - the letters are its shape
    item: Item
    key: SampleKey
    set_name: str
    seconds: tuple[float, ...] = ()

    @property
    def kind(self) -> Kind:
        """Image, video or text."""
        return self.item.kind


@dataclass(frozen=True)
class BadClip:
    """What stands for a sample whose media file does not decode.

    Attributes:
        set_name: the set it belongs to.
        file: path below the media root.
        error_class: name of the decoder's error.
        text: the decoder's words.
        key: epoch and index.
    """

    set_name: str
    file: str
    error_class: str
    text: str
    key: SampleKey


def keyed_rng(seed: int, key: SampleKey, stream: int = 0) -> np.random.Generator:
    """A generator that depends on nothing but its arguments, in whatever process it is made.

    Args:
        seed: of the run.
        key: the sample.
        stream: keeps apart several uses: 0 frames and augmentation; others are free.
    """
    return np.random.default_rng((seed, stream, key.epoch, key.index))


class ClipDataset(Dataset[Sample | BadClip]):
    """Items of several sets with their frames.

    A clip that does not decode gives a `BadClip`: never another clip with this one's text.

    Args:
        sets: what `open_set` gave; indices count through them in this order.
        frames: frames of a video.
        size_px: side of the square pictures.
        train: crop and mirroring at random, keyed on seed, epoch and index; else the whole
            picture.
        sample: how frames are spread over a video, see `jobs.data.sampling`; None: `rand` to
            train, else `middle`.
        seed: of the run.
        min_scale: smallest part of the area that a training crop keeps.
        max_tiles: most tiles of a picture, see `jobs.data.tiles`; None: a square, cropped to train.
        read_timeout_s: how long reading one clip may take; what takes longer is a bad clip.

    Attributes:
        over: up, when nobody waits for clips any more: all that are left are bad at once.

    Raises:
        ValueError: there is no such `sample`.
    """

    def __init__(  # noqa: PLR0913 - each is a key of a recipe
        self,
        sets: Sequence[MediaSet],
        *,
        frames: int,
        size_px: int,
        train: bool,
        sample: str | None = None,
        seed: int = 0,
        min_scale: float = 0.5,
        max_tiles: int | None = None,
        read_timeout_s: float = READ_TIMEOUT_S,
    ) -> None:
        self.sets, self.frames, self.size_px = tuple(sets), frames, size_px
        self.train, self.seed, self.min_scale = train, seed, min_scale
        self.sampling = Sampling.parse(sample or ("rand" if train else "middle"))
        self.max_tiles, self.read_timeout_s = max_tiles, read_timeout_s
        self.over = SharedFlag()
        self._ends = list(accumulate(len(one.items) for one in sets))

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def __getitem__(self, key: SampleKey) -> Sample | BadClip:
        """The sample of `key`; raises IndexError if there is no such index."""
        return self.read(key)

    def read_all(self, keys: Sequence[SampleKey]) -> list[Sample | BadClip]:
        """The samples of some keys.

        Where they are of one kind of media, the clips that can be read are written side by side,
        and make a batch as they lie.
        """
        room, used = self._room(keys), 0
        found: list[Sample | BadClip] = []
        for key in keys:
            found.append(self.read(key, None if room is None else room[used]))
            used += isinstance(found[-1], Sample)
        return found

    def read(self, key: SampleKey, out: Tensor | None = None) -> Sample | BadClip:
        """The sample of `key`.

        Args:
            key: epoch and index.
            out: where to write its grey levels, (T, C, H, W); not for text and tiles.

        Raises:
            IndexError: if there is no such index.
        """
        own, item = self.find(key.index)
        if item.media is None:
            return Sample(None, item, key, own.name)
        rng = keyed_rng(self.seed, key)
        try:
            clip = self._read(own, item, rng)
        except UnreadableClipError as error:
            return BadClip(own.name, item.media, error.error_class, error.text, key)
        if self.max_tiles is None:
            augmentation = self._augmentation(own, item, clip, rng) if self.train else None
            video_TCHW = to_pixels(clip.frames_THWC, self.size_px, augmentation, out)
        else:
            video_TCHW = to_grid(clip.frames_THWC, self.size_px, self.max_tiles)
        return Sample(video_TCHW, item, key, own.name, clip.seconds)

    def blank(self, key: SampleKey) -> Sample:
        """The sample of `key` with black frames in place of its own, without a look at its file.

        It has the shape and the kind of media of the others of its batch, for a forward pass
        whose loss does not count.
        """
        own, item = self.find(key.index)
        if item.media is None:
            return Sample(None, item, key, own.name)
        shape = self._shape(item)
        dtype = torch.uint8 if self.max_tiles is None else torch.float32
        seconds = tuple(map(float, range(shape[0])))
        return Sample(torch.zeros(shape, dtype=dtype), item, key, own.name, seconds)

    def find(self, index: int) -> tuple[MediaSet, Item]:
        """The set and the item of an index."""
        own, row = self.locate(index)
        return own, own.items[row]

    def locate(self, index: int) -> tuple[MediaSet, int]:
        """The set of an index and the row in it, from 0."""
        if not 0 <= index < len(self):
            raise IndexError(f"sample {index} is not in [0, {len(self)})")
        place = bisect_right(self._ends, index)
        return self.sets[place], index - (self._ends[place - 1] if place else 0)

    def _room(self, keys: Sequence[SampleKey]) -> Tensor | None:
        """Memory for the clips of a batch; None for text, for tiles and where shapes differ."""
        items = [self.find(key.index)[1] for key in keys]
        if len({item.kind for item in items}) != 1 or items[0].media is None or self.max_tiles:
            return None
        return torch.empty((len(keys), *self._shape(items[0])), dtype=torch.uint8)

    def _shape(self, item: Item) -> tuple[int, int, int, int]:
        """Of a clip (T, C, H, W); of a tiled picture that has one tile."""
        return (1 if item.kind == "image" else self.frames), 3, self.size_px, self.size_px

    def _read(self, own: MediaSet, item: Item, rng: np.random.Generator) -> Clip:
        path = own.root / str(item.media)
        start_s, end_s = (
            (None, None) if isinstance(item, CaptionItem) else (item.start_s, item.end_s)
        )
        wish = Wish(self.frames, self.sampling, GeneratorDraws(rng), start_s, end_s)

        def read() -> Clip:
            if item.kind == "image":
                return read_image(path)
            if own.fps is not None:
                return read_frames(path, wish, fps=own.fps)
            return read_clip(path, wish)

        return read_in_time(read, path, self.read_timeout_s, partial(bool, self.over))

    def _augmentation(
        self, own: MediaSet, item: Item, clip: Clip, rng: np.random.Generator
    ) -> Augmentation:
        height, width = clip.frames_THWC.shape[1:3]
        flip, draws = may_flip(own, item), GeneratorUniform(rng)
        return Augmentation.draw(height, width, draws, min_scale=self.min_scale, flip=flip)


def may_flip(own: MediaSet, item: Item) -> bool:
    """Whether mirroring leaves the text true.

    Not where the set says `directional`, nor where the text speaks of left or right: a wrong
    yes teaches a lie, a wrong no costs half of one augmentation.
    """
    return not own.directional and not any(SIDES.search(text) for text in texts_of(item))
