"""Reads what squeue and sacct print. Pure; a line that cannot be read is an error of ours."""

from collections import defaultdict
from collections.abc import Iterable

from launcher.cluster.base import JobRow
from launcher.cluster.states import (
    WORD_OF_ENDING,
    Meaning,
    is_live_in_queue,
    meaning,
    split_word,
)

SEPARATOR = "\x1f"
"""ASCII's unit separator: cannot be typed into a job's name."""

_QUEUE_WIDTHS = {
    "JobID": 20,
    "Name": 256,
    "State": 20,
    "Reason": 100,
    "RestartCnt": 10,
    "SubmitTime": 20,
    "EligibleTime": 20,
    "StartTime": 20,
    "EndTime": 20,
    "exit_code": 12,
    "NodeList": 400,
    "NumNodes": 10,
}
"""squeue pads and cuts; without a width it cuts at 20."""

# The separator is added by us for squeue; sacct has its own option for it.
QUEUE_FORMAT = ",".join(f"{name}:{width}{SEPARATOR}" for name, width in _QUEUE_WIDTHS.items())
HISTORY_FIELDS = "JobIDRaw,JobName,State,ExitCode,Submit,Eligible,Start,End,NodeList,NNodes"
_NOTHING = ("", "N/A", "Unknown", "None", "None assigned", "(null)", "NONE")


class ParseError(ValueError):
    """Slurm printed what we cannot read."""


def parse_queue(text: str) -> list[JobRow]:
    """Reads `squeue -h -O QUEUE_FORMAT` with times in Unix seconds.

    Raises:
        ParseError: A line has not the fields that were asked for.
    """
    return [_queue_row(line) for line in text.split("\n") if line.strip()]


def _queue_row(line: str) -> JobRow:
    fields = [field.strip() for field in line.split(SEPARATOR)]
    if len(fields) != len(_QUEUE_WIDTHS) + 1:
        raise ParseError(f"squeue printed {line!r}: expected {len(_QUEUE_WIDTHS)} fields")
    slurm_id, name, word, reason, restarts, queued, eligible, started, ended, code = fields[:10]
    nodes, count = fields[10:12]
    # For a job that waits squeue tells when it *may* start; for one that runs, when it must end.
    waits = meaning(word) in (Meaning.PENDING, Meaning.HELD, Meaning.REQUEUED)
    live = is_live_in_queue(word)
    # A job that was cancelled while it waited goes on telling what it had waited for.
    silent = reason in _NOTHING or meaning(word) is Meaning.CANCELLED
    return JobRow(
        slurm_id=slurm_id,
        restart=int(restarts),
        name=name,
        word=word,
        reason="" if silent else reason,
        nodes="" if nodes in _NOTHING else nodes,
        # Of a job that is ending squeue counts those that are not free again yet.
        num_nodes=None if word == WORD_OF_ENDING else _num_nodes(nodes, count),
        queued_at=_queued_at(queued, eligible, int(restarts)),
        started_at=None if waits else _started_at(started, nodes),
        ended_at=None if live else _time(ended),
        exit_code=None if live else _wait_status(code)[0],
        signal=None if live else _wait_status(code)[1],
        source="squeue",
    )


def parse_history(text: str) -> list[JobRow]:
    """Reads `sacct -D -X -n --parsable2 -o HISTORY_FIELDS` with times in Unix seconds.

    sacct gives one line per attempt and does not number them: their order does.

    Raises:
        ParseError: A line has not the fields that were asked for.
    """
    attempts: dict[tuple[str, str], list[list[str]]] = defaultdict(list)
    for line in text.split("\n"):
        if line.strip():
            fields = _history_fields(line)
            attempts[fields[0], fields[1]].append(fields)
    return [row for lines in attempts.values() for row in _history_rows(lines)]


def _history_fields(line: str) -> list[str]:
    fields = line.split(SEPARATOR)
    wanted = HISTORY_FIELDS.count(",") + 1
    if len(fields) != wanted:
        raise ParseError(f"sacct printed {line!r}: expected {wanted} fields")
    return fields


def _history_rows(lines: Iterable[list[str]]) -> Iterable[JobRow]:
    ordered = sorted(lines, key=lambda fields: _time(fields[6]) or float("inf"))
    for restart, fields in enumerate(ordered):
        slurm_id, name, state, code, queued, eligible, started, ended, nodes, count = fields
        _, cancelled_by = split_word(state)
        exit_code, _, killed_by = code.partition(":")
        yield JobRow(
            slurm_id=slurm_id,
            restart=restart,
            name=name,
            word=state,
            reason=f"by user {cancelled_by}" if cancelled_by else "",
            nodes="" if nodes in _NOTHING else nodes,
            num_nodes=_num_nodes(nodes, count),
            queued_at=_queued_at(queued, eligible, restart),
            started_at=_started_at(started, nodes),
            ended_at=_time(ended),
            exit_code=None if _time(ended) is None else _number(exit_code),
            signal=_number(killed_by) or None,
            cancelled_by=_number(cancelled_by),
            source="sacct",
        )


def _queued_at(submitted: str, eligible: str, restart: int) -> float | None:
    """Since when the job could have run; None while it waits for its parents or is held.

    After a requeue the submit time is that of the requeue; eligible is later, by a delay that
    Slurm imposes.
    """
    return _time(submitted if restart else eligible)


def _started_at(started: str, nodes: str) -> float | None:
    """When a job got its nodes; one that ended without any is said to have started at its end."""
    return None if nodes in _NOTHING else _time(started)


def _num_nodes(nodes: str, count: str) -> int | None:
    """How many nodes a job got; of one that waits the count says how many it wants."""
    return None if nodes in _NOTHING else _number(count)


def _time(text: str) -> float | None:
    return None if text in _NOTHING or text == "0" else float(text)


def _number(text: str) -> int | None:
    return int(text) if text.isdigit() else None


def _wait_status(text: str) -> tuple[int | None, int | None]:
    """Exit code and signal of a status as wait(2) gives it, which is what squeue prints."""
    status = _number(text)
    if status is None:
        return None, None
    return status >> 8, (status & 0x7F) or None


def complaint(program: str, stderr: str) -> str:
    """What a program complained of, in one line that begins with its name."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    errors = [line for line in lines if "error:" in line or "fatal:" in line] or lines
    said = "; ".join(dict.fromkeys(_bare(program, line) for line in errors))
    return f"{program}: {said}" if said else ""


def _bare(program: str, line: str) -> str:
    for prefix in (f"{program}: ", "error: ", "fatal: "):
        line = line.removeprefix(prefix)
    return line
