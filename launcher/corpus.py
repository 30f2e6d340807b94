"""What a pipeline's annotation files hold, and what is wrong with them.

The files are read by `jobs.data.check`, a process for each set, with the Python of its stage.
"""

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobs.contract.spec import DataSet
from launcher.errors import LauncherError
from launcher.pipeline import Pipeline, Stage
from launcher.snapshot import find_packages


@dataclass(frozen=True)
class WantedSet:
    """A set that is to be checked.

    Attributes:
        stage: The stage that reads it; empty for a file of its own.
        name: What it is called.
        data: Where it lies.
        choices: It is multiple choice.
        python: The Python that reads it.
    """

    stage: str
    name: str
    data: DataSet
    choices: bool = False
    python: str | None = None


@dataclass(frozen=True)
class CheckedSet:
    """What was found.

    Attributes:
        wanted: The set.
        told: What `jobs.data.check` says: `rows`, `kind`, `media_form`, `forms`, `looked_for`,
            `decoded`, the first `faults` and `fault_count`.
    """

    wanted: WantedSet
    told: dict[str, Any]

    def as_json(self) -> dict[str, Any]:
        """The set and what was found, in one."""
        data = self.wanted.data
        own = {"stage": self.wanted.stage, "name": self.wanted.name}
        return own | {"annotations": str(data.annotations), "media": _text(data.media)} | self.told


def sets_of(pipeline: Pipeline) -> Iterator[WantedSet]:
    """All sets of a pipeline, in the order of the file: of training and of evaluation."""
    for stage in pipeline.stages:
        yield from _sets_of(stage)


def check(wanted: WantedSet, *, options: Sequence[str], timeout_s: float) -> CheckedSet:
    """Checks one set.

    Args:
        wanted: The set.
        options: Of `jobs.data.check`: `--all`, `--decode N`.
        timeout_s: After which it is given up.

    Raises:
        LauncherError: It could not be checked.
    """
    command = [*shlex.split(wanted.python or shlex.quote(sys.executable)), "-m", "jobs.data.check"]
    command += ["--set", wanted.data.model_dump_json(), "--name", wanted.name, *options]
    command += ["--choices"] if wanted.choices else []
    env = os.environ | {
        "PYTHONPATH": str(find_packages()["jobs"].parent),
        "PYTHONSAFEPATH": "1",
    }
    where = f"{wanted.data.annotations}"
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=timeout_s, check=False, env=env
        )
    except subprocess.TimeoutExpired as error:
        raise LauncherError(
            f"{where}: not checked in {timeout_s / 60:g} min; give --timeout more minutes, or look "
            "whether its disk answers"
        ) from error
    except OSError as error:
        what = f"{command[0]}: {error.strerror}; correct cluster.python"
        raise LauncherError(f"{where}: {what}") from error
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no word"])[-1]
        raise LauncherError(
            f"{where}: cannot be checked: {command[0]} says: {last}; where a module is missing, "
            "set cluster.python to a Python that has the packages for training (the extra [train])"
        )
    return CheckedSet(wanted, json.loads(done.stdout))


def shares(checked: Sequence[CheckedSet]) -> dict[str, dict[str, float]]:
    """By stage, the part that each kind of media has in the rows; batches come in these parts."""
    counts: dict[str, dict[str, int]] = {}
    for one in checked:
        if one.told["rows"]:
            kinds = counts.setdefault(one.wanted.stage, {})
            kinds[one.told["kind"]] = kinds.get(one.told["kind"], 0) + one.told["rows"]
    return {
        stage: {kind: rows / sum(kinds.values()) for kind, rows in kinds.items()}
        for stage, kinds in counts.items()
    }


def _sets_of(stage: Stage) -> Iterator[WantedSet]:
    python = stage.cluster.python
    if stage.train:
        sets = stage.train.data
        for name, data in zip(DataSet.names(sets), sets, strict=True):
            yield WantedSet(stage.name, name, data, python=python)
    if stage.evaluate:
        choices = stage.evaluate.kind == "choice"
        for task in stage.evaluate.tasks:
            data = DataSet(
                annotations=task.annotations,
                media=task.media,
                kind="frames" if task.fps else None,
                fps=task.fps,
            )
            yield WantedSet(stage.name, task.name, data, choices=choices, python=python)


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
