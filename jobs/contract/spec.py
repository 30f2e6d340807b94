"""What a stage is to do: the parts of `pipeline.yaml` that the jobs read, with their meaning.

The launcher parses them from the pipeline file, freezes them as `spec.json`, and the job
parses that file again. Unknown keys are errors at both doors.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from jobs.contract.batching import Batching
from jobs.contract.checkpointing import Checkpointing
from jobs.contract.command import Command
from jobs.contract.evaluation import Evaluate
from jobs.contract.files import write_atomic
from jobs.contract.sampling import SAMPLE
from jobs.contract.strict import Strict

Entry = Literal["language_model", "stage1", "stage2", "stage3"]
Component = Literal["video_encoder", "qformer", "projector", "language_model"]


_PARTS: dict[Entry, tuple[Component, ...]] = {
    "language_model": (),
    "stage1": ("video_encoder", "qformer"),
    "stage2": ("video_encoder", "qformer", "projector", "language_model"),
    "stage3": ("video_encoder", "qformer", "projector", "language_model"),
}
"""What `freeze` may name."""
_UNFREEZABLE: dict[Entry, tuple[Component, ...]] = {"stage1": ("video_encoder",)}


class Model(Strict):
    """Which model the stages train.

    Attributes:
        preset: A named configuration of `model/config.py`.
        language_model: Folder of the language model (config, weights, tokenizer). Without
            it one of the preset's sizes is made, with random weights.
        tokenizer: Folder of the language model's tokenizer. Default: `language_model`.
        qformer_tokenizer: Folder of the QFormer's tokenizer. Default: the same.
        overrides: Values of the preset to change, nested as in `model/config.py`.
    """

    preset: str
    language_model: Path | None = None
    tokenizer: Path | None = None
    qformer_tokenizer: Path | None = None
    overrides: dict[str, Any] = Field(default_factory=dict)


class DataSet(Strict):
    """One annotation file and where its media lie.

    Attributes:
        annotations: JSON list or JSON lines, in the formats of VideoChat2.
        media: Folder that the paths in the annotations start from. Default: that of
            `annotations`.
        name: What reports call the set. Default: the end of the path of `annotations`, as
            long as it takes to tell the stage's sets apart.
        directional: Left and right matter (so no flip when augmenting).
        kind: What the set holds, where its rows do not say: `frames` are folders of numbered
            pictures. Default: `image`, `video` or `text` by the keys of the rows, and `frames`
            where the path of a video is a folder.
        fps: How many pictures of a folder of frames make a second; `frames` need it.
    """

    annotations: Path
    media: Path | None = None
    name: Annotated[str, Field(min_length=1)] | None = None
    directional: bool = False
    kind: Literal["image", "video", "gif", "frames", "text"] | None = None
    fps: Annotated[float, Field(gt=0)] | None = None

    @model_validator(mode="after")
    def _has_fps_for_frames_only(self) -> "DataSet":
        if self.kind == "frames" and self.fps is None:
            raise ValueError("kind: frames needs fps, how many of its pictures make a second")
        if self.fps is not None and self.kind not in (None, "frames"):
            raise ValueError(f"fps is for kind: frames, not for {self.kind}")
        return self

    @staticmethod
    def names(sets: Sequence["DataSet"]) -> list[str]:
        """What to call each of the sets: its own name, or a path that is no other's."""
        paths = [one.annotations.with_suffix("").parts for one in sets]
        found: list[str] = []
        for at, (one, path) in enumerate(zip(sets, paths, strict=True)):
            others = [other for other in paths if other != path]
            length = next(
                length
                for length in range(1, len(path) + 1)
                if length == len(path) or all(o[-length:] != path[-length:] for o in others)
            )
            name = one.name or "/".join(path[-length:])
            found.append(f"{name} ({at + 1})" if name in found else name)
        return found


class LossScaling(Strict):
    """How `precision: fp16` keeps small gradients; bf16 and fp32 need no scale.

    The defaults are the reference's (torch's GradScaler): a step that overflows halves the
    scale, `window_steps` good ones in a row double it (after an overflow one more).

    Attributes:
        initial_power: The first scale is 2 to the power of this.
        window_steps: Steps without an overflow before the scale is doubled.
    """

    initial_power: Annotated[int, Field(ge=1, le=32)] = 16
    window_steps: Annotated[int, Field(ge=1)] = 2000


