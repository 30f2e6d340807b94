"""What no single key can tell: the graph of the stages, and sizes that must fit each other."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from jobs.contract.command import Command
from jobs.contract.evaluation import Evaluate
from jobs.contract.spec import Train
from jobs.contract.units import format_duration
from launcher.pipeline.document import Document, KeyPath, suggestion
from launcher.pipeline.parts import ClusterSettings, StageKind
from launcher.pipeline.requeue import StageRequeue
from launcher.pipeline.schema import StageSection

KINDS: Final[tuple[StageKind, ...]] = ("reuse", "train", "evaluate", "command")
_WITHOUT_EPOCHS: Final = {"evaluate": "an evaluation", "command": "a command"}
_CONTINUES: Final = ("stage2", "stage3")
"""Entries that start from another stage's weights."""
_OWN_KEYS: Final = {
    "account": "account",
    "constraint": "constraint",
    "cpus-per-task": "cpus_per_task",
    "exclude": "exclude",
    "gpus-per-node": "gpus_per_node",
    "mem": "mem",
    "nodes": "nodes",
    "ntasks-per-node": "tasks_per_node",
    "partition": "partition",
    "qos": "qos",
    "reservation": "reservation",
    "time": "time_limit",
}
"""Options of sbatch that have a key of their own, which the ledger and the jobs go by."""
_TAKEN: Final = (
    *("array", "dependency", "error", "job-name", "no-requeue", "open-mode", "output"),
    *("requeue", "signal"),
)
"""Options of sbatch that the launcher's own working depends on."""
_COUNTED: Final = ("mincpus", "ntasks")
"""Options of sbatch that follow from the number of nodes, which a range leaves open."""


@dataclass(frozen=True)
class Draft:
    """A stage on its way from the file; a part is None (the section: empty) where it is faulty.

    Attributes:
        name: Of the stage.
        raw: What the file holds.
        section: Its own keys.
        kinds: Which of reuse, train, evaluate and command it gives; one when it is right.
        cluster: The pipeline's settings with its own over them.
        train: What it trains.
        evaluate: What it evaluates.
        command: What program it runs.
        requeue: When to give it up.
    """

    name: str
    raw: dict[str, Any]
    section: StageSection
    kinds: tuple[StageKind, ...] = ()
    cluster: ClusterSettings | None = None
    train: Train | None = None
    evaluate: Evaluate | None = None
    command: Command | None = None
    requeue: StageRequeue = field(default_factory=StageRequeue)

    @property
    def path(self) -> KeyPath:
        """Where it stands in the file."""
        return ("stages", self.name)

    @property
    def needs(self) -> tuple[str, ...]:
        """Its parents, as far as they are names."""
        needs = self.raw.get("needs")
        return tuple(map(str, needs)) if isinstance(needs, list) else ()

    @property
    def entry(self) -> object:
        """The program that it trains with, as written."""
        train = self.raw.get("train")
        return train.get("entry") if isinstance(train, dict) else None


def check(document: Document, drafts: Sequence[Draft]) -> None:
    """Adds the faults of the graph and of the sizes to the document."""
    _check_model(document, drafts)
    for draft in drafts:
        _check_kind(document, draft)
        _check_parents(document, draft, drafts)
        _check_weights(document, draft, drafts)
        _check_expectation(document, draft)
        _check_cluster(document, draft)
        _check_batch(document, draft)
        _check_command(document, draft)
    _check_cycles(document, drafts)


def _check_model(document: Document, drafts: Sequence[Draft]) -> None:
    """Our own stages need a model; a pipeline of other programs does not."""
    needed = any({"train", "evaluate"} & set(draft.kinds) for draft in drafts)
    if needed and "model" not in document.data:
        document.fault(("model",), "missing; give it a value")


def _check_kind(document: Document, draft: Draft) -> None:
    if len(draft.kinds) != 1:
        given = f"gives {' and '.join(draft.kinds)}" if draft.kinds else "does nothing"
        document.fault(draft.path, f"{given}; give one of {', '.join(KINDS)}")
    elif draft.kinds == ("reuse",):
        for key in ("needs", "cluster", "expect", "init_from", "resumable", "requeue"):
            if key in draft.raw:
                document.fault((*draft.path, key), "a reused stage has no job; remove this key")


def _check_parents(document: Document, draft: Draft, drafts: Sequence[Draft]) -> None:
    names = [other.name for other in drafts]
    path = (*draft.path, "needs")
    for at, need in enumerate(draft.needs):
        item = (*path, at)
        if need not in names:
            known = [name for name in names if name != draft.name]
            document.fault(path, f"no stage '{need}'; {suggestion(need, known)}", at=item)
        elif need in draft.needs[:at]:
            document.fault(path, f"'{need}' is named twice; remove one", at=item)
        elif names.index(need) > names.index(draft.name) and not _way(drafts, need, draft.name):
            document.fault(
                path,
                f"'{need}' stands later; stages run in the order of the file: move {draft.name} "
                f"below {need}",
                at=item,
            )


def _check_cycles(document: Document, drafts: Sequence[Draft]) -> None:
    """Adds each cycle once, at its first stage."""
    seen: set[str] = set()
    for draft in drafts:
        cycle = () if draft.name in seen else _way(drafts, draft.name, draft.name)
        if cycle:
            seen.update(cycle)
            chain = " -> ".join((*cycle, draft.name))
            path = (*draft.path, "needs")
            document.fault(path, f"a cycle, {chain}; remove one of these needs")


