"""Puts a job that has saved back into Slurm's queue, from inside and under its own id.

Only while Slurm says that it is RUNNING. `scontrol requeue` takes a job that is ending as
well, and so undoes a user's `scancel`. What squeue said at the moment of the signal, and what
`scontrol requeue` then did, on Slurm 22.05.8, 4 nodes, GraceTime 10 s:

| the signal came from                      | squeue     | scontrol requeue            |
|-------------------------------------------|------------|-----------------------------|
| preemption, PreemptMode=REQUEUE           | RUNNING    | same id, attempt REQUEUED   |
| preemption, PreemptMode=CANCEL            | RUNNING    | same id, attempt REQUEUED   |
| `--signal=USR2@30` before the time limit  | RUNNING    | same id, attempt REQUEUED   |
| `scancel --signal=TERM`                   | RUNNING    | same id, attempt REQUEUED   |
| the end of the grace time                 | COMPLETING | not needed or not wanted    |
| the time limit itself                     | COMPLETING | (Reason=TimeLimit)          |
| `scontrol requeue` by hand                | COMPLETING | not needed                  |
| `scancel`                                 | COMPLETING | same id: undoes the cancel! |

Each answer took 10 ms. With slurmctld down both programs need 9 to 18 s to say so.
"""

import subprocess
from dataclasses import dataclass
from typing import Any, Literal

RUNNING = "RUNNING"
"""The one of Slurm's state words that a job knows; the launcher's table has them all."""
ASK_TIMEOUT_S = 5.0
ACT_TIMEOUT_S = 10.0
"""Both must fit into what is left of a grace time."""


@dataclass(frozen=True)
class Answer:
    """What came of it, as an event.

    Attributes:
        kind: `requeued`; `not_requeued`: the job is being ended; `requeue_failed`.
        fields: What the event says besides, see `jobs.contract.events`.
    """

    kind: Literal["requeued", "not_requeued", "requeue_failed"]
    fields: dict[str, str]

    def __str__(self) -> str:
        """A line for the log."""
        if self.kind == "requeued":
            return "back in the queue under the same id"
        if self.kind == "not_requeued":
            return f"not put back into the queue: Slurm says that it is {self.fields['word']}"
        return f"cannot put itself back into the queue: {self.fields['message']}"


class _NoAnswerError(Exception):
    """A program of Slurm failed; the text has its words."""


def requeue(
    slurm_id: str, *, ask_timeout_s: float = ASK_TIMEOUT_S, act_timeout_s: float = ACT_TIMEOUT_S
) -> Answer:
    """Asks Slurm to run this job again. All of its ranks must have saved: they are killed.

    Raises nothing: where it fails, the launcher's pass reads the `exit` event and does it.

    Args:
        slurm_id: The job.
        ask_timeout_s: How long to wait for squeue.
        act_timeout_s: How long to wait for scontrol.
    """
    try:
        word = _run(ask_timeout_s, "squeue", "-h", "-t", "all", "-j", slurm_id, "-o", "%T")
        if word != RUNNING:
            return Answer("not_requeued", {"word": word})
        _run(act_timeout_s, "scontrol", "requeue", slurm_id)
    except _NoAnswerError as error:
        return Answer("requeue_failed", {"message": str(error)})
    return Answer("requeued", {})


def _run(timeout_s: float, *command: str) -> str:
    program = command[0]
    try:
        done: subprocess.CompletedProcess[Any] = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired as error:
        raise _NoAnswerError(f"{program}: no answer within {timeout_s:g} s") from error
    except OSError as error:
        raise _NoAnswerError(f"{program}: {error.strerror}") from error
    if done.returncode != 0:
        said = " ".join(done.stderr.split()) or f"exit code {done.returncode}"
        raise _NoAnswerError(f"{program}: {said}")
    return str(done.stdout).strip()
