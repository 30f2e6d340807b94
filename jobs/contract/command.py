"""A stage that is any program: the keys of `command`.

Notable: the program needs no change. What it should know it can take from its command line
(`{resume}` and other names, see `jobs.contract.placeholders`) or from variables of its
environment: LAUNCHER_RUN_FOLDER, LAUNCHER_STAGE_FOLDER, LAUNCHER_CHECKPOINTS (a folder of the
stage for its own checkpoints), LAUNCHER_RESUME (path of the newest complete checkpoint; unset
where there is none), LAUNCHER_ATTEMPT, LAUNCHER_FENCE, LAUNCHER_STOP_FILE (appears when it
should save and end), MASTER_ADDR and MASTER_PORT; with layout `task` RANK, WORLD_SIZE and
LOCAL_RANK, with layout `node` NNODES and NODE_RANK.
"""

import re
from itertools import pairwise
from pathlib import Path, PurePath
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from jobs.contract.placeholders import fault_in, names_in
from jobs.contract.strict import Strict

_STARTERS: Final = ("accelerate", "deepspeed", "torchrun")
"""Programs that start a node's processes themselves, and as modules:"""
_STARTING_MODULES: Final = (
    *("torch.distributed.run", "torch.distributed.launch"),
    *("accelerate.commands.launch", "deepspeed.launcher.runner"),
)
HUGGING_FACE: Final = (
    r"^\s*\d+%\|.*\|\s*(?P<step>\d+)/(?P<total>\d+) \[",
    r"^\{'loss': '?(?P<loss>[^',]+)'?,.*'learning_rate': '?(?P<lr>[^',]+)'?,"
    r" 'epoch': '?(?P<epoch>[^'},]+)",
)
"""What `progress: huggingface` stands for: the Trainer's progress bar and its log lines."""
FIGURES: Final = ("step", "total", "loss", "epoch", "lr")
"""Groups that a pattern of `progress` may name."""


