"""MVBench as it is published, two questions a task, from synthetic clips."""

import json
import shutil
from pathlib import Path

import av
import numpy as np
from PIL import Image

from jobs.contract.mvbench import MEDIA, MVBENCH, QUESTIONS, MVBenchTask

SUFFIXES = ("mp4", "gif")


def make_mvbench(root: Path, clips: Path) -> Path:
    """Fills `root` with the 20 tasks; every second clip of a task that has files is a GIF.

    Args:
        root: What becomes the benchmark's folder.
        clips: Folder of a synthetic set.
    """
    videos = sorted(clips.rglob("*.mp4"))[: len(SUFFIXES)]
    for task in MVBENCH.values():
        folder = root / MEDIA / task.media
        folder.mkdir(parents=True, exist_ok=True)
        names = [
            _put(video, folder, suffix, task)
            for video, suffix in zip(videos, SUFFIXES, strict=True)
        ]
        (root / QUESTIONS).mkdir(exist_ok=True)
        rows = [_row(name, task) for name in names]
        (root / QUESTIONS / task.file).write_text(json.dumps(rows))
    return root


def _row(name: str, task: MVBenchTask) -> dict[str, object]:
    """A question; where the bounds are not meant, they lie behind the end of the clip."""
    bounds = {"start": 0.1, "end": 0.9} if task.bounds else {"start": 500, "end": 501}
    options = {"candidates": ["left", "right", "up"], "answer": "up"}
    return {"video": name, "question": "which way does it move?", **options, **bounds}


def _put(video: Path, folder: Path, suffix: str, task: MVBenchTask) -> str:
    """Puts a clip into a folder, in the form that the task has; gives its name there."""
    if task.fps is not None:
        own = folder / f"{video.stem}_{suffix}"
        own.mkdir(exist_ok=True)
        for number, picture in enumerate(_pictures(video), start=1):
            picture.save(own / f"{number:05d}.jpg")
        return own.name
    target = folder / f"{video.stem}.{suffix}"
    if suffix == "gif":
        first, *rest = _pictures(video)
        first.save(target, save_all=True, append_images=rest, duration=40)
    else:
        shutil.copy(video, target)
    return target.name


def _pictures(video: Path) -> list[Image.Image]:
    with av.open(str(video)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    return [Image.fromarray(np.ascontiguousarray(frame)) for frame in frames]
