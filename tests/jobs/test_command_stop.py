"""A foreign program is told to save and end, and no process of it stays."""

import os
import re
import signal
import sys
import time
from pathlib import Path

import pytest

from jobs.command.guardian import descendants
from jobs.contract.manifest import newest_valid
from tests.jobs.programs import FAMILY, command_spec, counting
from tests.jobs.running import run_stage, started

ENDLESS = ("--steps", "1000", "--step_s", "0.05")
FAMILY_ROLES = ("parent", "fork", "child", "orphan")


def newest_step(run):
    return newest_valid(run.stage("s").checkpoints, digests=True)[1].step


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR2])
def test_program_that_saves_on_the_signal_loses_no_step(run, tmp_path, number):
    spec = command_spec("s", counting(tmp_path, *ENDLESS, "--on_term", "save"))

    with started(run, spec, ranks=1) as attempt:
        attempt.wait_for("checkpoint", 2)
        attempt.send(number)
        attempt.wait()

    done = re.findall(r"step (\d+)/", attempt.log(0))[-1]
    (told,) = attempt.events("signal")
    assert (attempt.codes, attempt.story.outcome) == ([75], "stopped")
    assert (attempt.story.last_step, newest_step(run)) == (int(done), int(done))
    assert told.fields == {"name": number.name}


def test_program_that_dies_of_the_signal_is_stopped_at_its_newest_checkpoint(run, tmp_path):
    spec = command_spec("s", counting(tmp_path, *ENDLESS, "--save_every", "7"))

    with started(run, spec, ranks=1) as attempt:
        attempt.wait_for("checkpoint", 7)
        attempt.send(signal.SIGTERM)
        attempt.wait()
    again = run_stage(run, command_spec("s", counting(tmp_path, "--steps", "30")), ranks=1)

    assert (attempt.codes, attempt.story.outcome) == ([75], "stopped")
    # One that was saved in the last moment is told by the attempt that goes on from it.
    assert attempt.story.saved_step <= again.story.first_step <= attempt.story.last_step
    assert again.story.first_step % 7 == 0
    assert again.story.outcome == "done"


def test_program_that_ends_well_after_the_signal_is_not_done(run, tmp_path):
    spec = command_spec("s", counting(tmp_path, *ENDLESS, "--on_term", "save", "--code", "0"))

    with started(run, spec, ranks=1) as attempt:
        attempt.wait_for("checkpoint", 2)
        attempt.send(signal.SIGTERM)
        attempt.wait()

    assert (attempt.codes, attempt.story.outcome) == ([75], "stopped")
    assert list(run.stage("s").checkpoints.glob("*-final")) == []


def test_program_that_comes_to_its_end_after_the_signal_is_done_where_that_can_be_seen(
    run, tmp_path
):
    command = counting(
        tmp_path, *ENDLESS, "--on_term", "save", done="{checkpoints}/checkpoint-*/weights.bin"
    )

    with started(run, command_spec("s", command), ranks=1) as attempt:
        attempt.wait_for("checkpoint", 2)
        attempt.send(signal.SIGTERM)
        attempt.wait()

    assert (attempt.codes, attempt.story.outcome) == ([0], "done")


def test_deaf_program_is_killed_shortly_before_its_time_is_over(run, tmp_path):
    command = counting(tmp_path, *ENDLESS, "--on_term", "deaf", stop={"grace_s": 4})

    with started(run, command_spec("s", command), ranks=1) as attempt:
        attempt.wait_for("checkpoint", 2)
        began = time.monotonic()
        attempt.send(signal.SIGTERM)
        attempt.wait()
        took_s = time.monotonic() - began

    assert (attempt.codes, attempt.story.outcome) == ([75], "stopped")
    assert 2.5 < took_s < 15
    # It saves every second step, and is killed in any of them.
    assert 0 <= attempt.story.last_step - newest_step(run) <= 2


def test_stop_file_appears_for_a_program_that_wants_no_signal(run, tmp_path):
    script = tmp_path / "polls.py"
    script.write_text(
        "import os, pathlib, time\n"
        "folder = pathlib.Path(os.environ['LAUNCHER_CHECKPOINTS'], 'checkpoint-3')\n"
        "while not os.path.exists(os.environ['LAUNCHER_STOP_FILE']): time.sleep(0.05)\n"
        "folder.mkdir()\n"
        "(folder / 'trainer_state.json').write_text('3')\n"
    )
    command = {"argv": ["{python}", str(script)], "cwd": str(tmp_path), "stop": "none"}

    with started(run, command_spec("s", command), ranks=1) as attempt:
        attempt.wait_until(lambda: attempt.events("started"))
        attempt.send(signal.SIGTERM)
        attempt.wait()

    assert (attempt.codes, attempt.story.last_step) == ([75], 3)


