"""The report's seconds of steps, held against those that the ledger keeps."""

import math

import pytest

from jobs.contract.events import Event
from jobs.contract.work import Work
from launcher.accounting.trace import trace_of

BEGAN, ENDED = 1000.0, 1300.0
TRAINING = [
    Event(1002.0, "begin", {"hosts": ["n1"], "world_size": 8}),
    Event(1010.0, "started", {"resume_step": 20, "total_steps": 100, "epochs": 1}),
    Event(1013.0, "first_step", {"step": 21, "start_s": 11.0}),
    Event(1013.0, "step", {"step": 21, "step_s": 3.0, "data_s": 1.0}),
    Event(1024.0, "checkpoint", {"step": 25, "save_s": 2.0, "held_s": 0.5}),
    Event(1034.0, "step", {"step": 31, "step_s": 2.0, "data_s": 0.1}),
    Event(1060.0, "skipped", {"step": 35, "why": "loss", "total": 1}),
    Event(1114.0, "step", {"step": 61, "step_s": 2.5, "data_s": 0.25}),
    Event(1120.0, "signal", {"name": "SIGUSR2"}),
    Event(1125.0, "step", {"step": 64, "step_s": 2.25, "data_s": 0.5}),
    Event(1127.0, "checkpoint", {"step": 64, "save_s": 2.5, "held_s": 2.5}),
    Event(1128.0, "exit", {"outcome": "stopped", "code": 75, "step": 64}),
]
"""Told from time to time, saved between, and stopped."""
EVALUATION = [
    Event(1002.0, "begin", {"hosts": ["n1"], "world_size": 8}),
    Event(1010.0, "started", {"resume_step": 0, "total_steps": 400, "epochs": 1}),
    Event(1020.5, "step", {"step": 40, "epoch": 0}),
    Event(1080.0, "step", {"step": 250, "epoch": 0}),
    Event(1120.25, "step", {"step": 400, "epoch": 0}),
    Event(1121.0, "metric", {"name": "average", "value": 0.5}),
    Event(1122.0, "checkpoint", {"step": 400, "save_s": 0.1, "final": True}),
    Event(1123.0, "exit", {"outcome": "done", "code": 0, "step": 400}),
]


@pytest.mark.parametrize(
    ("events", "work_s"),
    [
        (TRAINING, 2.0 + 10 * 1.9 + 30 * 2.25 + 3 * 1.75),
        (TRAINING[:5], 2.0 + 4 * 2.0),
        (EVALUATION, 1120.25 - 1010),
    ],
    ids=["training", "killed after a save", "evaluation"],
)
def test_report_and_ledger_have_the_same_seconds_of_steps(
    events: list[Event], work_s: float
) -> None:
    work = Work()
    for event in events:
        work.hear(event.at, event.kind, event.fields)

    trace = trace_of(events, BEGAN, ENDED)

    assert trace is not None
    told_s = math.fsum(each.work_s for each in trace.stretches)
    assert (work.seconds, told_s) == (pytest.approx(work_s), pytest.approx(work_s))