def _as_text(value: object) -> object:
    """Numbers as people write them on a command line."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return str(value) if is_number else value


def _one_or_more(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _with_names(text: str) -> str:
    """A text that is filled in at every start."""
    _only_at(text, "resume", "when_resuming")
    return text


def _argument(text: str) -> str:
    """An item of `argv`."""
    return text if text == "{when_resuming}" else _with_names(text)


def _resuming_argument(text: str) -> str:
    """An item of `when_resuming`."""
    _only_at(text, "when_resuming")
    return text


def _only_at(text: str, *elsewhere: str) -> None:
    """Raises ValueError for an unknown name in a text, and for one that belongs elsewhere."""
    if fault := fault_in(text):
        raise ValueError(fault)
    for name, _ in names_in(text):
        if name in elsewhere:
            place = "an item of argv alone" if name == "when_resuming" else "when_resuming"
            raise ValueError(f"{{{name}}} can only be {place}; move it there")


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"{text!r} is no regular expression: {error}; correct it") from None
    return text


_Text = Annotated[str, BeforeValidator(_as_text)]
Text = Annotated[_Text, AfterValidator(_with_names)]
Argument = Annotated[_Text, AfterValidator(_argument)]
ResumingArgument = Annotated[_Text, AfterValidator(_resuming_argument)]
Variable = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
Words = Annotated[tuple[str, ...], BeforeValidator(_one_or_more)]


class Stop(Strict):
    """How the program is told to save and end.

    The stop file appears in any case. All its processes are killed shortly before the time is
    over; then the newest complete checkpoint is what counts.

    Attributes:
        signal: Sent to it, `none`: the stop file must do.
        to: `programs`: each of its processes but mere forks of another, such as data loader
            workers, which would die of the signal while the program still needs them to save.
            `all`: those too. `first`: only the process that was started.
        grace_s: How long it has; not more than the partition's GraceTime. Before the time limit
            it has `signal_lead`, if that is longer.
    """

    signal: Literal["SIGTERM", "SIGINT", "SIGHUP", "SIGUSR1", "SIGUSR2", "none"] = "SIGTERM"
    to: Literal["programs", "all", "first"] = "programs"
    grace_s: Annotated[float, Field(gt=0)] = 30.0


class Watched(Strict):
    """The program's own checkpoints; by default those of Hugging Face's Trainer.

    Attributes:
        glob: Files or folders, one a checkpoint; starts from `cwd`.
        step_regex: Its first group is the step; the last match in the path counts.
        complete_when: Names that a checkpoint folder must hold; `*` allowed. Without any a
            checkpoint is complete when it no longer changes. Default: with the default `glob`
            what the Trainer writes last, else nothing.
        incomplete_when: Names that it must not hold. Default: likewise.
        digest: Record the files' digests (read in the background), not only their sizes.
        adopt: Checkpoints that are there before the first attempt count as the stage's own.
        every_s: Seconds between two looks.
        watch: There are some; `checkpoints: none` is short for `false`. The stage is done then
            when the program ends well, and starts over after a stop.
    """

    glob: Text = "{checkpoints}/checkpoint-*"
    step_regex: str = r"(\d+)"
    complete_when: Words = ("trainer_state.json",)
    incomplete_when: Words = ("checkpoint-is-incomplete.txt",)
    digest: bool = True
    adopt: bool = False
    every_s: Annotated[float, Field(gt=0)] = 5.0
    watch: bool = True

    @field_validator("step_regex")
    @classmethod
    def _has_a_group(cls, text: str) -> str:
        if re.compile(_pattern(text)).groups < 1:
            raise ValueError(rf"{text!r} has no group for the step; write such as checkpoint-(\d+)")
        return text

    @model_validator(mode="before")
    @classmethod
    def _asks_for_nothing_of_others(cls, value: Any) -> Any:  # noqa: ANN401 - whatever is given
        """Other programs' checkpoints hold other files than the Trainer's."""
        if isinstance(value, dict) and "glob" in value:
            return {"complete_when": [], "incomplete_when": []} | value
        return value


def _as_watched(value: object) -> object:
    return {"watch": False} if value == "none" else value


class Progress(Strict):
    """What the program's output tells of its steps.

    Attributes:
        match: Regular expressions, searched in each line (a progress bar's too) of the first
            process's output; groups by name: step, total, loss, epoch, lr. `huggingface` alone
            stands for those of the Trainer. A line that differs from the one before counts as a
            sign of life, also where its step is the same.
        total_steps: Steps in all, if they are known before.
        every_s: Seconds between two `step` events.
    """

    match: Words = ()
    total_steps: Annotated[int, Field(ge=1)] | None = None
    every_s: Annotated[float, Field(gt=0)] = 10.0

    @property
    def patterns(self) -> tuple[str, ...]:
        """The regular expressions."""
        return HUGGING_FACE if self.match == ("huggingface",) else self.match

    @field_validator("match")
    @classmethod
    def _tells_steps(cls, match: tuple[str, ...]) -> tuple[str, ...]:
        patterns = HUGGING_FACE if match == ("huggingface",) else match
        groups = [set(re.compile(_pattern(text)).groupindex) for text in patterns]
        if unknown := sorted(set().union(*groups) - set(FIGURES)):
            raise ValueError(f"no figure is called '{unknown[0]}'; known: {', '.join(FIGURES)}")
        if match and not any("step" in names for names in groups):
            raise ValueError(r"no group is called step; write such as step (?P<step>\d+)")
        return match


def _as_progress(value: object) -> object:
    return {"match": value} if isinstance(value, str | list) else value


def _as_stop(value: object) -> object:
    return {"signal": value} if isinstance(value, str) else value


class Command(Strict):
    """Any program as a stage; a list alone is its `argv`.

    Its ranks may end hours apart. Once one has ended well, another that says nothing for half an
    hour hangs, and is ended.

    Attributes:
        argv: The program and its arguments; no shell. Names in braces are filled in.
        when_resuming: Arguments that are added when there is a checkpoint to go on from, at
            the item `{when_resuming}`, else at the end.
        layout: `task`: one process per rank, one rank per GPU as in the other stages. `node`:
            one process per node, with all its GPUs. Default: `node` for torchrun, accelerate
            and deepspeed, which start the processes of a node, else `task`.
        cwd: Where it runs. Default: the pipeline file's folder.
        env: Variables of its environment, put over those of the job.
        stop: How it is told to save and end; a signal's name alone is its `signal`.
        checkpoints: What it saves; `none`: nothing.
        done: What must be there when it has ended well (a glob from `cwd`): the stage's final
            checkpoint. Default: the newest complete checkpoint.
        progress: What its output tells of its steps.
    """

    argv: Annotated[tuple[Argument, ...], Field(min_length=1)]
    when_resuming: Annotated[tuple[ResumingArgument, ...], BeforeValidator(_one_or_more)] = ()
    layout: Literal["task", "node"] | None = None
    cwd: Path = Path()
    env: dict[Variable, Text] = Field(default_factory=dict)
    stop: Annotated[Stop, BeforeValidator(_as_stop)] = Stop()
    checkpoints: Annotated[Watched, BeforeValidator(_as_watched)] = Watched()
    done: Text | None = None
    progress: Annotated[Progress, BeforeValidator(_as_progress)] = Progress()

    @property
    def per_node(self) -> bool:
        """Whether one process a node is started."""
        modules = [word for before, word in pairwise(self.argv) if before == "-m"]
        starts_processes = PurePath(self.argv[0]).name in _STARTERS or any(
            module in _STARTING_MODULES for module in modules
        )
        return self.layout == "node" or (self.layout is None and starts_processes)

    @property
    def title(self) -> str:
        """What it is called in a table: the script, else the program."""
        scripts = (word for word in self.argv if word.endswith((".py", ".sh")))
        return PurePath(next(scripts, self.argv[0])).name

    @property
    def texts(self) -> tuple[str, ...]:
        """All texts with names to fill in."""
        done = () if self.done is None else (self.done,)
        return (
            *self.argv,
            *self.when_resuming,
            *self.env.values(),
            self.checkpoints.glob,
            *done,
        )

    @property
    def parents(self) -> set[str]:
        """The stages whose final checkpoints it is given."""
        return {
            argument
            for text in self.texts
            for name, argument in names_in(text)
            if name == "parent" and argument is not None
        }
