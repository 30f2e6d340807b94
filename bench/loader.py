"""Clips per CPU-second from long 720p H.264 to 8 x 224 x 224, against a plain decord reader.

`python -m bench.loader` makes scenes of 30 s (moved texture with grain, x264's default settings:
B-frames, medium) with a key frame each 250 and each 30 frames, prepares them once by
`jobs.data.prepare`, and reads 8 frames of each:

- decord: `VideoReader(path, num_threads=1).get_batch(indices)`
- ours: `jobs.data.video.read_clip`

Both then resize by the same code, take the same frames (compared byte by byte), and take turns.
What counts is the CPU time of the process, user and system, not the wall clock. The decoder's limit
is what PyAV needs to decode all frames up to the last wanted one, converting none, and to decode
the reference frames among them only. Ends with 1 where a prepared clip is not read 4 times as fast
as decord reads the raw one.

`--source FILE...` takes own clips (as they are, and prepared) in place of the made ones.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from time import process_time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import decord
import numpy as np
import torch
from numpy.typing import NDArray

from bench.scene import make_clips
from jobs.data.decoding import open_video
from jobs.data.preparing.encoding import Recipe, encode_clip
from jobs.data.transform import resized
from jobs.data.video import Wish, read_clip

SIZE_PX = 224
KEYINTS = (250, 30)
TARGET = 4.0
MB = 1e6

Frames = NDArray[np.uint8]


def main() -> int:
    """Makes clips, measures, prints; 1 where the target is missed."""
    args = parser().parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="bench-loader-") as folder:
        kinds = raw_clips(Path(folder), args)
        first = next(iter(kinds.values()))
        before = process_time()
        kinds["prepared"] = prepared(Path(folder), first)
        say(f"prepared once: {(process_time() - before) / len(first):.1f} CPU-s a clip")
        for kind, clips in kinds.items():
            say(f"{kind}: {len(clips)} clips, {told(clips[0])}")
        say(f"\n{args.frames} frames to {SIZE_PX} x {SIZE_PX}, median of {args.rounds} rounds\n")
        return judge(measure(kinds, args.frames, args.rounds))


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="python -m bench.loader",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--clips", type=int, default=2, help="scenes (%(default)s)")
    made.add_argument("--seconds", type=float, default=30, help="of each (%(default)s)")
    made.add_argument("--frames", type=int, default=8, help="that are read (%(default)s)")
    made.add_argument("--rounds", type=int, default=3, help="of which the median counts (3)")
    made.add_argument("--source", type=Path, nargs="+", help="own clips instead of made ones")
    return made


def raw_clips(folder: Path, args: argparse.Namespace) -> dict[str, list[Path]]:
    """The clips by what they are called."""
    if args.source:
        return {"raw": args.source}
    made = [make_clips(folder, seed, args.seconds, KEYINTS) for seed in range(args.clips)]
    return {f"raw, keyint {n}": [clips[i] for clips in made] for i, n in enumerate(KEYINTS)}


def prepared(folder: Path, clips: Sequence[Path]) -> list[Path]:
    """What `jobs.data.prepare` makes of the clips."""
    targets = [folder / f"prepared-{i}.mp4" for i in range(len(clips))]
    for clip, target in zip(clips, targets, strict=True):
        encode_clip(clip, target, Recipe())
    return targets


def told(clip: Path) -> str:
    """Size, rate and key frames of a clip."""
    size = clip.stat().st_size
    with open_video(clip) as video:
        look, stream = video.look(), video.stream
        count = len(look.presented())
        seconds = count / float(stream.average_rate)
        return (
            f"{stream.width} x {stream.height}, {seconds:.0f} s, {size / MB:.1f} MB "
            f"({size * 8 / seconds / MB:.2f} Mb/s), a key frame each {count / len(look.keys):.0f}"
        )


def measure(kinds: dict[str, list[Path]], frames: int, rounds: int) -> dict[str, dict[str, float]]:
    """Median CPU-seconds a clip, by kind and reader; prints them."""
    taken: dict[str, dict[str, float]] = {}
    say(f"{'':18}{'reader':26}{'CPU ms a clip':>14}{'clips a CPU-s':>15}{'against decord':>16}")
    for kind, clips in kinds.items():
        ways = {
            "decord": lambda path: to_size(by_decord(path, frames)),
            "ours": lambda path: to_size(by_ours(path, frames)),
            "limit: all decoded": lambda path: decoded(path, frames, "DEFAULT"),
            "limit: references": lambda path: decoded(path, frames, "NONREF"),
        }
        for clip in clips:
            same(clip, frames)
        costs: dict[str, list[float]] = {way: [] for way in ways}
        for number in range(rounds):
            for way in list(ways)[:: -1 if number % 2 else 1]:
                costs[way].append(cost(ways[way], clips))
        taken[kind] = {way: median(each) for way, each in costs.items()}
        for way, cpu_s in taken[kind].items():
            ratio = taken[kind]["decord"] / cpu_s
            say(f"{kind:18}{way:26}{cpu_s * 1e3:14.0f}{1 / cpu_s:15.2f}{ratio:15.2f}x")
    return taken


def judge(taken: dict[str, dict[str, float]]) -> int:
    """Prints the ratios; 1 where the target is missed."""
    ours = taken["prepared"]["ours"]
    say("")
    missed = False
    for kind, costs in taken.items():
        if kind == "prepared":
            continue
        ratio = costs["decord"] / ours
        missed |= ratio < TARGET
        say(f"{kind}: {costs['decord'] / costs['ours']:.2f}x of decord as it is, "
            f"{ratio:.1f}x once prepared (to reach: {TARGET:.0f}x)")  # fmt: skip
    return 1 if missed else 0


def cost(read: Callable[[Path], object], clips: Sequence[Path]) -> float:
    """CPU-seconds a clip."""
    before = process_time()
    for clip in clips:
        read(clip)
    return (process_time() - before) / len(clips)


def by_decord(path: Path, frames: int) -> Frames:
    """As most training code does it."""
    reader = decord.VideoReader(str(path), num_threads=1)
    read: Frames = reader.get_batch(centres(len(reader), frames)).asnumpy()
    return read


def by_ours(path: Path, frames: int) -> Frames:
    """As our training does it."""
    return read_clip(path, Wish(frames)).frames_THWC


def centres(count: int, frames: int) -> list[int]:
    """Middles of equal parts of a clip."""
    edges = np.linspace(0, count, frames + 1).astype(int)
    return [int(each) for each in (edges[:-1] + edges[1:] - 1) // 2]


def to_size(frames: Frames) -> torch.Tensor:
    """The training size, as our transform does it."""
    return resized(torch.from_numpy(frames).permute(0, 3, 1, 2), SIZE_PX)


def decoded(path: Path, frames: int, skip: str) -> int:
    """Decodes to the last wanted frame and converts none; gives how many came."""
    with open_video(path) as video:
        look = video.look()
        order = look.presented()
        last = max(order[i] for i in centres(len(order), frames))
    came = 0
    with open_video(path) as video:
        video.stream.codec_context.skip_frame = skip
        for i, packet in enumerate(video.packets()):
            came += len(video.stream.decode(packet))
            if i == last:
                break
    return came


def same(path: Path, frames: int) -> None:
    """Ends the program where the two readers do not give the same frames."""
    if not np.array_equal(by_decord(path, frames), by_ours(path, frames)):
        sys.exit(f"{path}: decord and ours read different frames; no comparison is possible")


def say(text: str) -> None:
    """Prints a line at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
