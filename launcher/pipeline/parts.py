"""A pipeline as the launcher handles it: plain frozen values, checked and absolute.

The defaults of the pipeline file stand here and in `jobs.contract.spec`, nowhere else.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import ConfigDict, Field, TypeAdapter

from jobs.contract.command import Command
from jobs.contract.evaluation import Evaluate
from jobs.contract.spec import Model, Train
from jobs.contract.units import Duration, Size, format_duration
from launcher.pipeline.document import dump
from launcher.pipeline.nodes import Nodes, bounds
from launcher.pipeline.requeue import OF_THE_RUN, USUAL, Requeue

StageKind = Literal["reuse", "train", "evaluate", "command"]
Positive = Annotated[int, Field(ge=1, strict=True)]


@dataclass(frozen=True, kw_only=True)
class ClusterSettings:
    """What a stage asks of the cluster; the keys of `cluster` in the pipeline file.

    Attributes:
        backend: `slurm`, `local` (this machine), or `auto`: slurm where it answers.
        partition: Slurm's partition; without it the default one.
        account: Who pays.
        qos: Quality of service.
        constraint: Features the nodes must have.
        exclude: Nodes not to use.
        reservation: A reservation to use.
        nodes: Nodes of the job, or from how many to how many: with `2-4` it starts as soon as
            Slurm has two for it, on as many as are free up to four, each time anew. What is
            expected of a stage is meant for the most.
        gpus_per_node: GPUs of each node; 0: none are asked for.
        tasks_per_node: Ranks on each node. Default: one per GPU, one without GPUs.
        cpus_per_gpu: CPU cores per GPU.
        cpus_per_task: CPU cores per rank.
        mem_gb: Memory of each node, key `mem`.
        time_limit_s: Slurm's time limit of one attempt, key `time_limit`.
        signal_lead_s: How long before the time limit the job is told to save, key
            `signal_lead`.
        setup: Shell lines that run before the job.
        python: Python on the nodes. Default: the one that runs the launcher.
        sbatch: Further options of sbatch, long names, given as they are.
    """

    __pydantic_config__: ClassVar = ConfigDict(extra="forbid")

    backend: Literal["slurm", "local", "auto"] = "auto"
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    exclude: str | None = None
    reservation: str | None = None
    nodes: Nodes = 1
    gpus_per_node: Annotated[int, Field(ge=0, strict=True)] = 0
    tasks_per_node: Positive | None = None
    cpus_per_gpu: Positive | None = None
    cpus_per_task: Positive | None = None
    mem_gb: Annotated[Size | None, Field(alias="mem")] = None
    time_limit_s: Annotated[Duration, Field(alias="time_limit", ge=1)]
    signal_lead_s: Annotated[Duration, Field(alias="signal_lead", ge=1)] = 120
    setup: tuple[str, ...] = ()
    python: str | None = None
    sbatch: dict[str, str | int | bool] = field(default_factory=dict)

    @property
    def tasks(self) -> int:
        """Ranks on each node."""
        return self.tasks_per_node or max(1, self.gpus_per_node)

    @property
    def cpus_of_task(self) -> int | None:
        """CPU cores of a rank; None: Slurm's default."""
        if self.cpus_per_task is not None or self.cpus_per_gpu is None:
            return self.cpus_per_task
        return max(1, self.cpus_per_gpu * self.gpus_per_node // self.tasks)

    @property
    def min_nodes(self) -> int:
        """The fewest nodes that the job runs on."""
        return bounds(self.nodes)[0]

    @property
    def max_nodes(self) -> int:
        """The nodes that the job gets where there are enough."""
        return bounds(self.nodes)[1]

    @property
    def is_elastic(self) -> bool:
        """Whether the job may get fewer nodes than the most."""
        return self.min_nodes < self.max_nodes

    @property
    def world_size(self) -> int:
        """Ranks of the job when it has all of its nodes."""
        return self.max_nodes * self.tasks


NO_JOB: Final = ClusterSettings(nodes=0, time_limit_s=0)
"""What a reused stage asks of the cluster."""
NO_MODEL: Final = Model(preset="")
"""The model of a pipeline whose stages are other programs."""


@dataclass(frozen=True)
class Reuse:
    """A weights file that stands for a stage's final checkpoint.

    Attributes:
        path: The file.
        sha256: What its digest must be, hexadecimal; None: whatever it is.
    """

    __pydantic_config__: ClassVar = ConfigDict(extra="forbid")

    path: Path
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One node of the pipeline; exactly one of `reuse`, `train`, `evaluate`, `command` is given.

    Attributes:
        name: Its name.
        kind: Which of the four is given.
        needs: Its parents, which must be done first.
        cluster: What its job asks for; `NO_JOB` when reused.
        reuse: Weights instead of a job.
        train: What to train.
        evaluate: What to evaluate.
        command: What program to run.
        expect_epoch_s: Expected time of one epoch, until the ledger knows better.
        expect_s: Expected time in all, likewise.
        init_from: The parent whose final weights it starts from. Default: the first of
            `needs` that has weights.
        resumable: A stopped attempt can be continued.
        requeue: When to give it up: the pipeline's settings with its own over them.
        line: Where the pipeline file defines it; 0: it was given on the command line.
    """

    name: str
    kind: StageKind
    needs: tuple[str, ...] = ()
    cluster: ClusterSettings
    reuse: Reuse | None = None
    train: Train | None = None
    evaluate: Evaluate | None = None
    command: Command | None = None
    expect_epoch_s: float | None = None
    expect_s: float | None = None
    init_from: str | None = None
    resumable: bool = True
    requeue: Requeue = USUAL
    line: int = field(default=0, compare=False)


@dataclass(frozen=True, kw_only=True)
class Pipeline:
    """A checked pipeline file, all paths absolute.

    Attributes:
        name: Its name; run ids begin with it.
        path: The file it came from.
        runs: Folder that holds the runs.
        model: Which model the stages train; `NO_MODEL` where they are other programs.
        requeue: When to give up.
        notify: Environment variables that hold the URLs to send news to.
        stages: In the order of the file, which is an order of execution: no stage needs
            a later one.
    """

    name: str
    path: Path = field(compare=False)
    runs: Path
    model: Model
    requeue: Requeue = USUAL
    notify: tuple[str, ...] = ()
    stages: tuple[Stage, ...]

    def stage(self, name: str) -> Stage:
        """The stage called `name`; raises KeyError where there is none."""
        for stage in self.stages:
            if stage.name == name:
                return stage
        raise KeyError(name)

    def resolved_yaml(self) -> str:
        """A pipeline file with every value and absolute paths, which loads to an equal pipeline."""
        model = self.model.model_dump(mode="json", exclude_none=True)
        return dump(
            {
                "name": self.name,
                "runs": str(self.runs),
                **({} if self.model == NO_MODEL else {"model": model}),
                "requeue": _values(self.requeue),
                "notify": list(self.notify),
                "stages": {stage.name: _stage_values(stage) for stage in self.stages},
            }
        )


def _stage_values(stage: Stage) -> dict[str, Any]:
    """The keys of a stage in the pipeline file."""
    if stage.reuse is not None:
        return {"reuse": _values(stage.reuse)}
    values: dict[str, Any] = {"needs": list(stage.needs), "resumable": stage.resumable}
    if stage.init_from is not None:
        values["init_from"] = stage.init_from
    for key, expected_s in (("epoch", stage.expect_epoch_s), ("total", stage.expect_s)):
        if expected_s is not None:
            values["expect"] = {key: format_duration(expected_s)}
    parts = {"train": stage.train, "evaluate": stage.evaluate, "command": stage.command}
    for key, part in parts.items():
        if part is not None:
            values[key] = part.model_dump(mode="json", exclude_none=True)
    requeue = {key: v for key, v in _values(stage.requeue).items() if key not in OF_THE_RUN}
    return values | {"cluster": _values(stage.cluster), "requeue": requeue}


def _values(part: Any) -> dict[str, Any]:  # noqa: ANN401 - any annotated dataclass
    """The keys of an annotated dataclass as the pipeline file writes them."""
    adapter = TypeAdapter(type(part))
    values: dict[str, Any] = adapter.dump_python(
        part, mode="json", by_alias=True, exclude_none=True
    )
    return values
