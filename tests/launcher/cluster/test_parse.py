"""What Slurm 22.05.8 printed, recorded, is read as it was meant."""

import pytest

from launcher.cluster.base import JobRow
from launcher.cluster.parse import SEPARATOR, ParseError, parse_history, parse_queue


def line(*fields: str) -> str:
    """A line of squeue: padded fields, each followed by the separator."""
    return "".join(f"{field:<12}{SEPARATOR}" for field in fields) + "\n"


REQUEUED = line(
    "1", "a name|with = it", "PENDING", "BeginTime", "1", "1795503575", "1795503580", "1795503580",
    "N/A", "0", "", "4",
)  # fmt: skip
RUNNING = line(
    "7", "second.t12", "RUNNING", "None", "0", "1795503500", "1795503505", "1795503510",
    "1795546710", "0", "node[1-2]", "2",
)  # fmt: skip
WAITING = line(
    "9", "third.t14", "PENDING", "Dependency", "0", "1795503500", "N/A", "N/A", "N/A", "0", "", "1"
)
ENDED = line(
    "8", "second.t13", "FAILED", "NonZeroExitCode", "0", "1795503500", "1795503505", "1795503510",
    "1795503600", "768", "node1", "1",
)  # fmt: skip

NEVER_RAN = line(
    "5", "second.t11", "CANCELLED", "JobHeldUser", "0", "1795503500", "1795503505", "1795503600",
    "1795503600", "0", "", "1",
)  # fmt: skip


def test_waiting_job_has_no_start_although_squeue_foretells_one() -> None:
    assert parse_queue(REQUEUED) == [
        JobRow(
            slurm_id="1",
            restart=1,
            name="a name|with = it",
            word="PENDING",
            reason="BeginTime",
            queued_at=1795503575.0,
            source="squeue",
        )
    ]


def test_running_job_has_no_end_although_squeue_tells_its_limit() -> None:
    assert parse_queue(RUNNING) == [
        JobRow(
            slurm_id="7",
            restart=0,
            name="second.t12",
            word="RUNNING",
            nodes="node[1-2]",
            num_nodes=2,
            queued_at=1795503505.0,
            started_at=1795503510.0,
            source="squeue",
        )
    ]


def test_job_that_waits_for_its_parents_does_not_queue_yet() -> None:
    (row,) = parse_queue(WAITING)

    assert (row.queued_at, row.reason) == (None, "Dependency")


def test_ended_job_in_the_queue_tells_end_and_exit_code() -> None:
    (row,) = parse_queue(ENDED)

    assert (row.live, row.ended_at, row.exit_code, row.signal) == (False, 1795503600.0, 3, None)


def test_job_that_was_cancelled_while_it_waited_has_never_started() -> None:
    (row,) = parse_queue(NEVER_RAN)

    assert (row.started_at, row.ended_at, row.reason) == (None, 1795503600.0, "")


def test_job_that_is_ending_does_not_count_the_nodes_that_are_free_again() -> None:
    ending = RUNNING.replace("RUNNING   ", "COMPLETING").replace("[1-2]", "1    ")

    (row,) = parse_queue(ending)

    assert (row.word, row.nodes, row.num_nodes) == ("COMPLETING", "node1", None)


HISTORY = (
    "1\x1fwrap\x1fPENDING\x1f0:0\x1f1795503575\x1fUnknown\x1fUnknown\x1fUnknown\x1f"
    "None assigned\x1f4\n"
    "1\x1fwrap\x1fREQUEUED\x1f0:0\x1f1795503571\x1f1795503571\x1f1795503573\x1f1795503575\x1f"
    "node[1-2]\x1f2\n"
    "2\x1fwrap\x1fCANCELLED by 1000\x1f0:9\x1f1795503500\x1f1795503501\x1f1795503502\x1f"
    "1795503503\x1fnode3\x1f1\n"
)


def test_history_numbers_the_attempts_of_a_job_in_order_of_start() -> None:
    rows = parse_history(HISTORY)

    assert [(row.slurm_id, row.restart, row.word, row.num_nodes) for row in rows] == [
        ("1", 0, "REQUEUED", 2),
        ("1", 1, "PENDING", None),
        ("2", 0, "CANCELLED by 1000", 1),
    ]


def test_history_tells_who_cancelled_and_by_which_signal() -> None:
    row = parse_history(HISTORY)[2]

    assert (row.reason, row.exit_code, row.signal) == ("by user 1000", 0, 9)


def test_history_of_a_job_that_was_cancelled_while_it_waited_has_no_start() -> None:
    (row,) = parse_history(
        "5\x1fwrap\x1fCANCELLED by 0\x1f0:0\x1f1795503500\x1f1795503501\x1f1795503600\x1f"
        "1795503600\x1fNone assigned\x1f4\n"
    )

    assert (row.started_at, row.ended_at) == (None, 1795503600.0)


def test_attempt_that_has_not_ended_has_no_exit_code() -> None:
    assert parse_history(HISTORY)[1].exit_code is None


def test_no_lines_are_no_jobs() -> None:
    assert (parse_queue("\n"), parse_history("")) == ([], [])


@pytest.mark.parametrize("parse", [parse_queue, parse_history])
def test_line_with_other_fields_is_an_error_and_not_a_guess(parse: object) -> None:
    assert callable(parse)
    with pytest.raises(ParseError, match="printed"):
        parse("7\x1fsecond\n")
