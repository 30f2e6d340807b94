"""Putting the job back into the queue, with programs that stand for Slurm's.

What the real ones say is in tests/cluster/test_in_job_requeue.py.
"""

import os
from pathlib import Path

import pytest

from jobs.requeue import Answer, requeue


class Programs:
    """A folder of programs, the only one on PATH beside the shell's."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.calls = folder / "calls"

    def make(self, name: str, script: str) -> None:
        """A program that notes how it was called, and does this."""
        path = self.folder / name
        path.write_text(f'#!/bin/sh\necho "{name} $*" >> {self.calls}\n{script}\n')
        path.chmod(0o755)

    @property
    def called(self) -> list[str]:
        return self.calls.read_text().splitlines() if self.calls.exists() else []


@pytest.fixture
def programs(tmp_path, monkeypatch) -> Programs:
    made = Programs(tmp_path)
    made.make("squeue", "echo RUNNING")
    made.make("scontrol", "")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.defpath}")
    return made


def test_running_job_is_requeued_by_its_id(programs):
    answer = requeue("812")

    assert answer == Answer("requeued", {})
    assert programs.called == ["squeue -h -t all -j 812 -o %T", "scontrol requeue 812"]


@pytest.mark.parametrize("word", ["COMPLETING", "CANCELLED", "TIMEOUT", "NEW_IN_SLURM_30", ""])
def test_job_that_somebody_is_ending_is_left_alone(programs, word):
    programs.make("squeue", f"echo {word}")

    answer = requeue("812")

    assert answer == Answer("not_requeued", {"word": word})
    assert len(programs.called) == 1


def test_job_is_left_alone_where_slurm_does_not_answer(programs):
    programs.make("squeue", "echo 'slurm_load_jobs error: Unable to\ncontact' >&2; exit 1")

    answer = requeue("812")

    words = "squeue: slurm_load_jobs error: Unable to contact"
    assert answer == Answer("requeue_failed", {"message": words})
    assert len(programs.called) == 1


def test_silent_slurm_is_not_waited_for(programs):
    programs.make("squeue", "exec sleep 60")

    answer = requeue("812", ask_timeout_s=0.2)

    assert answer == Answer("requeue_failed", {"message": "squeue: no answer within 0.2 s"})


def test_refusal_is_told_in_slurms_words(programs):
    programs.make("scontrol", "echo 'Requested operation is presently disabled' >&2; exit 1")

    answer = requeue("812")

    words = "scontrol: Requested operation is presently disabled"
    assert answer == Answer("requeue_failed", {"message": words})
    assert str(answer) == f"cannot put itself back into the queue: {words}"


@pytest.mark.parametrize("name", ["squeue", "scontrol"])
def test_missing_program_is_named(programs, monkeypatch, name):
    (programs.folder / name).unlink()
    monkeypatch.setenv("PATH", str(programs.folder))

    answer = requeue("812")

    words = f"{name}: No such file or directory"
    assert answer == Answer("requeue_failed", {"message": words})