class Train(Strict):
    """A training stage.

    Attributes:
        entry: The stage's program, `jobs/<entry>.py`.
        epochs: Passes over the data.
        max_steps: End after this many optimizer steps, if that is sooner.
        lr: Peak learning rate.
        lr_floor: Lowest multiple of `lr`, at the start and at the end.
        warmup_epochs: Linear rise of the learning rate; fractions allowed.
        weight_decay: Of parameters with two or more dimensions.
        clip_norm: Largest gradient norm; none: no clipping.
        global_batch: Samples per optimizer step, over all ranks. Default:
            `batch_per_gpu` times the ranks.
        batch_per_gpu: Samples per rank and forward pass; accumulation follows. Default:
            the rank's whole share of `global_batch`.
        frames: Frames sampled from each clip.
        sample: How they are spread over it: `rand`, a random one in each of as many equal
            intervals; `middle`, their centres; `fps<N>` (`fps1`, `fps0.5`), so many a second
            until there are enough. `jobs.data.sampling` has more.
        read_timeout_s: How long reading one clip may take; one that takes longer counts as
            unreadable.
        tiles: Stage 3: a picture is seen in at most so many tiles of the encoder's size, by its
            form, and once as a whole; it is not cropped or mirrored. Default: once, cropped.
        crop_min_scale: Smallest part of a frame's area that a training crop keeps.
        max_text_tokens: Longer texts are cut.
        pad_to_multiple: Texts are padded to a multiple of so many tokens, so that shapes repeat;
            changes no loss.
        precision: `auto` is bf16 on a GPU and fp32 on a CPU; fp16 needs a GPU.
        loss_scaling: Of fp16.
        max_bad_steps: So many steps in a row whose loss or gradient is no finite number stop
            the run; each is skipped. In fp16 ten take the loss scale from 65536 to 64.
        zero_stage: DeepSpeed's ZeRO stage.
        recompute: Recompute activations in the backward pass to save memory.
        compile: Have torch compile the video encoder's blocks at the first step. A resume may
            then differ in the last bits (`jobs.compiling`).
        freeze: Components not trained, beside those the stage freezes anyway.
        unfreeze: Components trained although the stage freezes them: `video_encoder` in
            stage 1. The language model learns by adapters only.
        seed: Of data order, augmentation and dropout.
        workers: Data loader processes per rank.
        max_bad: Largest share of a set's clips that may be unreadable.
        data: The sets to train on.
        checkpoint: When to save.
        log_every_s: Seconds between two `step` events.
        straggler_every_steps: Steps between two looks at whether some ranks are slower than
            the others.
    """

    entry: Entry
    epochs: Annotated[int, Field(ge=1)] = 1
    max_steps: Annotated[int, Field(ge=1)] | None = None
    lr: Annotated[float, Field(gt=0)]
    lr_floor: Annotated[float, Field(ge=0, le=1)] = 0.01
    warmup_epochs: Annotated[float, Field(ge=0)] = 0.2
    weight_decay: Annotated[float, Field(ge=0)] = 0.02
    clip_norm: Annotated[float, Field(gt=0)] | None = None
    global_batch: Annotated[int, Field(ge=1)] | None = None
    batch_per_gpu: Annotated[int, Field(ge=1)] | None = None
    frames: Annotated[int, Field(ge=1)] = 4
    sample: Annotated[str, Field(pattern=SAMPLE)] = "rand"
    read_timeout_s: Annotated[float, Field(gt=0)] = 60.0
    tiles: Annotated[int, Field(ge=1)] | None = None
    crop_min_scale: Annotated[float, Field(gt=0, le=1)] = 0.5
    max_text_tokens: Annotated[int, Field(ge=4)] = 512
    pad_to_multiple: Annotated[int, Field(ge=1)] = 8
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    loss_scaling: LossScaling = LossScaling()
    max_bad_steps: Annotated[int, Field(ge=1)] = 10
    zero_stage: Literal[0, 1, 2, 3] = 1
    recompute: bool = False
    compile: bool = False
    freeze: tuple[Component, ...] = ()
    unfreeze: tuple[Component, ...] = ()
    seed: int = 42
    workers: Annotated[int, Field(ge=0)] = 4
    max_bad: Annotated[float, Field(ge=0, le=1)] = 0.01
    data: Annotated[tuple[DataSet, ...], Field(min_length=1)]
    checkpoint: Checkpointing = Checkpointing()
    log_every_s: Annotated[float, Field(gt=0)] = 10.0
    straggler_every_steps: Annotated[int, Field(ge=1)] = 100

    @model_validator(mode="after")
    def _has_a_batch(self) -> "Train":
        if self.global_batch is None and self.batch_per_gpu is None:
            raise ValueError("give global_batch, or batch_per_gpu, or both")
        return self

    @model_validator(mode="after")
    def _has_tiles_in_stage3_only(self) -> "Train":
        if self.tiles is not None and self.entry != "stage3":
            raise ValueError(f"tiles: stage3 sees pictures in tiles, {self.entry} does not")
        return self

    @model_validator(mode="after")
    def _compiles_what_stays_in_place(self) -> "Train":
        if self.compile and self.zero_stage == 3:  # noqa: PLR2004 - a stage's number
            raise ValueError(
                "compile and zero_stage: 3 do not go together: DeepSpeed brings the weights of "
                "each layer while it runs, which compiled code does not wait for"
            )
        if self.compile and self.entry == "language_model":
            raise ValueError("compile: language_model has no video encoder")
        return self

    @model_validator(mode="after")
    def _names_parts_of_its_stage(self) -> "Train":
        known = {"freeze": _PARTS[self.entry], "unfreeze": _UNFREEZABLE.get(self.entry, ())}
        for key, names in {"freeze": self.freeze, "unfreeze": self.unfreeze}.items():
            if wrong := [name for name in names if name not in known[key]]:
                those = ", ".join(known[key]) or "nothing"
                raise ValueError(f"{key}: {self.entry} can {key} {those}, not {wrong[0]}")
        return self

    def batching(self, full_world: int) -> Batching:
        """How the samples of a step are cut, for a job that has all of its ranks.

        Raises:
            ValueError: The global batch cannot be shared out evenly.
        """
        total = self.global_batch or (self.batch_per_gpu or 1) * full_world
        share, rest = divmod(total, full_world)
        if rest or not share:
            raise ValueError(f"global_batch {total} cannot be shared by {full_world} ranks")
        micro = min(self.batch_per_gpu or share, share)
        if share % micro:
            raise ValueError(
                f"global_batch {total} on {full_world} ranks is {share} a rank: "
                f"not a multiple of batch_per_gpu {micro}"
            )
        return Batching(total, micro, full_world)


