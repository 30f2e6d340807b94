"""Event files, as they are written and summed up."""

import resource
from dataclasses import replace

import pytest

from jobs.contract.events import EventWriter, read_events
from jobs.contract.story import AttemptStory, read_story

BEGIN = {"hosts": ["n1", "n2"], "world_size": 16}
STARTED = {"resume_step": 100, "total_steps": 900}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "events" / "812.0.jsonl"


def write(path, *events):
    """Writes (kind, fields) pairs as one attempt's file."""
    writer = EventWriter(path)
    for kind, fields in events:
        writer.write(kind, **fields)
    writer.close()


def untimed(story):
    """A story without its times of day."""
    return replace(story, started_at=None, ready_at=None, last_at=None, exit_at=None)


def test_events_read_back_in_the_order_written(path):
    write(path, ("signal", {"name": "SIGTERM"}), ("step", {"step": 3, "loss": 0.5}))

    assert [(event.kind, event.fields) for event in read_events(path)] == [
        ("signal", {"name": "SIGTERM"}),
        ("step", {"step": 3, "loss": 0.5}),
    ]


def test_event_is_on_the_disk_before_the_file_is_closed(path):
    writer = EventWriter(path)

    writer.write("signal", name="SIGTERM")

    assert [event.kind for event in read_events(path)] == ["signal"]
    writer.close()


def test_events_that_the_disk_did_not_take_come_with_the_next_one(path):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    writer = EventWriter(path)
    writer.write("step", step=1)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 10, before[1]))
    try:
        writer.write("step", step=2)  # ten bytes of it are written
        writer.write("step", step=3)
        told = [event.fields["step"] for event in read_events(path)]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

    writer.write("step", step=4)
    writer.close()

    assert told == [1]
    assert [event.fields["step"] for event in read_events(path)] == [1, 2, 3, 4]


def test_torn_last_line_is_passed_over(path):
    write(path, ("step", {"step": 1}), ("step", {"step": 2}))
    path.write_bytes(path.read_bytes()[:-9])

    assert [event.fields for event in read_events(path)] == [{"step": 1}]


@pytest.mark.parametrize("line", [b"[]", b'"text"', b"{}", b'{"at": "x", "kind": "k"}', b"\xff{"])
def test_line_that_is_no_event_is_passed_over(path, line):
    write(path, ("step", {"step": 1}))
    with path.open("ab") as file:
        file.write(line + b"\n")
    write(path, ("step", {"step": 2}))

    assert [event.fields["step"] for event in read_events(path)] == [1, 2]


def test_missing_file_tells_nothing(path):
    assert read_story(path) == AttemptStory()


def test_story_of_a_stopped_attempt_says_where_it_was_and_what_is_safe(path):
    write(
        path,
        ("begin", BEGIN),
        ("started", STARTED),
        ("step", {"step": 120, "epoch": 1, "loss": 2.5, "step_s": 0.8}),
        ("checkpoint", {"step": 120, "bytes": 7, "save_s": 3.5, "final": False}),
        ("signal", {"name": "SIGTERM"}),
        ("exit", {"outcome": "stopped", "code": 75, "step": 120, "message": "at step 120"}),
    )

    assert untimed(read_story(path)) == AttemptStory(
        hosts=("n1", "n2"),
        world_size=16,
        first_step=100,
        last_step=120,
        total_steps=900,
        epoch=1,
        loss=2.5,
        step_s=0.8,
        work_s=16.0,
        saved_step=120,
        save_s=3.5,
        outcome="stopped",
        exit_code=75,
        message="at step 120",
    )


def test_story_tells_the_start_of_the_process_from_that_of_the_training(path):
    write(path, ("begin", BEGIN), ("started", STARTED))
    begun, ready = [event.at for event in read_events(path)]

    story = read_story(path)

    assert (story.started_at, story.ready_at, story.last_at) == (begun, ready, ready)


def test_story_of_a_killed_attempt_has_no_outcome(path):
    write(path, ("started", STARTED), ("step", {"step": 101, "epoch": 0}))

    story = read_story(path)

    assert (story.outcome, story.exit_code, story.last_step, story.saved_step) == (
        None,
        None,
        101,
        None,
    )


