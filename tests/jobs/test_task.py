"""Attempts that must not run, or not to the end."""

import json
import signal
import time
from pathlib import Path

import pytest

from jobs.contract.events import EventWriter, read_events
from jobs.contract.files import write_atomic
from jobs.contract.manifest import Manifest, describe, write_manifest
from jobs.contract.paths import AttemptKey
from jobs.contract.story import read_story
from jobs.contract.task import StageTask
from jobs.data.mixing import MixedOrder
from jobs.distributed import Place
from jobs.job import RefusedError
from jobs.stop import StopFlag
from jobs.task import run_attempt
from tests.jobs.paper import paper_job
from tests.jobs.running import run_stage, started

SEED = 42


def test_stage_is_refused_while_its_parent_is_not_done(material, run):
    spec = material.spec("s2", parents=("s1",), **material.train("stage2", "train_captions.json"))

    attempt = run_stage(run, spec)

    assert attempt.codes == [93, 93]
    assert [event.fields for event in attempt.events("exit")] == [
        {
            "outcome": "refused",
            "code": 93,
            "message": "stage s1 has no valid final checkpoint",
            "fault": "parents",
        }
    ]


def test_stage_is_refused_when_a_newer_submission_exists(material, run):
    write_atomic(run.stage("s1").fence, "3")

    attempt = run_stage(
        run, material.spec("s1", **material.train("stage1", "train_pairs.json")), fence=2
    )

    assert (attempt.codes, attempt.story.outcome, attempt.story.message) == (
        [93, 93],
        "refused",
        "a newer submission than number 2 of this stage exists",
    )
    assert attempt.story.fault == "fenced"


def test_zombie_saves_nothing_and_ends_as_refused(material, run):
    spec = material.spec("s1", **material.train("stage1", "train_pairs.json", epochs=3))

    with started(run, spec, fence=1) as attempt:
        attempt.wait_for("step", 1)
        write_atomic(run.stage("s1").fence, "2")
        attempt.wait()

    assert (attempt.codes, attempt.story.outcome, attempt.story.message) == (
        [93, 93],
        "refused",
        "a newer submission than number 1 of this stage exists; step 18 is not saved",
    )
    assert list(run.stage("s1").checkpoints.iterdir()) == []


def test_stop_before_the_first_step_ends_every_rank_at_once(material, run):
    spec = material.spec("s1", **material.train("stage1", "train_pairs.json"))

    with started(run, spec) as attempt:
        attempt.wait_until_listening()
        asked_at = time.time()
        attempt.send(signal.SIGTERM)
        attempt.wait()

    story = attempt.story
    assert (attempt.codes, story.outcome, story.message) == (
        [75, 75],
        "stopped",
        "stopped on a signal before the first step",
    )
    assert story.exit_at - asked_at < 5  # the imports to come take longer
    assert [event.kind for event in read_events(attempt.folder.events_file(attempt.key))] == [
        "begin",
        "signal",
        "exit",
    ]
    assert not run.stage("s1").checkpoints.exists()


def test_stop_of_one_rank_before_the_first_step_is_agreed_on_there(material, run):
    spec = material.spec("s1", **material.train("stage1", "train_pairs.json"))

    with started(run, spec) as attempt:
        attempt.wait_until_listening()
        attempt.send(signal.SIGTERM, ranks=[1])
        attempt.wait()

    assert (attempt.codes, attempt.story.outcome, attempt.story.last_step) == (
        [75, 75],
        "stopped",
        0,
    )
    assert attempt.events("step") == []
    assert not run.stage("s1").checkpoints.exists()


def test_stacks_of_a_running_rank_are_written_down_and_it_goes_on(material, run):
    spec = material.spec("s1", **material.train("stage1", "train_pairs.json", epochs=3))

    with started(run, spec) as attempt:
        stacks = [attempt.folder.stack_file(attempt.key, rank) for rank in range(2)]
        attempt.wait_until(lambda: attempt.events("begin"))
        attempt.send(signal.SIGUSR1, ranks=[0])
        attempt.wait_until(lambda: "in run_task" in stacks[0].read_text())
        attempt.wait_for("step", 1)
        attempt.send(signal.SIGUSR1)
        attempt.wait_until(lambda: "in train" in stacks[1].read_text())
        attempt.wait()

    assert (attempt.codes, attempt.story.outcome) == ([0, 0], "done")


def with_broken_clips(material, folder, rows, broken):
    """An annotation file of `rows` captions, some of which stand beside clips that are none."""
    made = json.loads((material.clips / "train_pairs.json").read_text())
    (folder / "broken.mp4").write_bytes(b"not a film")
    (folder / "clips").symlink_to(material.clips / "clips")
    for row in broken:
        made[row]["video"] = "broken.mp4"
    path = folder / "with_broken.json"
    path.write_text(json.dumps(made[:rows]))
    return [{"annotations": str(path)}]