class StageSpec(Strict):
    """All that a job needs to know; frozen as `spec.json` before the job is submitted.

    Attributes:
        run_id: The run.
        stage: Name of the stage.
        parents: Stages that must be done before the first step.
        init_from: Stage whose final weights this one starts from.
        code_sha: Git commit of the snapshot.
        nodes: Nodes asked for; of a range the most.
        gpus_per_node: GPUs of each.
        tasks_per_node: Ranks on each.
        resumable: A stopped attempt can be continued.
        signal_lead_s: How long before the time limit the job is told to save.
        model: The model.
        train: What to train, or
        evaluate: what to evaluate, or
        command: what program to run.
    """

    run_id: str
    stage: str
    parents: tuple[str, ...] = ()
    init_from: str | None = None
    code_sha: str = ""
    nodes: int = 1
    gpus_per_node: int = 0
    tasks_per_node: int = 1
    resumable: bool = True
    signal_lead_s: float = 120.0
    model: Model
    train: Train | None = None
    evaluate: Evaluate | None = None
    command: Command | None = None

    @property
    def full_world(self) -> int:
        """Ranks of the job when it has all of its nodes."""
        return self.nodes * self.tasks_per_node

    def write(self, path: Path) -> None:
        """Freezes the specification at `path`."""
        write_atomic(path, self.model_dump_json(indent=1))

    @classmethod
    def read(cls, path: Path) -> "StageSpec":
        """Reads a frozen specification; raises OSError or pydantic's ValidationError."""
        return cls.model_validate_json(path.read_text(encoding="utf-8"))
