"""Makes the synthetic set: moving shapes in real H.264 and VP9 files, with their texts.

`python -m jobs.data.synthetic OUT --train 600 --test 200 --seed 0` writes

- `clips/`: the files, several codecs and sizes in rotation
- `train_motion.json`: stage 1, of each clip only the direction
- `train_pairs.json`: stage 1, one wording a scene, so that equal scenes have equal captions
- `train_captions.json`: stage 2, several wordings
- `train_qa.json`: stage 3, questions and answers
- `test_direction.json`, `test_colour.json`, `test_shape.json`: MVBench's format, other clips
- `made.json`: what it was made with; written last, so a set without it is not whole

A second call with the same arguments does nothing; after a kill it starts again.
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from jobs.data.errors import DataError, OtherSetError
from jobs.data.items import Turn
from jobs.data.shapes import draw
from jobs.data.world import (
    ASPECTS,
    Aspect,
    Scene,
    caption,
    motion,
    open_turns,
    plain_caption,
    question,
)
from jobs.data.world import scenes as all_scenes

VERSION = 3
FPS = 12
NUM_FRAMES = (12, 24)
SIZES_HW = ((64, 64), (64, 96), (112, 80))
TRAIN, TEST, ORDER, TEXT = range(4)


@dataclass(frozen=True)
class Codec:
    """How a file is encoded."""

    container: str
    name: str
    options: dict[str, str]
    pixels: str = "yuv420p"


CODECS = (
    Codec("mp4", "libx264", {"preset": "ultrafast", "crf": "18"}),
    Codec("webm", "libvpx-vp9", {"deadline": "realtime", "cpu-used": "8", "crf": "24", "b": "0"}),
)


@dataclass(frozen=True)
class _ClipPlan:
    """All that is needed to make one file, in whatever thread."""

    path: Path
    scene: Scene
    seed: int
    split: int
    number: int


@dataclass(frozen=True)
class Made:
    """What a set was made with; the content of `made.json`."""

    train: int
    test: int
    seed: int
    version: int = VERSION


def make_set(out: Path, *, train: int, test: int, seed: int, workers: int = 2) -> bool:
    """Makes the set in `out`, unless it is there already.

    Args:
        out: the folder; made if missing.
        train: clips to train on.
        test: clips held out; drawn from a stream of their own.
        seed: of everything random.
        workers: threads that draw and encode (the encoders let go of the interpreter).

    Returns:
        Whether anything was made.

    Raises:
        OtherSetError: if `out` holds a set made with other arguments.
    """
    wanted = Made(train, test, seed)
    if _is_there(out, wanted):
        return False
    (out / "clips").mkdir(parents=True, exist_ok=True)
    train_plans = _plan_clips(out, train, seed, TRAIN)
    test_plans = _plan_clips(out, test, seed, TEST)
    with ThreadPoolExecutor(workers) as pool:
        for _ in pool.map(_make_clip, [*train_plans, *test_plans], chunksize=16):
            pass
    rng = np.random.default_rng((seed, TEXT))
    _write_train(out, train_plans, rng)
    _write_test(out, test_plans, rng)
    _write_json(out / "made.json", asdict(wanted))
    return True


def encode(
    frames_THWC: NDArray[np.uint8], path: Path, codec: Codec = CODECS[0], *, fps: int = FPS
) -> None:
    """Encodes frames (even sides) to a file, which is there whole or not at all."""
    aside = path.with_name(path.name + ".part")
    # Without bitexact the muxer writes a random id into every file.
    options = {"fflags": "bitexact"}
    with av.open(str(aside), "w", format=codec.container, options=options) as container:
        stream = container.add_stream(codec.name, rate=fps, options=codec.options)
        stream.height, stream.width = frames_THWC.shape[1:3]
        stream.pix_fmt = codec.pixels
        stream.codec_context.thread_count = 1
        for frame in frames_THWC:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
    aside.replace(path)


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; 0, 1 where `OUT` cannot be written, or 2 where it holds something else."""
    parser = argparse.ArgumentParser(
        prog="python -m jobs.data.synthetic",
        description="Make a small set of moving-shape clips with captions and questions.",
    )
    parser.add_argument("out", type=Path, help="folder to make it in")
    parser.add_argument("--train", type=int, default=600, help="clips to train on (%(default)s)")
    parser.add_argument("--test", type=int, default=200, help="clips held out (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of everything random (%(default)s)")
    args = parser.parse_args(argv)
    try:
        made = make_set(args.out, train=args.train, test=args.test, seed=args.seed)
    except DataError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    except OSError as error:
        said = error.strerror or type(error).__name__
        sys.stderr.write(f"error: {args.out}: cannot be written: {said}; give another folder\n")
        return 1
    what = "made" if made else "was there already:"
    sys.stderr.write(f"{what} {args.train} + {args.test} clips in {args.out}\n")
    return 0


