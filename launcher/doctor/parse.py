"""Reads what Slurm's programs print about a site. Pure.

Sources: scontrol(1), sinfo(1) and sacctmgr(1), and what 22.05.8 really prints.
"""

import re
from collections.abc import Mapping
from typing import Final

from launcher.doctor.site import Association, Limits, NodeGroup, Partition, Qos

SINFO_FORMAT: Final = "%R|%D|%c|%m|%G|%T|%f|%N"
_ASSOC: Final = "Cluster,DefaultAccount,Account,Partition,QOS,DefaultQOS,MaxWall,MaxTRES,GrpTRES"
ASSOC_FORMAT: Final = f"{_ASSOC},MaxSubmit"
QOS_FORMAT: Final = "Name,Flags,GraceTime,MaxWall,MaxTRES,MinTRES,MaxTRESPU,GrpTRES,MaxSubmitPU"

_SETTING = re.compile(r"^([\w/]+)\s*= ?(.*)$", re.MULTILINE)
_CLOCK = re.compile(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?", re.ASCII)
_GPUS = re.compile(r"(?:^|,)gpu(?::[^:,()]+)?:(\d+)")
_NO_LIMIT: Final = ("", "UNLIMITED", "INFINITE", "NONE", "N/A", "(null)")


def parse_settings(text: str) -> dict[str, str]:
    """`scontrol show config`, a value each."""
    return {name: value.strip() for name, value in _SETTING.findall(text)}


def parse_partitions(text: str) -> list[Partition]:
    """`scontrol show partition -o`."""
    return [_partition(_fields(line)) for line in text.splitlines() if "PartitionName=" in line]


def _partition(fields: Mapping[str, str]) -> Partition:
    return Partition(
        name=fields["PartitionName"],
        is_default=fields.get("Default") == "YES",
        state=fields.get("State", "UP"),
        total_nodes=_count(fields.get("TotalNodes", "")),
        min_nodes=_count(fields.get("MinNodes", "")) or 0,
        max_nodes=_count(fields.get("MaxNodes", "")),
        max_time_s=seconds(fields.get("MaxTime", "")),
        nodes=fields.get("Nodes", ""),
        qos=_word(fields.get("QoS", "")),
        allow_accounts=_allowed(fields.get("AllowAccounts", "ALL")),
        deny_accounts=_words(fields.get("DenyAccounts", "")),
        allow_qos=_allowed(fields.get("AllowQos", "ALL")),
        deny_qos=_words(fields.get("DenyQos", "")),
        allow_groups=_allowed(fields.get("AllowGroups", "ALL")),
        needs_reservation=fields.get("ReqResv") == "YES",
        preempt_mode=fields.get("PreemptMode", ""),
        grace_s=_count(fields.get("GraceTime", "")),
    )


def parse_nodes(text: str) -> list[NodeGroup]:
    """`sinfo -h -a -e -o SINFO_FORMAT`; lines of another form are passed over."""
    rows = (line.split("|") for line in text.splitlines())
    wanted = SINFO_FORMAT.count("|") + 1
    return [_group(row) for row in rows if len(row) == wanted and row[1].isdigit()]


def _group(row: list[str]) -> NodeGroup:
    partition, count, cpus, mem_mb, gres, state, features, nodes = row
    return NodeGroup(
        partition=partition,
        count=int(count),
        cpus=_count(cpus) or 0,
        mem_mb=_count(mem_mb) or 0,
        gpus=sum(map(int, _GPUS.findall(gres))),
        state=state.rstrip("*~#!%$@^-+").lower(),
        features=_words(features),
        nodes=nodes,
    )


def parse_associations(text: str, cluster: str) -> list[Association]:
    """`sacctmgr -nP show user NAME withassoc format=ASSOC_FORMAT`, those of one cluster."""
    found = []
    for row in _rows(text, ASSOC_FORMAT):
        if row["Cluster"] == cluster:
            limits = Limits(
                wall_s=seconds(row["MaxWall"]),
                job=tres(row["MaxTRES"]),
                group=tres(row["GrpTRES"]),
                max_submit=_count(row["MaxSubmit"]),
            )
            found.append(
                Association(
                    account=row["Account"],
                    is_default=row["Account"] == row["DefaultAccount"],
                    partition=row["Partition"],
                    qos=_words(row["QOS"]),
                    default_qos=_word(row["DefaultQOS"]),
                    limits=limits,
                )
            )
    return found


def parse_qos(text: str) -> list[Qos]:
    """`sacctmgr -nP show qos format=QOS_FORMAT`."""
    return [
        Qos(
            name=row["Name"],
            flags=_words(row["Flags"]),
            grace_s=seconds(row["GraceTime"]),
            limits=Limits(
                wall_s=seconds(row["MaxWall"]),
                job=tres(row["MaxTRES"]),
                job_least=tres(row["MinTRES"]),
                user=tres(row["MaxTRESPU"]),
                group=tres(row["GrpTRES"]),
                max_submit=_count(row["MaxSubmitPU"]),
            ),
        )
        for row in _rows(text, QOS_FORMAT)
    ]


def seconds(text: str) -> int | None:
    """Seconds of `30`, `30:00`, `12:00:00`, `1-00`, `1-00:00:00`, as Slurm writes limits.

    None: there is no limit, or it is written in another way.
    """
    found = _CLOCK.fullmatch(text.strip())
    if found is None:
        return None
    days, *given = found.groups()
    parts = [int(part) for part in given if part is not None]
    if days is not None:  # 1-12:30 is days, hours, minutes
        hours, minutes, rest = (*parts, 0, 0)[:3]
        return ((int(days) * 24 + hours) * 60 + minutes) * 60 + rest
    if len(parts) == 1:  # minutes alone
        return parts[0] * 60
    *hours_, minutes, rest = parts
    return (sum(hours_) * 60 + minutes) * 60 + rest


def tres(text: str) -> dict[str, int]:
    """`node=2,gres/gpu=8` as counts; amounts of memory, and what is no number, are left out."""
    pairs = (part.partition("=") for part in text.split(","))
    return {name: int(count) for name, _, count in pairs if count.isdigit()}


def _rows(text: str, names: str) -> list[dict[str, str]]:
    """Lines of `--parsable2`; one that has not the fields that were asked for is passed over."""
    keys = names.split(",")
    lines = (line.split("|") for line in text.splitlines())
    return [dict(zip(keys, line, strict=True)) for line in lines if len(line) == len(keys)]


def _fields(line: str) -> dict[str, str]:
    return dict(word.split("=", 1) for word in line.split() if "=" in word)


def _count(text: str) -> int | None:
    digits = text.strip().removesuffix("+")
    return int(digits) if digits.isdigit() else None


def _word(text: str) -> str | None:
    return None if text in _NO_LIMIT else text


def _words(text: str) -> frozenset[str]:
    return frozenset() if text in _NO_LIMIT else frozenset(text.split(","))


def _allowed(text: str) -> frozenset[str] | None:
    return None if text == "ALL" else _words(text)