def test_rank_that_got_no_signal_is_told_by_the_one_that_did(run, tmp_path):
    command = counting(tmp_path, *ENDLESS, "--on_term", "save")

    with started(run, command_spec("s", command), ranks=2) as attempt:
        attempt.wait_until_listening()
        attempt.wait_for("checkpoint", 2)
        attempt.send(signal.SIGTERM, ranks=[1])
        attempt.wait()

    assert (attempt.codes, attempt.story.outcome) == ([75, 75], "stopped")


def family(folder, **keys):
    """A program of four processes, each in a file of its own name."""
    (folder / "family.py").write_text(FAMILY)
    argv = ["{python}", str(folder / "family.py"), "parent", str(folder)]
    return {"argv": argv, "cwd": str(folder), "checkpoints": "none"} | keys


def pids_of(folder):
    """The process of each member that is there already."""
    return {path.stem: int(path.read_text()) for path in folder.glob("*.pid")}


def living(pids):
    """Those that still run; who has ended and waits for its parent's notice does not."""
    return [role for role, pid in pids.items() if runs(pid)]


def runs(pid):
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return text.rpartition(")")[2].split()[0] not in "ZX"


def wait_until_gone(pids):
    ends_at = time.monotonic() + 120
    while living(pids) and time.monotonic() < ends_at:
        time.sleep(0.05)
    assert living(pids) == []


@pytest.mark.parametrize(
    ("to", "got"),
    [
        ("programs", {"parent", "child", "orphan"}),
        ("all", {"parent", "fork", "child", "orphan"}),
        ("first", {"parent"}),
    ],
)
def test_signal_reaches_the_processes_it_is_meant_for_and_none_stays(run, tmp_path, to, got):
    command = family(tmp_path, stop={"to": to, "signal": "SIGUSR1", "grace_s": 4})

    with started(run, command_spec("s", command), ranks=1) as attempt:
        attempt.wait_until(lambda: pids_of(tmp_path).keys() == set(FAMILY_ROLES))
        pids = pids_of(tmp_path)
        attempt.send(signal.SIGTERM)
        attempt.wait()

    assert {path.stem for path in tmp_path.glob("*.got")} == got
    assert {path.read_text() for path in tmp_path.glob("*.got")} == {"SIGUSR1\n"}
    assert (attempt.codes, living(pids)) == ([75], [])


def test_killed_rank_leaves_no_process_of_the_program_behind(run, tmp_path):
    command = family(tmp_path, env={"STUBBORN": "yes"})

    with started(run, command_spec("s", command), ranks=1) as attempt:
        attempt.wait_until(lambda: pids_of(tmp_path).keys() == set(FAMILY_ROLES))
        os.kill(attempt.pid(0), signal.SIGKILL)
        attempt.wait()

    assert attempt.codes == [-signal.SIGKILL]
    wait_until_gone(pids_of(tmp_path))


def test_killed_guardian_leaves_no_process_of_the_program_behind(run, tmp_path):
    command = family(tmp_path, env={"STUBBORN": "yes"})

    with started(run, command_spec("s", command), ranks=1) as attempt:
        attempt.wait_until(lambda: pids_of(tmp_path).keys() == set(FAMILY_ROLES))
        os.kill(descendants(attempt.pid(0))[0], signal.SIGKILL)
        attempt.wait()

    assert (attempt.codes, attempt.story.outcome) == ([1], "failed")
    wait_until_gone(pids_of(tmp_path))


def test_signals_that_slurm_sends_to_all_processes_do_not_end_the_program(run, tmp_path):
    command = counting(tmp_path, "--steps", "20", "--step_s", "0.1")

    with started(run, command_spec("s", command), ranks=1) as attempt:
        attempt.wait_for("checkpoint", 2)
        guardian, program = descendants(attempt.pid(0))[:2]
        for number in (signal.SIGUSR1, signal.SIGUSR2):
            os.kill(program, number)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR2):
            os.kill(guardian, number)
        attempt.wait()

    assert (attempt.codes, attempt.story.outcome) == ([0], "done")


def test_process_that_a_program_leaves_behind_at_its_end_is_ended(run, tmp_path):
    script = tmp_path / "leaves.py"
    script.write_text(
        "import subprocess, sys\n"
        "left = subprocess.Popen(['sleep', '600'], start_new_session=True)\n"
        "open('left.pid', 'w').write(str(left.pid))\n"
    )
    command = {
        "argv": [sys.executable, str(script)],
        "cwd": str(tmp_path),
        "checkpoints": "none",
        "env": {"PATH": os.environ["PATH"]},
    }

    attempt = run_stage(run, command_spec("s", command), ranks=1)

    assert attempt.codes == [0]
    assert living(pids_of(tmp_path)) == []
