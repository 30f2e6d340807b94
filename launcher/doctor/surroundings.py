"""What is around the launcher: programs, packages, host names, variables. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from launcher.doctor.finding import Finding, Level

_LITTLE: Final = 10_000_000
_MUST_MATCH: Final = ("python", "submitit", "torch", "deepspeed", "transformers")
_TRAINING: Final = ("torch", "deepspeed", "transformers")


@dataclass(frozen=True)
class Python:
    """A Python and what it has.

    Attributes:
        name: As `cluster.python` says it.
        versions: By package, `python` for itself; a package that is missing is left out.
        fault: Why it could not be asked; empty: it could.
    """

    name: str
    versions: Mapping[str, str]
    fault: str = ""


@dataclass(frozen=True, kw_only=True)
class Around:
    """What was seen.

    Attributes:
        programs: By program of Slurm, where it is found; None: it is not on PATH.
        client: What `sbatch --version` prints.
        here: This Python.
        pythons: Those that run stages, where that is another one.
        trains: A stage trains or evaluates, and needs the packages for it.
        unset: Variables that `notify` names and that are not set.
        env_warnings: What is wrong with the file of variables.
        ignored: Variables of this shell that sbatch is not given.
        state: Folder for reports of bugs.
        state_free_bytes: What may still be written there; None: it cannot be.
    """

    programs: Mapping[str, str | None]
    client: str
    here: Python
    pythons: tuple[Python, ...] = ()
    trains: bool = False
    unset: tuple[str, ...] = ()
    env_warnings: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    state: str = ""
    state_free_bytes: int | None = None


def surroundings(around: Around) -> Iterator[Finding]:
    """What is found of them."""
    yield from _programs(around)
    for python in around.pythons:
        yield from compared(around.here, python, where="cluster.python", trains=around.trains)
    if not around.pythons:
        yield from _own(around.here, trains=around.trains)
    yield from variables(around)
    if around.state_free_bytes is None or around.state_free_bytes < _LITTLE:
        yield Finding(
            level=Level.WARNING,
            id="state",
            where=around.state,
            what="cannot be written" if around.state_free_bytes is None else "is nearly full",
            why="the report of a bug would be lost",
            next="make room, or set XDG_STATE_HOME to another folder",
        )


def variables(around: Around) -> Iterator[Finding]:
    """Variables that are missing, or have no effect."""
    for name in around.unset:
        yield Finding(
            level=Level.WARNING,
            id="notify-unset",
            where="notify",
            what=f"{name} is not set here",
            why="nobody is told by it what happens to the run",
            next="put it into ~/.config/launcher/env (mode 600), which passes under cron read",
        )
    for line in around.env_warnings:
        yield Finding(level=Level.WARNING, id="env-file", what=line)
    if around.ignored:
        yield Finding(
            level=Level.WARNING,
            id="sbatch-variables",
            where="environment",
            what=f"{', '.join(around.ignored)}: set here, not given to sbatch",
            why="a pass that submits the stage again would not have them",
            next="write them into the pipeline file: cluster.account, cluster.partition, ...",
        )


def _programs(around: Around) -> Iterator[Finding]:
    if around.programs.get("sbatch") is None:
        yield Finding(
            level=Level.NOTE,
            id="no-slurm",
            what="sbatch is not on PATH: no Slurm here",
            why="pipelines run on this machine (cluster.backend: local)",
        )
        return
    missing = [name for name, path in around.programs.items() if path is None]
    if missing:
        yield Finding(
            level=Level.WARNING,
            id="slurm-programs",
            what=f"not on PATH: {', '.join(missing)}",
            why="the pass needs them",
            next="install Slurm's client programs, all of one version",
        )
    else:
        programs = ", ".join(around.programs)
        what = f"{programs} are here ({around.client or 'version not told'})"
        yield Finding(level=Level.OK, id="slurm-programs", what=what)


def _own(here: Python, *, trains: bool) -> Iterator[Finding]:
    missing = [name for name in _TRAINING if name not in here.versions]
    if trains and missing:
        yield Finding(
            level=Level.WARNING,
            id="packages",
            where="cluster.python",
            what=f"not set, and this Python has no {', '.join(missing)}",
            why="stages run in the launcher's own Python and cannot train",
            next="set cluster.python to the Python of the nodes, or install the extra [train]",
        )
    else:
        yield Finding(
            level=Level.OK, id="packages", what=f"stages run in this Python: {_all(here)}"
        )


def compared(here: Python, other: Python, *, where: str, trains: bool) -> Iterator[Finding]:
    """A Python that runs stages beside the one that submits them."""
    if other.fault:
        yield Finding(
            level=Level.UNKNOWN,
            id="python-silent",
            where=where,
            what=f"{other.name}: {other.fault}",
            why="if the nodes do not have it either, no stage can start",
            next="correct cluster.python; launcher doctor FILE --probe asks a node",
        )
        return
    missing = [
        n for n in (*_TRAINING, "submitit") if n not in other.versions and _needed(n, trains)
    ]
    if missing:
        yield Finding(
            level=Level.WARNING,
            id="packages",
            where=where,
            what=f"{other.name} has no {', '.join(missing)}",
            why="its stages end as soon as they start",
            next="install the extra [train] there, or set cluster.python to another",
        )
    different = [
        f"{name} {other.versions[name]} there, {here.versions[name]} here"
        for name in _MUST_MATCH
        if name in here.versions and name in other.versions
        if _differ(name, here.versions[name], other.versions[name])
    ]
    if different:
        yield Finding(
            level=Level.WARNING,
            id="versions-differ",
            where=where,
            what=f"{other.name}: {'; '.join(different)}",
            why="the task is pickled here and read there, and weights are checked by other code",
            next="install the same versions in both (constraints.txt)",
        )
    if not missing and not different:
        yield Finding(
            level=Level.OK, id="packages", where=where, what=f"{other.name}: {_all(other)}"
        )


def _needed(name: str, trains: bool) -> bool:  # noqa: FBT001 - of one caller
    return trains or name == "submitit"


def _differ(name: str, here: str, there: str) -> bool:
    """Of Python only the second number counts, of packages all but a build's mark (+cu124)."""
    if name == "python":
        return here.split(".")[:2] != there.split(".")[:2]
    return here.partition("+")[0] != there.partition("+")[0]


def _all(python: Python) -> str:
    return ", ".join(f"{name} {version}" for name, version in python.versions.items())


def names(resolved: Mapping[str, bool | None], own: str, *, total: int) -> Iterator[Finding]:
    """Whether the names of nodes, and of this machine, are known here.

    Args:
        resolved: By name; None: no answer in time.
        own: This machine's.
        total: How many nodes there are, of which some were tried.
    """
    lost = [name for name, found in resolved.items() if found is False]
    late = [name for name, found in resolved.items() if found is None]
    if lost:
        is_own = "; this machine's own name among them" if own in lost else ""
        yield Finding(
            level=Level.WARNING,
            id="names",
            what=f"host names that do not resolve here: {', '.join(lost)}{is_own}",
            why="the ranks of a job meet at the name of its first node",
            next="launcher doctor FILE --probe asks on a node; else tell the site, or use one node",
        )
    if late:
        yield Finding(
            level=Level.UNKNOWN,
            id="names",
            what=f"no answer in time for: {', '.join(late)}",
            next="try again; if it stays so, tell the site that its name server is slow",
        )
    if not lost and not late and resolved:
        tried = len(resolved) - (own in resolved)
        what = f"{tried} of {total} node names, and this machine's ({own}), resolve here"
        yield Finding(level=Level.OK, id="names", what=what)
