"""A foreign program as a stage: done, failed, resumed, refused."""

import pytest

from jobs.contract.files import write_atomic
from jobs.contract.manifest import done_marker, newest_valid
from tests.jobs.programs import command_spec, counting, output
from tests.jobs.running import run_stage, started

SLOW = ("--step_s", "0.1", "--steps", "1000")


def recorded(run):
    """The steps of the stage's valid checkpoints by their folders."""
    return sorted(path.name for path in run.stage("s").checkpoints.glob("step-*"))


def test_program_that_ends_well_leaves_a_final_manifest_of_its_newest_checkpoint(run, tmp_path):
    attempt = run_stage(run, command_spec("s", counting(tmp_path)), ranks=1)

    folder, manifest = done_marker(run.stage("s").checkpoints, digests=True)
    source = output(run) / "checkpoint-6"
    assert (attempt.codes, attempt.story.outcome) == ([0], "done")
    assert (folder.name, manifest.step) == ("step-00000006-final", 6)
    assert manifest.source == str(source)
    assert [file.name for file in manifest.files] == [
        str(source / "trainer_state.json"),
        str(source / "weights.bin"),
    ]
    assert all(file.sha256 for file in manifest.files)


def test_steps_and_checkpoints_are_told_as_events(run, tmp_path):
    command = counting(tmp_path, "--step_s", "0.2", "--steps", "8")
    command["progress"] |= {"every_s": 0.3}

    attempt = run_stage(run, command_spec("s", command), ranks=1)

    (start,) = attempt.events("started")
    steps = [event.fields["step"] for event in attempt.events("step")]
    saved = [event.fields["step"] for event in attempt.events("checkpoint")]
    assert start.fields == {"resume_step": 0, "total_steps": 8}
    assert (steps[-1], steps) == (8, sorted(steps))
    assert len(steps) > 2
    assert (sorted(saved), saved[-1]) == ([2, 4, 6, 8, 8], 8)
    assert attempt.story.loss == 0.125
    assert 0.05 < attempt.story.step_s < 2


def test_program_that_fails_is_told_with_its_own_error_and_step(run, tmp_path):
    attempt = run_stage(run, command_spec("s", counting(tmp_path, "--fail_at", "3")), ranks=1)

    story = attempt.story
    assert (attempt.codes, story.outcome, story.error, story.last_step) == (
        [1],
        "failed",
        "ValueError",
        3,
    )
    assert story.message == "ValueError: no sense at step 3 (count.py ended with 1)"
    assert "Traceback" in attempt.log(0)


def test_failed_program_goes_on_from_its_newest_complete_checkpoint(run, tmp_path):
    run_stage(run, command_spec("s", counting(tmp_path, "--fail_at", "5")), ranks=1)

    again = run_stage(run, command_spec("s", counting(tmp_path)), ranks=1)

    assert "from 4\n" in again.log(0)
    assert (again.story.first_step, again.story.outcome) == (4, "done")
    assert recorded(run) == [f"step-0000000{name}" for name in ("2", "4", "6", "6-final")]


@pytest.mark.parametrize(
    ("code", "outcome", "step"), [(93, "refused", 6), (75, "stopped", 6), (3, "failed", 6)]
)
def test_exit_code_of_the_program_says_how_it_ended(run, tmp_path, code, outcome, step):
    attempt = run_stage(run, command_spec("s", counting(tmp_path, "--code", str(code))), ranks=1)

    ends_with = {"refused": 93, "stopped": 75, "failed": 1}[outcome]
    assert (attempt.codes, attempt.story.outcome) == ([ends_with], outcome)
    assert attempt.story.last_step == step
    assert done_marker(run.stage("s").checkpoints, digests=False) is None


def test_program_that_saved_nothing_is_not_done(run, tmp_path):
    attempt = run_stage(run, command_spec("s", counting(tmp_path, "--save_every", "0")), ranks=1)

    assert (attempt.codes, attempt.story.outcome) == ([1], "failed")
    assert attempt.story.fault == "deterministic"
    assert attempt.story.message == (
        "NothingSavedError: count.py ended well, but has saved no checkpoint "
        "{checkpoints}/checkpoint-* that holds trainer_state.json; correct command.checkpoints, "
        "or write `checkpoints: none` if it saves none"
    )


