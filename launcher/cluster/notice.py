"""What notice Slurm gives before it takes the nodes away. Parsing is pure.

Sources: `PreemptMode`, `PreemptType` and `GraceTime` of slurm.conf(5).
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from launcher.cluster.base import NoAnswer

CONFIG = ("scontrol", "show", "config")
PARTITIONS = ("scontrol", "show", "partition", "-o")
_ENDS_JOBS = ("REQUEUE", "CANCEL")
"""Modes by which a job loses its nodes; the others let it go on where it was."""
_SETTING = re.compile(r"^(\w+)\s*= (.*)$", re.MULTILINE)


@dataclass(frozen=True)
class Notice:
    """What a partition does to a job whose nodes it wants back.

    Attributes:
        partition: Its name.
        preempts: Jobs in it can lose their nodes to others.
        grace_s: Seconds from SIGTERM until a preempted job is ended; None: its QOS says, and
            that is not known.
    """

    partition: str
    preempts: bool
    grace_s: float | None


def read_notice(
    ask: Callable[[list[str]], str | NoAnswer], partition: str | None
) -> Notice | NoAnswer:
    """Asks Slurm about a partition, the default one without a name: two questions.

    Args:
        ask: Runs a program of Slurm's and gives what it prints.
        partition: Its name.
    """
    config = ask(list(CONFIG))
    if isinstance(config, NoAnswer):
        return config
    partitions = ask(list(PARTITIONS))
    if isinstance(partitions, NoAnswer):
        return partitions
    return parse_notice(config, partitions, partition)


def parse_notice(config: str, partitions: str, partition: str | None) -> Notice | NoAnswer:
    """The notice by what `CONFIG` and `PARTITIONS` print; what cannot be read is no answer."""
    settings = {name: value.strip() for name, value in _SETTING.findall(config)}
    found = next((f for f in map(_fields, partitions.splitlines()) if _is(f, partition)), None)
    if found is None:
        name = "a default partition" if partition is None else f"partition {partition}"
        return NoAnswer(f"scontrol show partition: {name} is not among them")
    return notice_of(
        found["PartitionName"],
        settings.get("PreemptType", ""),
        found.get("PreemptMode", settings.get("PreemptMode", "")),
        _seconds(found.get("GraceTime", "")),
    )


def notice_of(
    partition: str,
    kind: str,
    modes: str,
    grace_s: float | None,
    *,
    qos_grace_s: float | None = None,
) -> Notice | NoAnswer:
    """The notice by what is set.

    Args:
        partition: Its name.
        kind: `PreemptType`; empty: it is not known.
        modes: `PreemptMode`, the partition's own where it has one.
        grace_s: `GraceTime` of the partition; None: not known.
        qos_grace_s: That of the job's QOS; None: not known.
    """
    if not kind:
        return NoAnswer("scontrol show config: no PreemptType in what it printed")
    if kind == "preempt/none":
        return Notice(partition, preempts=False, grace_s=0.0)
    if kind == "preempt/qos":
        return Notice(partition, preempts=True, grace_s=qos_grace_s)
    if grace_s is None:
        return NoAnswer(f"scontrol show partition: no GraceTime in what it printed of {partition}")
    preempts = any(mode in _ENDS_JOBS for mode in modes.split(","))
    return Notice(partition, preempts=preempts, grace_s=grace_s)


def _fields(line: str) -> dict[str, str]:
    return dict(word.split("=", 1) for word in line.split() if "=" in word)


def _is(fields: dict[str, str], partition: str | None) -> bool:
    if partition is None:
        return fields.get("Default") == "YES"
    return fields.get("PartitionName") == partition


def _seconds(text: str) -> float | None:
    """Seconds of `30` or `30 sec`; None where it is neither."""
    number = text.removesuffix("sec").strip()
    return float(number) if number.isdigit() else None
