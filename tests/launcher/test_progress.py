"""Progress on stderr: bars on a terminal, lines now and then elsewhere."""

from dataclasses import replace
from io import StringIO

from rich.console import Console

from db.states import StageState
from launcher.show.console import Screen
from launcher.show.progress import line, open_progress
from launcher.view import StageView

RUNNING = StageView(
    run="demo-1",
    stage="second",
    state=StageState.RUNNING,
    slurm_id="7",
    attempts=1,
    nodes=1,
    min_nodes=1,
    max_nodes=1,
    step=60,
    total_steps=100,
    steps_lost=0,
    wall_clock_s=120.0,
    queued_s=1.0,
    gpu_hours=0.0,
    checkpoint=None,
    cause=None,
    eta_s=80.0,
    epoch=0,
    loss=0.5,
    step_s=2.0,
)


def screen(*, terminal: bool, quiet: bool = False) -> tuple[Screen, StringIO]:
    """A screen whose stderr can be read."""
    err = StringIO()
    console = Console(file=err, force_terminal=terminal, width=120)
    return Screen(out=Console(file=StringIO()), err=console, quiet=quiet), err


def test_line_tells_where_a_running_stage_stands() -> None:
    assert line(RUNNING) == (
        "second: running, epoch 1, step 60/100, loss 0.5, 0.5 steps/s, 1:20 left"
    )


def test_line_tells_why_a_stage_does_not_run() -> None:
    failed = replace(RUNNING, state=StageState.FAILED, cause="failure: NaN")

    assert line(failed) == "second: failed, failure: NaN"


def test_lines_come_at_most_every_ten_seconds_while_a_stage_moves() -> None:
    where, err = screen(terminal=False)

    with open_progress(where) as progress:
        for second in range(21):
            progress.show([replace(RUNNING, step=second)], at=1000.0 + second)

    steps = [said.split("step ")[1].split("/")[0] for said in err.getvalue().splitlines()]
    assert steps == ["0", "10", "20"]


def test_change_of_state_is_told_at_once() -> None:
    where, err = screen(terminal=False)

    with open_progress(where) as progress:
        progress.show([RUNNING], at=1000.0)
        progress.show([replace(RUNNING, state=StageState.DONE)], at=1000.1)

    assert err.getvalue().splitlines()[1:] == ["second: done"]


def test_terminal_gets_a_bar() -> None:
    where, err = screen(terminal=True)

    with open_progress(where) as progress:
        progress.show([RUNNING], at=1000.0)

    assert "step 60/100" in err.getvalue()
    assert "━" in err.getvalue()


def test_quiet_says_nothing() -> None:
    where, err = screen(terminal=True, quiet=True)

    with open_progress(where) as progress:
        progress.show([RUNNING], at=1000.0)

    assert err.getvalue() == ""
