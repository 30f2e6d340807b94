"""A run that was recorded on the test cluster, and the simulation of it."""

from dataclasses import replace
from pathlib import Path

import pytest

from bench.foresight import ALLOWED
from bench.replay import model_of, read_trace, signals, simulated_s, write_trace

TRACE = read_trace(Path(__file__).with_name("foresight_trace.json"))


def test_simulation_ends_when_the_recorded_run_did():
    assert len([moment for stage in TRACE.stages for moment in signals(stage)]) == 4
    assert simulated_s(TRACE) == pytest.approx(TRACE.end_s, rel=0.03)  # it was 0.3 % off
    assert ALLOWED == 0.15


def test_simulation_without_the_interruptions_is_far_from_the_recorded_run():
    calm = [replace(s, attempts=tuple(replace(a, signal_s=None) for a in s.attempts))
            for s in TRACE.stages]  # fmt: skip

    assert simulated_s(replace(TRACE, stages=tuple(calm))) < 0.85 * TRACE.end_s


def test_stage_that_is_killed_loses_what_it_had_not_saved():
    killed = TRACE.stages[1]
    saving = replace(killed, heeds=True)

    spared_s = simulated_s(TRACE) - simulated_s(replace(TRACE, stages=(TRACE.stages[0], saving)))

    lost = sum(a.last - b.first for a, b in zip(killed.attempts, killed.attempts[1:], strict=False))
    assert lost == 93 - 60 + 221 - 180
    step_s = model_of(killed, TRACE).work_s / killed.steps
    assert spared_s == pytest.approx(lost * step_s, abs=10 * step_s)


def test_trace_is_read_as_it_was_written(tmp_path: Path) -> None:
    write_trace(tmp_path / "trace.json", TRACE)

    assert read_trace(tmp_path / "trace.json") == TRACE