def _is_there(out: Path, wanted: Made) -> bool:
    try:
        found = json.loads((out / "made.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return False
    if isinstance(found, dict) and found | {"version": VERSION} == asdict(wanted):
        return bool(found == asdict(wanted))  # an older version's set is made again
    raise OtherSetError(
        f"{out} holds a set made with {found}, wanted {asdict(wanted)}: "
        "give another folder or remove this one"
    )


def _plan_clips(out: Path, count: int, seed: int, split: int) -> list[_ClipPlan]:
    """Every scene equally often, in an order of which codec and size know nothing."""
    scenes = all_scenes()
    order = np.random.default_rng((seed, ORDER, split)).permutation(count)
    plans = []
    for number, drawn in enumerate(order):
        name = f"{('train', 'test')[split]}-{number:05d}.{_codec(number).container}"
        scene = scenes[int(drawn) % len(scenes)]
        plans.append(_ClipPlan(out / "clips" / name, scene, seed, split, number))
    return plans


def _codec(number: int) -> Codec:
    return CODECS[number % len(CODECS)]


def _make_clip(plan: _ClipPlan) -> None:
    rng = np.random.default_rng((plan.seed, plan.split, plan.number))
    height, width = SIZES_HW[plan.number % len(SIZES_HW)]
    frames = int(rng.integers(NUM_FRAMES[0], NUM_FRAMES[1] + 1))
    clip_THWC = draw(plan.scene, rng, height=height, width=width, frames=frames)
    encode(clip_THWC, plan.path, _codec(plan.number))


def _write_train(out: Path, plans: Sequence[_ClipPlan], rng: np.random.Generator) -> None:
    motions, pairs, captions, free = [], [], [], []
    for plan in plans:
        video = f"clips/{plan.path.name}"
        motions.append({"video": video, "caption": motion(plan.scene)})
        pairs.append({"video": video, "caption": plain_caption(plan.scene)})
        captions.append({"video": video, "caption": caption(plan.scene, rng)})
        free.append({"video": video, "QA": _rows(open_turns(plan.scene, rng))})
    _write_json(out / "train_motion.json", motions)
    _write_json(out / "train_pairs.json", pairs)
    _write_json(out / "train_captions.json", captions)
    _write_json(out / "train_qa.json", free)


def _write_test(out: Path, plans: Sequence[_ClipPlan], rng: np.random.Generator) -> None:
    for aspect in ASPECTS:
        rows = [_test_row(plan, aspect, rng) for plan in plans]
        _write_json(out / f"test_{aspect}.json", rows)


def _test_row(plan: _ClipPlan, aspect: Aspect, rng: np.random.Generator) -> dict[str, object]:
    asked = question(plan.scene, aspect, rng)
    return {
        "video": f"clips/{plan.path.name}",
        "question": asked.text,
        "candidates": asked.candidates,
        "answer": asked.answer,
    }


def _rows(turns: Sequence[Turn]) -> list[dict[str, str]]:
    return [{"i": turn.instruction, "q": turn.question, "a": turn.answer} for turn in turns]


def _write_json(path: Path, value: object) -> None:
    aside = path.with_name(path.name + ".part")
    with aside.open("w", encoding="utf-8") as file:
        json.dump(value, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)


if __name__ == "__main__":
    sys.exit(main())
