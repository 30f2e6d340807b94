"""What an evaluation stage asks, and of which sets."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from jobs.contract.mvbench import MEDIA, MVBENCH, QUESTIONS
from jobs.contract.sampling import SAMPLE
from jobs.contract.strict import Strict


class Task(Strict):
    """One set of an evaluation.

    Attributes:
        name: As shown in the results; no two are called the same.
        annotations: JSON list: multiple choice in MVBench's format, or captions.
        media: Folder that the paths in the annotations start from.
        bounds: The `start` and `end` of a row count.
        fps: Frames a second where each clip is a folder of frames; none: it is a file.
    """

    name: str
    annotations: Path
    media: Path | None = None
    bounds: bool = True
    fps: Annotated[float, Field(gt=0)] | None = None


class Evaluate(Strict):
    """An evaluation stage: of the weights of any stage before it.

    Attributes:
        kind: `choice`: multiple choice as in MVBench. `retrieval`: stage 1 finds the clip to
            a caption and the caption to a clip. `captions`: what is said of each clip is
            written down beside the caption that it has.
        tasks: What to ask; `mvbench`: its 20 tasks, below `root`.
        root: Folder of MVBench, with its `json/` and `video/`.
        frames: Frames sampled from each clip. Default: 16 as MVBench does, in retrieval
            those of the model.
        tiles: As in training, for a model that was trained with them; `kind: choice` only.
        sample: How they are spread over a clip, as in training. `mvbench` for its own tasks,
            whose centres lie a little differently.
        batch_per_gpu: Clips looked at at once.
        precision: As in training.
        instruction: What opens each question. Default: MVBench's own.
        answer_by: `letter`, as MVBench does: the options are shown, the letter that the model
            gives counts. `likelihood`: they are not shown, the likeliest candidate counts.
        max_new_tokens: Longest answer or caption. Default: 100 as MVBench does, 32 for a
            caption.
        rerank: Retrieval: so many of the most similar candidates are put in order by the
            matching head; 0: similarity alone.
        workers: Data loader processes per rank.
        limit: At most this many rows of a task.
    """

    kind: Literal["choice", "retrieval", "captions"] = "choice"
    tasks: Annotated[tuple[Task, ...], Field(min_length=1)]
    root: Path | None = None
    frames: Annotated[int, Field(ge=1)] | None = None
    tiles: Annotated[int, Field(ge=1)] | None = None
    sample: Annotated[str, Field(pattern=SAMPLE)] = "middle"
    batch_per_gpu: Annotated[int, Field(ge=1)] = 8
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    instruction: str | None = None
    answer_by: Literal["letter", "likelihood"] = "letter"
    max_new_tokens: Annotated[int, Field(ge=1)] | None = None
    rerank: Annotated[int, Field(ge=0)] = 0
    workers: Annotated[int, Field(ge=0)] = 4
    limit: Annotated[int, Field(ge=1)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _spell_out_mvbench(cls, values: Any) -> Any:  # noqa: ANN401 - whatever the file holds
        if not isinstance(values, dict) or values.get("tasks") != "mvbench":
            return values
        if not isinstance(values.get("root"), str | Path):
            raise ValueError("tasks: mvbench needs its folder; write root: data/mvbench")  # noqa: TRY004 - pydantic's way
        return {"sample": "mvbench"} | values | {"tasks": _mvbench_tasks(Path(values["root"]))}

    @model_validator(mode="after")
    def _has_tiles_for_choice_only(self) -> "Evaluate":
        if self.tiles is not None and self.kind != "choice":
            raise ValueError(f"tiles: kind: choice sees pictures in tiles, {self.kind} does not")
        return self

    @model_validator(mode="after")
    def _names_no_task_twice(self) -> "Evaluate":
        names = [task.name for task in self.tasks]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"tasks: two are called '{twice}'; rename one")
        return self


def _mvbench_tasks(root: Path) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "annotations": root / QUESTIONS / task.file,
            "media": root / MEDIA / task.media,
            "bounds": task.bounds,
            "fps": task.fps,
        }
        for name, task in MVBENCH.items()
    ]
