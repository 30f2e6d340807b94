"""`requeue` and `notify`: when to give up, and whom to tell."""

from datetime import UTC, datetime

import pytest

from launcher.pipeline import Requeue, deadline_at
from tests.launcher.pipelines import GOOD, faults, load


def with_top(line: str) -> str:
    """The good pipeline with one more key, at line 7."""
    return GOOD.replace("stages:", f"{line}\nstages:")


def with_own(line: str) -> str:
    """The good pipeline whose second stage has one more key, at line 11."""
    return GOOD.replace("    needs: [first]", f"    {line}\n    needs: [first]")


EVERY_KEY = with_top(
    "requeue: {no_progress: 4, failures: 0, storm: 6, max_gpu_hours: 1500, "
    "deadline: 72h, hang: 15m}\nnotify: [TEAM_CHAT, ON_CALL]"
).replace("    needs: [second]", "    needs: [second]\n    requeue: {storm: 9, hang: 1h}")


def test_every_key_of_requeue_is_read(tmp_path):
    pipeline = load(tmp_path, EVERY_KEY)

    assert pipeline.requeue == Requeue(4, 0, 6, 1500.0, "72h", 900)
    assert pipeline.notify == ("TEAM_CHAT", "ON_CALL")


def test_requeue_has_the_documented_defaults(tmp_path):
    assert load(tmp_path).requeue == Requeue(3, 2, 5, None, None, 600)


def test_stage_puts_its_own_keys_over_those_of_the_pipeline(tmp_path):
    second, third = (load(tmp_path, EVERY_KEY).stage(name) for name in ("second", "third"))

    assert second.requeue == Requeue(4, 0, 6, 1500.0, "72h", 900)
    assert third.requeue == Requeue(4, 0, 9, 1500.0, "72h", 3600)


@pytest.mark.parametrize("deadline", ["72h", "2026-12-24T18:00+01:00", "2026-12-24 18:00:00Z"])
def test_resolved_file_keeps_requeue_and_notify(tmp_path, deadline):
    pipeline = load(tmp_path, EVERY_KEY.replace("72h", f"{deadline}"))

    again = load(tmp_path, pipeline.resolved_yaml())

    assert again == pipeline
    assert again.requeue.deadline == deadline


@pytest.mark.parametrize(
    ("deadline", "at"),
    [
        (None, None),
        ("72h", 1000 + 72 * 3600),
        ("1-12:00:00", 1000 + 36 * 3600),
        ("2026-12-24T18:00+01:00", datetime(2026, 12, 24, 17, tzinfo=UTC).timestamp()),
        ("2026-12-24T18:00Z", datetime(2026, 12, 24, 18, tzinfo=UTC).timestamp()),
    ],
)
def test_deadline_counts_from_the_submission_or_is_a_moment(deadline, at):
    assert deadline_at(Requeue(deadline=deadline), 1000.0) == at


def test_one_variable_needs_no_list(tmp_path):
    assert load(tmp_path, with_top("notify: TEAM_CHAT")).notify == ("TEAM_CHAT",)


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        (
            "requeue: {deadline: tomorrow}",
            "requeue.deadline: 'tomorrow' is not a deadline; write a duration after submission "
            "such as 72h, or 2026-12-24T18:00+01:00",
        ),
        (
            "requeue: {deadline: 2026-12-24T18:00}",
            "requeue.deadline: '2026-12-24T18:00' is no moment without a time zone; write a "
            "duration after submission such as 72h, or 2026-12-24T18:00+01:00",
        ),
        ("requeue: {storm: 0}", "requeue.storm: must be at least 1, not 0"),
        (
            "requeue: {max_gpu_hours: 0}",
            "requeue.max_gpu_hours: must be greater than 0, not 0",
        ),
        (
            "requeue: {max_gpu_hours: many}",
            "requeue.max_gpu_hours: must be a number, not 'many'",
        ),
        (
            "requeue: {hang: 10}",
            "requeue.hang: 10 is not a duration; write 12h, 90m, 30s or 1-12:00:00",
        ),
        (
            "notify: {TEAM_CHAT: 1}",
            "notify: must be a list of names; write the name of an environment variable that "
            "holds the URL, such as TEAM_CHAT",
        ),
    ],
)
def test_faulty_value_names_its_line_key_and_remedy(tmp_path, line, fault):
    assert faults(tmp_path, with_top(line)) == [f"p.yaml:7: {fault}"]


@pytest.mark.parametrize(
    "url",
    [
        "https://hooks.example.org/s3cret",
        "tgram://123:s3cret/456",
        "mailto:me:s3cret@example.org",
        "me.s3cret@example.org",
    ],
)
@pytest.mark.parametrize("form", ['notify: "{}"', 'notify: [GOOD, "{}"]'])
def test_address_in_the_file_is_refused_and_not_repeated(tmp_path, url, form):
    assert faults(tmp_path, with_top(form.format(url))) == [
        "p.yaml:7: notify: holds a URL, which the run folder would keep; write the name of an "
        "environment variable that holds the URL, such as TEAM_CHAT"
    ]


@pytest.mark.parametrize("value", ["[s3-cret]", "[{a: s3cret}]", "[7]", '""'])
def test_what_is_no_name_is_refused_and_not_repeated(tmp_path, value):
    assert faults(tmp_path, with_top(f"notify: {value}")) == [
        "p.yaml:7: notify: holds what is no name of a variable; write the name of an environment "
        "variable that holds the URL, such as TEAM_CHAT"
    ]


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        (
            "requeue: {deadline: 3h}",
            "requeue.deadline: is of the whole run; move it to requeue at the top",
        ),
        (
            "requeue: {max_gpu_hours: 3}",
            "requeue.max_gpu_hours: is of the whole run; move it to requeue at the top",
        ),
        (
            "requeue: {storms: 3}",
            "requeue.storms: unknown key; did you mean 'storm'? "
            "known: no_progress, failures, storm, hang",
        ),
        ("requeue: 3", "requeue: must hold keys, not 3"),
    ],
)
def test_faulty_requeue_of_a_stage_names_its_line_and_remedy(tmp_path, line, fault):
    assert faults(tmp_path, with_own(line)) == [f"p.yaml:11: stages.second.{fault}"]


def test_reused_stage_has_nothing_to_give_up(tmp_path):
    text = GOOD.replace("    reuse:", "    requeue: {storm: 3}\n    reuse:")

    assert faults(tmp_path, text) == [
        "p.yaml:9: stages.first.requeue: a reused stage has no job; remove this key"
    ]