def test_program_without_checkpoints_is_done_when_it_ends_well(run, tmp_path):
    command = counting(tmp_path, "--save_every", "0", checkpoints="none")

    attempt = run_stage(run, command_spec("s", command), ranks=1)

    _, manifest = done_marker(run.stage("s").checkpoints, digests=True)
    assert (attempt.codes, manifest.step, manifest.files) == ([0], 6, ())


def test_done_names_the_files_of_the_final_manifest(run, tmp_path):
    command = counting(tmp_path, done="{checkpoints}/checkpoint-4/*.bin")

    run_stage(run, command_spec("s", command), ranks=1)

    _, manifest = done_marker(run.stage("s").checkpoints, digests=True)
    weights = str(output(run) / "checkpoint-4" / "weights.bin")
    assert [file.name for file in manifest.files] == [weights]
    assert (manifest.source, manifest.step) == (weights, 6)


def test_program_that_ends_well_without_what_done_names_has_failed(run, tmp_path):
    command = counting(tmp_path, done="{checkpoints}/model.safetensors")

    attempt = run_stage(run, command_spec("s", command), ranks=1)

    assert attempt.story.message == (
        "NothingSavedError: count.py ended well, but nothing is {checkpoints}/model.safetensors"
    )


def test_checkpoints_that_the_program_removes_are_forgotten(run, tmp_path):
    command = counting(tmp_path, "--keep", "1", "--step_s", "0.2")

    run_stage(run, command_spec("s", command), ranks=1)

    assert [path.name for path in output(run).iterdir()] == ["checkpoint-6"]
    assert recorded(run) == ["step-00000006", "step-00000006-final"]


def test_files_of_the_program_are_left_as_they_are(run, tmp_path):
    run_stage(run, command_spec("s", counting(tmp_path)), ranks=1)

    names = {path.relative_to(output(run)).as_posix() for path in output(run).rglob("*.*")}
    assert names == {
        f"checkpoint-{step}/{name}"
        for step in (2, 4, 6)
        for name in ("trainer_state.json", "weights.bin")
    }


def test_stage_that_is_done_does_not_run_again(run, tmp_path):
    run_stage(run, command_spec("s", counting(tmp_path)), ranks=1)

    again = run_stage(run, command_spec("s", counting(tmp_path)), ranks=1)

    assert (again.codes, again.story.outcome) == ([0], "done")
    assert "from" not in again.log(0)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (
            {"argv": ["no-such-program"]},
            "no-such-program: no such program here; correct command.argv, or put its folder on "
            "the PATH by cluster.setup",
        ),
        ({"cwd": "/no/such"}, "/no/such: no such folder here; correct command.cwd"),
    ],
)
def test_program_that_can_never_start_is_refused(run, tmp_path, keys, message):
    attempt = run_stage(run, command_spec("s", counting(tmp_path) | keys), ranks=2)

    assert (attempt.codes, attempt.story.outcome) == ([93, 93], "refused")
    assert attempt.story.message == message


def test_zombie_is_killed_and_records_nothing(run, tmp_path):
    spec = command_spec("s", counting(tmp_path, *SLOW))

    with started(run, spec, ranks=1, fence=1) as attempt:
        attempt.wait_for("checkpoint", 2)
        write_atomic(run.stage("s").fence, "2")
        attempt.wait()

    assert (attempt.codes, attempt.story.outcome, attempt.story.fault) == (
        [93],
        "refused",
        "fenced",
    )
    newest = newest_valid(run.stage("s").checkpoints, digests=False)[1].step
    assert newest == attempt.story.saved_step


def test_rank_that_fails_is_named_and_ends_the_others(run, tmp_path):
    script = tmp_path / "ranks.py"
    script.write_text(
        "import os, time\nif os.environ['RANK'] == '1': raise KeyError('lost')\ntime.sleep(600)\n"
    )
    command = {"argv": ["{python}", str(script)], "checkpoints": "none", "cwd": str(tmp_path)}

    attempt = run_stage(run, command_spec("s", command), ranks=2)

    assert (attempt.codes, attempt.story.outcome, attempt.story.error) == (
        [1, 1],
        "failed",
        "KeyError",
    )
    assert attempt.story.message == "rank 1: KeyError: 'lost' (ranks.py ended with 1)"
