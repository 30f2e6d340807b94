"""Why Slurm lets a job wait, in words, and what can be done about it.

Source: "JOB REASON CODES" of squeue(1). A reason that is not here is shown as Slurm says it.
"""

from typing import Final

_WORDS: Final = {
    "Resources": "its nodes are not free yet",
    "Priority": "jobs of higher priority go first",
    "Dependency": "it waits for its parents",
    "DependencyNeverSatisfied": "a parent's job did not succeed; a pass ties it to the new one",
    "BeginTime": "Slurm lets a requeued job wait a little (120 s by default)",
    "JobHeldUser": "it is held; launcher resume (or scontrol release) frees it",
    "JobHeldAdmin": "an administrator holds it; ask why",
    "launch failed requeued held": "Slurm could not start it and holds it; the pass frees it once",
    "PartitionNodeLimit": "it wants more nodes than its partition has: it waits for ever; "
    "change cluster.nodes or cluster.partition",
    "PartitionConfig": "its partition has no nodes that can give what it asks for: it waits for "
    "ever; launcher doctor says what is too much",
    "PartitionTimeLimit": "it wants more time than its partition allows: it waits for ever; lower "
    "cluster.time_limit",
    "PartitionDown": "its partition is down; ask when it comes back",
    "PartitionInactive": "its partition is inactive; ask when it comes back",
    "ReqNodeNotAvail": "nodes that it needs are down, drained or reserved",
    "Reservation": "it waits for its reservation",
    "Licenses": "it waits for a licence",
    "NodeDown": "a node that it needs is down",
    "BadConstraints": "no node has what cluster.constraint asks for: it waits for ever",
    "QOSMaxJobsPerUserLimit": "you have as many jobs running as your QOS allows",
    "QOSMaxGRESPerUser": "you use as many GPUs as your QOS allows",
    "AssocGrpGRES": "your account uses as many GPUs as it may",
    "AssocGrpGRESMinutes": "your account has used up its GPU minutes; ask for more",
    "AssocMaxJobsLimit": "your account has as many jobs running as it may",
    "AssocGrpCPUMinutesLimit": "your account has used up its CPU minutes; ask for more",
}


def in_words(reason: str) -> str:
    """Slurm's reason for a waiting job as a sentence, with the reason itself."""
    plain = reason.replace("_", " ")
    for known, words in _WORDS.items():
        if known in (reason, plain) or reason.startswith(f"{known},"):
            return f"{words} ({reason})"
    return reason
