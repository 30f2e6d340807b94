"""Decodes as little of a video as the wanted frames need.

The packets say when each frame is shown and from which one on a decoder can begin, so a look at
them, without decoding, gives a plan: from the key frame before a wanted frame to that frame, and
nothing between two such stretches. On the way frames that no other is made from are passed over.
The packets of the look are kept and decoded from memory: there is no seek that could go wrong.

What a file says of itself may be untrue. Then `DoubtError` is raised, never a wrong frame given.
"""

from bisect import bisect_right
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

Frame = NDArray[np.uint8]

KEPT_BYTES = 64 << 20
"""Packets are kept in memory up to this size; those of a larger file are read again."""
BEGINS_AT_KEYS = frozenset({"h264", "hevc", "mpeg2video", "mpeg4", "vp8", "vp9", "av1"})
"""Codecs whose key frames are a beginning, here and in the containers; not so a GIF's."""
PASSES_OVER = frozenset({"h264", "mpeg2video", "mpeg4"})
"""Codecs in which a frame that is no reference leaves nothing behind; VP9 takes motion from it."""
HVCC_LAYERS_BYTE, HVCC_LAYERS_SHIFT, HVCC_LAYERS_MASK = 21, 3, 7


class DoubtError(Exception):
    """The packets do not say reliably what is in the file: it must be read in order."""


@dataclass(frozen=True)
class Look:
    """What the packets of a video say, in the order in which they are decoded.

    Attributes:
        shown_at: when each is shown, in the stream's unit of time.
        keys: numbers of those at which decoding can begin.
        hidden: numbers of those that an edit list does not show.
        kept: the packets themselves; None where they were too many.
    """

    shown_at: Sequence[int]
    keys: Sequence[int]
    hidden: frozenset[int]
    kept: "Sequence[av.Packet] | None"

    def presented(self) -> list[int]:
        """Numbers of the packets that are shown, in the order in which they are.

        Raises:
            DoubtError: two are shown at the same time, or none at all.
        """
        there = (i for i in range(len(self.shown_at)) if i not in self.hidden)
        order = sorted(there, key=self.shown_at.__getitem__)
        times = [self.shown_at[i] for i in order]
        if not times or any(a == b for a, b in pairwise(times)):
            raise DoubtError
        return order

    def stretches(self, wanted: Collection[int]) -> list[range]:
        """What must be decoded for the packets `wanted`: stretches that begin at a key frame.

        A frame behind a key frame that is shown before it (of an open group) needs the group
        before as well.
        """
        found: list[range] = []
        for start, end in sorted((self._beginning(number), number + 1) for number in wanted):
            if found and start <= found[-1].stop:
                found[-1] = range(found[-1].start, max(end, found[-1].stop))
            else:
                found.append(range(start, end))
        return found

    def _beginning(self, number: int) -> int:
        for key in reversed(self.keys[: bisect_right(self.keys, number)]):
            if self.shown_at[key] <= self.shown_at[number]:
                return key
        return 0