def batches(rows, global_batch, count):
    """The rows in each of the first global batches."""
    order = MixedOrder([("video", rows)], global_batch, SEED)
    return [order.batch(0, position) for position in range(count)]


def test_story_names_the_rank_that_failed_and_why(material, run, tmp_path):
    (captions,) = with_broken_clips(material, tmp_path, 1, broken=[])
    talk = tmp_path / "talk.json"
    clip = json.loads(Path(captions["annotations"]).read_text())[0]["video"]
    talk.write_text(json.dumps([{"video": clip, "QA": [{"i": "", "q": "", "a": "hi"}]}]))
    data = [captions, {"annotations": str(talk)}]
    (first,) = batches(rows=2, global_batch=2, count=1)
    data = [data[i] for i in first]  # the second rank gets the conversation, which stage 1 refuses
    recipe = material.train("stage1", "-", data=data, global_batch=2)

    attempt = run_stage(run, material.spec("s1", **recipe))

    assert (attempt.codes, attempt.story.outcome) == ([1, 1], "failed")
    assert (attempt.story.error, attempt.story.host) == ("TypeError", "127.0.0.1")
    (seen_by_rank_0,) = attempt.events("exit")
    assert (seen_by_rank_0.fields["lost_peer"], seen_by_rank_0.fields["fault"]) == (
        True,
        "hardware",
    )
    assert attempt.story.message == "rank 1: TypeError: set talk: this stage needs captions"


def test_unreadable_clips_are_left_out_until_they_are_too_many(material, run, tmp_path):
    first, _, third = batches(rows=48, global_batch=8, count=3)
    data = with_broken_clips(material, tmp_path, 48, broken=[first[2], third[0], third[5]])
    recipe = material.train("stage1", "-", data=data, max_bad=0.05, log_every_s=1e6)

    attempt = run_stage(run, material.spec("s1", **recipe), ranks=1)

    assert attempt.left_out() == [("with_broken", "broken.mp4")] * 3
    assert "left out broken.mp4 of set with_broken" in attempt.log(0)
    assert (attempt.codes, attempt.story.outcome, attempt.story.last_step) == ([1], "failed", 3)
    # The third step is known although only the first was told.
    assert [event.fields["step"] for event in attempt.events("step")] == [1]
    assert "set 'with_broken': 3 of 24 clips are unreadable (allowed: 5%)" in attempt.story.message


def test_ranks_stay_in_step_when_one_of_them_leaves_out_a_clip(material, run, tmp_path):
    (first,) = batches(rows=48, global_batch=8, count=1)
    data = with_broken_clips(material, tmp_path, 48, broken=[first[7]])
    recipe = material.train("stage1", "-", data=data, max_bad=0.5, max_steps=2)

    attempt = run_stage(run, material.spec("s1", **recipe))

    assert (attempt.codes, attempt.story.outcome, attempt.story.last_step) == ([0, 0], "done", 2)
    assert attempt.left_out() == [("with_broken", "broken.mp4")]
    assert "left out broken.mp4 of set with_broken" in attempt.log(1)


def mark_done(run, *, weights):
    """The final checkpoint of stage `s1`, with one file."""
    folder = run.stage("s1").checkpoint(5, final=True)
    write_atomic(folder / "weights", "w")
    described = describe(folder / "weights", "weights")
    write_manifest(folder, Manifest(step=5, files=(described,), weights=weights, final=True))
    return folder / "weights"


def test_stage_starts_from_the_final_weights_of_another(run):
    weights = mark_done(run, weights="weights")

    assert paper_job(run, "s2", init_from="s1").required_weights() == weights


def test_stage_that_cannot_start_from_nothing_is_refused(run):
    with pytest.raises(RefusedError, match=r"^stage s2: needs a stage to start from; add `needs`$"):
        paper_job(run, "s2").required_weights()


def test_stage_is_refused_where_the_one_to_start_from_kept_no_weights(run):
    mark_done(run, weights=None)

    with pytest.raises(RefusedError, match=r"^stage s2: no final weights of stage s1$"):
        paper_job(run, "s2", init_from="s1").initial_weights()


@pytest.mark.parametrize("text", [None, "{", "{}"])
def test_unreadable_specification_is_refused_with_an_event(run, text):
    task = StageTask(run.root, "s1", 1, "token")
    folder, key = run.stage("s1"), AttemptKey("token", 0)
    folder.root.mkdir(parents=True)
    if text is not None:
        folder.spec.write_text(text)
    events = EventWriter(folder.events_file(key))

    code = run_attempt(task, run, Place(key, 0, 0, 1, ("here",)), StopFlag(), events)

    events.close()
    story = read_story(folder.events_file(key))
    assert (code, story.outcome, story.fault) == (93, "refused", "deterministic")
    assert story.message.startswith("spec.json: ")
