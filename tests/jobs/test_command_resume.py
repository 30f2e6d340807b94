"""Which checkpoint a foreign program goes on from, and when it must not start over."""

import os

from tests.jobs.programs import command_spec, counting, output
from tests.jobs.running import run_stage


def interrupted(run, folder):
    """A stage whose program failed after it had saved at steps 2 and 4."""
    run_stage(run, command_spec("s", counting(folder, "--fail_at", "5")), ranks=1)
    return output(run)


def test_unfinished_checkpoint_is_not_resumed_from(run, tmp_path):
    (interrupted(run, tmp_path) / "checkpoint-4" / "trainer_state.json").unlink()

    again = run_stage(run, command_spec("s", counting(tmp_path)), ranks=1)

    assert (again.story.first_step, again.story.outcome) == (2, "done")
    assert again.events("bad_checkpoint") == []


def test_checkpoint_that_a_killed_attempt_did_not_record_is_resumed_from(run, tmp_path):
    interrupted(run, tmp_path)
    (run.stage("s").checkpoints / "step-00000004" / "manifest.json").unlink()

    again = run_stage(run, command_spec("s", counting(tmp_path)), ranks=1)

    assert again.story.first_step == 4


def damage(checkpoint):
    """Changes a file as a broken disk does: without a new date."""
    path = checkpoint / "weights.bin"
    stat = path.stat()
    path.write_bytes(b"x" * stat.st_size)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def test_damaged_checkpoint_is_passed_over(run, tmp_path):
    damage(interrupted(run, tmp_path) / "checkpoint-4")

    again = run_stage(run, command_spec("s", counting(tmp_path)), ranks=1)

    (bad,) = again.events("bad_checkpoint")
    assert bad.fields["path"] == str(run.stage("s").checkpoints / "step-00000004")
    assert bad.fields["reason"].endswith("the content is not what was saved (digest differs)")
    assert (again.story.first_step, again.story.outcome) == (2, "done")


def test_stage_whose_checkpoints_are_all_damaged_does_not_start_over(run, tmp_path):
    saved = interrupted(run, tmp_path)
    for step in (2, 4):
        damage(saved / f"checkpoint-{step}")

    again = run_stage(run, command_spec("s", counting(tmp_path)), ranks=1)

    assert (again.codes, again.story.outcome, again.story.fault) == ([93], "refused", "checkpoints")
    assert again.story.message.startswith("none of the 2 checkpoints is valid; the newest: ")


def test_stage_whose_checkpoints_are_all_gone_does_not_start_over(run, tmp_path):
    interrupted(run, tmp_path).rename(tmp_path / "elsewhere")

    again = run_stage(run, command_spec("s", counting(tmp_path)), ranks=1)

    assert (again.codes, again.story.fault) == ([93], "checkpoints")
    assert again.story.message.startswith("all 2 checkpoints of the stage are gone; the newest: ")


def somebody_elses(folder):
    """A checkpoint in the program's own folder, and a command that saves there too."""
    (folder / "out" / "checkpoint-4").mkdir(parents=True)
    (folder / "out" / "checkpoint-4" / "trainer_state.json").write_text("4")
    command = counting(folder, "--out", "out")
    command["checkpoints"] |= {"glob": "out/checkpoint-*", "complete_when": "trainer_state.json"}
    return command


def test_checkpoints_of_another_run_are_not_taken_for_its_own(run, tmp_path):
    attempt = run_stage(run, command_spec("s", somebody_elses(tmp_path)), ranks=1)

    assert (attempt.codes, attempt.story.fault) == ([93], "checkpoints")
    assert attempt.story.message == (
        f"{tmp_path}/out/checkpoint-4 was there before this stage's first attempt: another "
        "run's, as it seems; have the program save in {checkpoints}, or set "
        "checkpoints.adopt: true"
    )


def test_checkpoints_of_another_run_are_gone_on_from_where_that_is_wanted(run, tmp_path):
    command = somebody_elses(tmp_path)
    command["checkpoints"] |= {"adopt": True}

    attempt = run_stage(run, command_spec("s", command), ranks=1)

    assert (attempt.story.first_step, attempt.story.outcome) == (4, "done")
