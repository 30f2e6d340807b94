"""Sends a one-task job to a node of each partition, to see what only a node can tell.

srun brings the answer back over the network, so that a folder which the node does not see is no
reason to be silent. A job that does not start in time is given up by srun (`--immediate`); by its
name it is cancelled in any case.
"""

import json
import os
import secrets
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from launcher.cluster.base import NoAnswer
from launcher.cluster.environment import changed
from launcher.cluster.slurm import ask, without_job
from launcher.doctor.facts import PACKAGES, own_python, script
from launcher.doctor.request import Request, request_of
from launcher.identity import user_name
from launcher.pipeline import ClusterSettings

START_S: Final = 30
_RUN_S: Final = 90
_JOB_MIN: Final = 3


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What a node told.

    Attributes:
        host: The node.
        clock_s: Seconds that its clock is away from this one's, at least.
        versions: By package, `python` for itself.
        sees: It sees the folder of runs.
        writes: It can write there, and that was seen here.
        gpus: GPUs that the job sees.
        gpus_by: Who says so; empty: nobody.
        names: By host name, whether it resolves there.
    """

    host: str
    clock_s: float
    versions: dict[str, str]
    sees: bool
    writes: bool
    gpus: int
    gpus_by: str
    names: dict[str, bool]


def probe(
    settings: ClusterSettings, runs: Path, names: Sequence[str], *, start_s: int = START_S
) -> Seen | NoAnswer:
    """Runs a job of one task for a stage's settings; asks for one node, with its GPUs.

    Args:
        settings: Partition, account, Python, set-up, GPUs.
        runs: The folder of runs, or the nearest above it that exists.
        names: Host names to resolve there.
        start_s: How long it may wait for its node.
    """
    token = f"doctor-{secrets.token_hex(4)}"
    folder = runs / f".{token}"
    try:
        folder.mkdir()
        (folder / token).write_text(token)
    except OSError as error:
        return NoAnswer(f"{folder}: {error.strerror}")
    asked = {"packages": PACKAGES, "folder": str(folder), "token": token, "names": list(names)}
    started = time.time()
    is_over = False
    try:
        with changed(without_job()):
            said = ask(_command(settings, token, asked, start_s), timeout_s=start_s + _RUN_S)
        is_over = not isinstance(said, NoAnswer)
        ended = time.time()
        written = os.path.lexists(folder / f"{token}.node")
    finally:
        if not is_over:
            ask(["scancel", "-Q", "-u", user_name(), "-n", f"launcher-{token}"])
        shutil.rmtree(folder, ignore_errors=True)
    return said if isinstance(said, NoAnswer) else read(said, started, ended, is_written=written)


def _command(
    settings: ClusterSettings, token: str, asked: dict[str, Any], start_s: int
) -> list[str]:
    request = request_of(settings)
    python = settings.python or own_python()
    lines = "\n".join([*settings.setup, f'exec {python} "$@"'])
    return [
        *("srun", "-Q", "-i", "none", "-N", "1", "-n", "1", "-t", str(_JOB_MIN)),
        *("-J", f"launcher-{token}", f"--immediate={start_s}"),
        *_options(request),
        *("bash", "-c", lines, "bash", "-c", script(), json.dumps(asked)),
    ]


def _options(request: Request) -> list[str]:
    given = {
        "partition": ",".join(name for name in request.partitions if name),
        "account": request.account,
        "qos": request.qos,
        "constraint": request.constraint,
        "reservation": request.reservation,
        "gpus-per-node": str(request.gpus) if request.gpus else None,
    }
    return [f"--{name}={value}" for name, value in given.items() if value]


def read(said: str, started: float, ended: float, *, is_written: bool) -> Seen | NoAnswer:
    """What a node printed, after whatever its set-up printed.

    Args:
        said: All of it.
        started: When it was asked, Unix seconds by this clock.
        ended: When its answer was there.
        is_written: What it wrote was seen here.
    """
    try:
        found = json.loads(said.strip().splitlines()[-1])
        return Seen(
            host=found["host"],
            clock_s=max(0.0, started - found["at"], found["at"] - ended),
            versions=found["versions"],
            sees=found["seen"],
            writes=found["writable"] and is_written,
            gpus=found["gpus"],
            gpus_by=found["gpus_by"],
            names=found["names"],
        )
    except (ValueError, KeyError, TypeError, IndexError):
        return NoAnswer(f"the node printed no answer but: {said.strip()[-200:]!r}")