class Video:
    """An open video file, at its start.

    Args:
        path: the file.

    Attributes:
        stream: its first video stream; decoded by one thread.

    Raises:
        ValueError: it holds no video; else what `av.open` raises.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        # A damaged text tag is no reason to give up the pictures.
        self._container = av.open(str(path), metadata_errors="replace")
        if not self._container.streams.video:
            self.close()
            raise ValueError("it holds no video")
        self.stream = self._container.streams.video[0]
        self.stream.codec_context.thread_count = 1

    def close(self) -> None:
        """Lets go of the file."""
        self._container.close()

    def frames(self) -> "Iterator[av.VideoFrame]":
        """All frames that are shown, in order."""
        yield from self._container.decode(self.stream)

    def packets(self) -> "Iterator[av.Packet]":
        """All packets that hold something.

        Raises:
            DoubtError: one is damaged, such as the last one of a file that was cut off.
        """
        for packet in self._container.demux(self.stream):
            if packet.size:
                if packet.is_corrupt:
                    raise DoubtError
                yield packet

    def look(self) -> Look:
        """Reads all packets and decodes none.

        Raises:
            DoubtError: one does not say when it is shown, or only when it is decoded (as AVI does).
        """
        shown_at, keys, hidden = [], [], set()
        kept: list[av.Packet] = []
        size = 0
        for i, packet in enumerate(self.packets()):
            if packet.pts is None:
                raise DoubtError
            shown_at.append(packet.pts)
            if packet.is_keyframe:
                keys.append(i)
            if packet.is_discard:
                hidden.add(i)
            size += packet.size
            if size <= KEPT_BYTES:
                kept.append(packet)
        if self.stream.codec_context.has_b_frames and all(a < b for a, b in pairwise(shown_at)):
            raise DoubtError
        begins = keys if self.stream.codec_context.name in BEGINS_AT_KEYS else []
        whole = kept if size <= KEPT_BYTES else None
        return Look(shown_at, begins, frozenset(hidden), whole)

    def pictures(self, look: Look, wanted: Collection[int]) -> dict[int, Frame]:
        """The wanted frames, RGB and upright, by the numbers of their packets.

        Raises:
            DoubtError: one did not come, or a key frame is none.
        """
        if look.kept is not None:
            return self._decoded(look, wanted, look.kept.__getitem__)
        with open_video(self._path) as again:
            return again._decoded(look, wanted, _forward(again.packets()))

    def _decoded(
        self, look: Look, wanted: Collection[int], packet: "Callable[[int], av.Packet]"
    ) -> dict[int, Frame]:
        number_of = {look.shown_at[i]: i for i in wanted}
        on_the_way = "NONREF" if self._may_pass_over() else "DEFAULT"
        found: dict[int, Frame] = {}
        for stretch in look.stretches(wanted):
            begins_at = look.shown_at[stretch.start] if stretch.start else None
            for frame in self._stretch(stretch, wanted, packet, on_the_way):
                if frame.pts == begins_at and not frame.key_frame:
                    raise DoubtError
                number = number_of.get(frame.pts)
                if number is not None and number not in found:
                    if frame.is_corrupt:
                        raise DoubtError
                    found[number] = upright(frame)
        if len(found) < len(wanted):
            raise DoubtError
        return found

    def _stretch(
        self,
        stretch: range,
        wanted: Collection[int],
        packet: "Callable[[int], av.Packet]",
        on_the_way: str,
    ) -> "Iterator[av.VideoFrame]":
        """Frames of one stretch; then the decoder is empty and may begin elsewhere."""
        context = self.stream.codec_context
        context.flush_buffers()
        for i in stretch:
            context.skip_frame = "DEFAULT" if i in wanted else on_the_way
            yield from self.stream.decode(packet(i))
        yield from self.stream.decode(None)

    def _may_pass_over(self) -> bool:
        context = self.stream.codec_context
        if context.name != "hevc":
            return context.name in PASSES_OVER
        # HEVC's word "no reference" holds within a temporal layer only; so there must be but one.
        head = context.extradata or b""
        if len(head) <= HVCC_LAYERS_BYTE or head[0] != 1:
            return False
        return head[HVCC_LAYERS_BYTE] >> HVCC_LAYERS_SHIFT & HVCC_LAYERS_MASK == 1


@contextmanager
def open_video(path: Path) -> Iterator[Video]:
    """A video file, closed afterwards; raises what `Video` does."""
    video = Video(path)
    try:
        yield video
    finally:
        video.close()


def upright(frame: "av.VideoFrame") -> Frame:
    """RGB pixels, (height, width, 3), turned as the file says (phones film sideways)."""
    picture = np.asarray(frame.to_ndarray(format="rgb24"), dtype=np.uint8)
    return np.ascontiguousarray(np.rot90(picture, k=round(frame.rotation / 90)))


def _forward(packets: "Iterator[av.Packet]") -> "Callable[[int], av.Packet]":
    """Packets by ever higher numbers, of which those between are passed over."""
    numbered = enumerate(packets)

    def packet(number: int) -> "av.Packet":
        for i, found in numbered:
            if i == number:
                return found
        raise EOFError("the file has become shorter while it was read")

    return packet
