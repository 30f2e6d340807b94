"""A small corpus with every kind of media, and recipes for the tiny model on it."""

import json
import tempfile
from pathlib import Path
from typing import Any

import av

from jobs.contract.paths import RunFolder
from jobs.contract.spec import StageSpec
from jobs.data.synthetic import make_set
from jobs.data.tokenizer import build_tokenizer
from tests.jobs.running import Material, run_stage

CLIPS, OTHERS = 48, 16
FRAMES_A_SECOND = 8


def make_material(root: Path) -> Material:
    """Clips with captions and questions, and of the same clips pictures, GIFs, folders, texts."""
    make_set(root / "clips", train=CLIPS, test=4, seed=3)
    build_tokenizer().save_pretrained(root / "tokenizer")
    rows = json.loads((root / "clips/train_qa.json").read_text(encoding="utf-8"))[:OTHERS]
    made: dict[str, list[dict[str, Any]]] = {"image": [], "gif": [], "frames": [], "text": []}
    for number, row in enumerate(rows):
        frames = _frames(root / "clips" / row["video"])
        folder = root / "clips" / "folders" / f"{number:03d}"
        folder.mkdir(parents=True)
        for place, frame in enumerate(frames, 1):
            frame.to_image().save(folder / f"{place:05d}.jpg")
        picture, gif = f"pictures/{number:03d}.png", f"gifs/{number:03d}.gif"
        for path in (picture, gif):
            (root / "clips" / path).parent.mkdir(exist_ok=True)
        frames[0].to_image().save(root / "clips" / picture)
        first, *rest = [frame.to_image() for frame in frames]
        first.save(root / "clips" / gif, save_all=True, append_images=rest, duration=125)
        made["image"].append({"image": picture, "QA": row["QA"]})
        made["gif"].append({"video": gif, "QA": row["QA"]})
        made["frames"].append({"video": f"folders/{number:03d}", "QA": row["QA"]})
        made["text"].append({"QA": row["QA"]})
    for name, each in made.items():
        (root / "clips" / f"{name}.json").write_text(json.dumps(each), encoding="utf-8")
    return Material(root / "clips", root / "tokenizer")


def make_start(root: Path, material: Material) -> RunFolder:
    """Stages 1 and 2 with one step each: what stage 3 starts from."""
    run = RunFolder(root / "start")
    first = material.train("stage1", "train_pairs.json", max_steps=1)
    second = material.train("stage2", "train_captions.json", max_steps=1)
    for spec in (
        material.spec("s1", **first),
        material.spec("s2", parents=("s1",), init_from="s1", **second),
    ):
        attempt = run_stage(run, spec, ranks=1)
        if attempt.codes != [0]:
            raise SystemExit(f"{spec.stage} ended with {attempt.codes}: {attempt.log(0)[-2000:]}")
    return run


def new_run(root: Path, start: RunFolder) -> RunFolder:
    """A run whose stage 3 can begin."""
    run = RunFolder(Path(tempfile.mkdtemp(dir=root)))
    parent = run.stage("s2").root
    parent.parent.mkdir(parents=True, exist_ok=True)
    parent.symlink_to(start.stage("s2").root)
    return run


def mixed_stage(material: Material, **recipe: object) -> StageSpec:
    """Stage 3 of the tiny model, with dropout, on all kinds of media."""
    clips = material.clips
    data: list[dict[str, Any]] = [
        {"annotations": str(clips / "train_qa.json")},
        {"annotations": str(clips / "image.json")},
        {"annotations": str(clips / "gif.json"), "kind": "gif"},
        {"annotations": str(clips / "frames.json"), "kind": "frames", "fps": FRAMES_A_SECOND},
        {"annotations": str(clips / "text.json")},
    ]
    usual = {"epochs": 4, "global_batch": 8, "batch_per_gpu": 2, "warmup_epochs": 0.5}
    return material.spec(
        "s",
        parents=("s2",),
        init_from="s2",
        **material.train("stage3", "-", data=data, **{**usual, **recipe}),
    )


def _frames(path: Path) -> list[av.VideoFrame]:
    with av.open(path) as container:
        return list(container.decode(video=0))