def _way(drafts: Sequence[Draft], start: str, goal: str) -> tuple[str, ...]:
    """The stages from `start` along `needs` up to, not with, `goal`; empty: there is no way."""
    needs = {draft.name: draft.needs for draft in drafts}
    ways: list[tuple[str, ...]] = [(start,)]
    visited: set[str] = set()
    while ways:
        way = ways.pop()
        for need in needs.get(way[-1], ()):
            if need == goal:
                return way
            if need not in visited:
                visited.add(need)
                ways.append((*way, need))
    return ()


def giving_weights(draft: Draft, drafts: Sequence[Draft]) -> list[str]:
    """The parents whose weights our own stages can start from."""
    without = {other.name for other in drafts if other.kinds in (("evaluate",), ("command",))}
    return [need for need in draft.needs if need not in without]


def _check_weights(document: Document, draft: Draft, drafts: Sequence[Draft]) -> None:
    """A stage that continues from weights needs a parent that has some."""
    giving = giving_weights(draft, drafts)
    init_from = draft.raw.get("init_from")
    if init_from is not None and draft.kinds == ("command",):
        text = "a command takes weights by its arguments; write {parent:STAGE} there"
        document.fault((*draft.path, "init_from"), text)
    elif init_from is not None and init_from not in giving:
        of = f"one of {', '.join(giving)}" if giving else "a parent in needs"
        text = f"'{init_from}' is no parent with weights; name {of}"
        document.fault((*draft.path, "init_from"), text)
    if draft.kinds == ("evaluate",):
        who = "an evaluation"
    elif draft.kinds == ("train",) and draft.entry in _CONTINUES:
        who = f"entry {draft.entry}"
    else:
        return
    if not giving:
        text = f"{who} starts from another stage's weights; name that stage"
        document.fault((*draft.path, "needs"), text)


def _check_expectation(document: Document, draft: Draft) -> None:
    expect = draft.section.expect
    who = next((_WITHOUT_EPOCHS[kind] for kind in draft.kinds if kind in _WITHOUT_EPOCHS), None)
    if expect and expect.epoch is not None and who:
        text = f"{who} has no epochs; write {{total: 20m}}"
        document.fault((*draft.path, "expect", "epoch"), text)


def _check_cluster(document: Document, draft: Draft) -> None:
    settings = draft.cluster
    if settings is None:
        return
    if settings.gpus_per_node and settings.tasks > settings.gpus_per_node:
        text = (
            f"{settings.tasks} ranks cannot share {settings.gpus_per_node} GPUs; "
            "give at most one rank per GPU"
        )
        _fault_cluster(document, draft, "tasks_per_node", text)
    if settings.time_limit_s <= settings.signal_lead_s:
        text = (
            f"{format_duration(settings.time_limit_s)} is over before the job is told to save, "
            f"{format_duration(settings.signal_lead_s)} (signal_lead) ahead of its end; raise it"
        )
        _fault_cluster(document, draft, "time_limit", text)
    if settings.cpus_per_gpu and settings.cpus_per_task:
        text = "Slurm takes either cpus_per_gpu or cpus_per_task; remove one"
        _fault_cluster(document, draft, "cpus_per_task", text)
    for option in settings.sbatch:
        name = option.replace("_", "-")
        if name in _OWN_KEYS:
            text = f"'{option}' has a key of its own; write cluster.{_OWN_KEYS[name]} instead"
            _fault_cluster(document, draft, "sbatch", text)
        elif name in _TAKEN:
            text = f"the launcher sets '{option}' itself; leave it out"
            _fault_cluster(document, draft, "sbatch", text)
        elif name in _COUNTED and settings.is_elastic:
            text = f"with nodes: {settings.nodes} the launcher sets '{option}' itself; leave it out"
            _fault_cluster(document, draft, "sbatch", text)


def _fault_cluster(document: Document, draft: Draft, key: str, text: str) -> None:
    """Adds a fault of a cluster key at the stage where it gives the key, else at the top."""
    own = (*draft.path, "cluster", key)
    document.fault(own if own in document.places else ("cluster", key), text)


def _check_batch(document: Document, draft: Draft) -> None:
    if draft.train is None or draft.cluster is None:
        return
    try:
        draft.train.batching(draft.cluster.world_size)
    except ValueError as error:
        text = f"{error}; change it, batch_per_gpu, or nodes and tasks_per_node"
        document.fault((*draft.path, "train", "global_batch"), text)
    if draft.train.entry == "stage1" and draft.cluster.is_elastic:
        text = (
            "stage 1 contrasts the clips of all ranks with each other, fewer would train something "
            f"else; write nodes: {draft.cluster.max_nodes}"
        )
        _fault_cluster(document, draft, "nodes", text)


def _check_command(document: Document, draft: Draft) -> None:
    command, path = draft.command, (*draft.path, "command")
    if command is None:
        return
    for parent in sorted(command.parents - set(draft.needs)):
        known = ", ".join(draft.needs) or "none"
        text = f"{{parent:{parent}}} is no parent; add it to needs, which are: {known}"
        document.fault(path, text)
    settings = draft.cluster
    own = draft.raw.get("cluster")
    wanted = own.get("tasks_per_node") if isinstance(own, dict) else None
    if command.per_node and settings is not None and wanted not in (None, 1):
        text = (
            f"{command.argv[0]} is started once a node and starts the rest itself; remove this "
            "key, or write command.layout: task"
        )
        document.fault((*draft.path, "cluster", "tasks_per_node"), text)