def test_story_keeps_every_metric(path):
    write(path, ("metric", {"name": "direction", "value": 0.5}), ("metric", {"name": "average"}))

    assert read_story(path).metrics == ({"name": "direction", "value": 0.5}, {"name": "average"})


def test_another_ranks_fault_explains_the_end(path):
    write(path, ("exit", {"outcome": "failed", "code": 1, "message": "peer is gone"}))
    own = path.with_name("812.0.rank-00003.jsonl")
    write(own, ("exit", {"outcome": "failed", "code": 1, "message": "OSError: no disk"}))

    assert read_story(path).message == "rank 3: OSError: no disk"


def test_first_of_several_faults_explains_the_end(path):
    for rank in (5, 2, 9):
        own = path.with_name(f"812.0.rank-{rank:05d}.jsonl")
        write(own, ("exit", {"outcome": "failed", "code": 1, "message": f"fault of {rank}"}))

    assert read_story(path).message == "rank 5: fault of 5"


@pytest.mark.parametrize("outcome", ["done", "stopped", "refused"])
def test_late_fault_of_another_rank_does_not_change_a_clean_end(path, outcome):
    write(path, ("exit", {"outcome": outcome, "code": 0, "message": ""}))
    own = path.with_name("812.0.rank-00003.jsonl")
    write(own, ("exit", {"outcome": "failed", "code": 1, "message": "connection closed"}))

    assert read_story(path).outcome == outcome


def test_fault_of_another_attempt_explains_nothing(path):
    write(path, ("started", STARTED))
    write(path.with_name("812.1.rank-00003.jsonl"), ("exit", {"outcome": "failed", "message": ""}))

    assert read_story(path).outcome is None


def test_story_of_a_failed_attempt_says_what_kind_of_fault_it_was_and_where(path):
    told = {"message": "OSError: no disk", "error": "OSError", "fault": "hardware", "host": "n2"}
    write(path, ("exit", {"outcome": "failed", "code": 1, "step": 7, "lost_peer": False} | told))

    story = read_story(path)

    assert {name: getattr(story, name) for name in told} == told
    assert story.last_step == 7


def end(message, **fields):
    """How a rank tells that it failed."""
    usual = {"outcome": "failed", "code": 1, "fault": "", "lost_peer": False}
    return ("exit", usual | {"message": message} | fields)


def test_own_fault_of_rank_0_explains_the_end_when_the_others_only_saw_it_go(path):
    write(path, end("KeyError: 'x'", fault="deterministic", host="n1"))
    for rank in (1, 2):
        own = path.with_name(f"812.0.rank-{rank:05d}.jsonl")
        write(own, end("closed by peer", fault="hardware", lost_peer=True))

    story = read_story(path)

    assert (story.message, story.fault, story.host) == ("KeyError: 'x'", "deterministic", "n1")


def test_fault_comes_before_those_who_saw_its_rank_go_whatever_the_clocks_say(path):
    write(path, end("closed by peer", fault="hardware", lost_peer=True))
    write(path.with_name("812.0.rank-00001.jsonl"), end("gone", lost_peer=True))
    write(path.with_name("812.0.rank-00002.jsonl"), end("OutOfMemoryError: 80 GiB", host="n3"))

    story = read_story(path)

    assert (story.message, story.host) == ("rank 2: OutOfMemoryError: 80 GiB", "n3")


def test_first_who_saw_a_rank_go_is_believed_when_that_rank_died_silently(path):
    write(path, end("closed by peer", fault="hardware", lost_peer=True))
    write(path.with_name("812.0.rank-00001.jsonl"), end("gone", lost_peer=True))

    story = read_story(path)

    assert (story.message, story.fault, story.host) == ("closed by peer", "hardware", None)


@pytest.mark.parametrize(
    ("event", "words"),
    [
        (("requeued", {}), (None, None)),
        (("not_requeued", {"word": "COMPLETING"}), (None, "COMPLETING")),
        (("requeue_failed", {"message": "scontrol: disabled"}), ("scontrol: disabled", None)),
    ],
)
def test_story_of_a_stopped_attempt_says_whether_it_put_itself_back(path, event, words):
    write(path, ("exit", {"outcome": "stopped", "code": 75, "step": 4, "message": ""}), event)

    story = read_story(path)

    assert (story.outcome, story.last_step) == ("stopped", 4)
    assert (story.requeue_error, story.requeue_word) == words
