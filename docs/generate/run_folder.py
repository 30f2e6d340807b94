"""Where things lie in a run folder, and what event files tell, from `jobs/contract/`."""

import inspect
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from docs.generate.docstrings import UndocumentedError
from docs.generate.tables import table
from jobs.contract import events
from jobs.contract.paths import AttemptKey, RunFolder, StageFolder

_STAGE: Final = "stage2"
_ATTEMPT: Final = AttemptKey("4711", 1)
_EXAMPLES: Final[Mapping[str, dict[str, Any]]] = {
    "events_file": {"attempt": _ATTEMPT, "rank": 3},
    "log_file": {"attempt": _ATTEMPT, "rank": 3},
    "stack_file": {"attempt": _ATTEMPT, "rank": 3},
    "report_file": {"attempt": _ATTEMPT, "step": 1200},
    "checkpoint": {"step": 1200, "final": True},
}
"""Of what is one of many, one."""
_ENDINGS: Final = "after exit, on Slurm: "
"""Before the last item of the list, which holds several kinds."""


def paths() -> str:
    """Each path below the run folder and what lies there, as a table."""
    run = RunFolder(Path())
    found = [*_places(run), *_places(run.stage(_STAGE))]
    return table(("path in the run folder", "what"), [(f"`{path}`", told) for path, told in found])


def event_kinds() -> str:
    """Each kind of event and its fields, as a table."""
    listed = (events.__doc__ or "").partition("`kind`:\n\n- ")[2].partition("\n\n")[0]
    kinds = [kind for item in listed.split("\n- ") for kind in _kinds(" ".join(item.split()))]
    return table(("kind", "what it tells"), [(f"`{kind}`", told) for kind, told in kinds])


def _kinds(item: str) -> Iterator[tuple[str, str]]:
    """One item of the list of the module's docstring: a kind, or several without a comment."""
    several = item.startswith(_ENDINGS)
    for each in item.removeprefix(_ENDINGS).split("; ") if several else [item]:
        kind, _, told = each.partition(": ")
        if not kind.isidentifier():
            raise UndocumentedError(f"jobs.contract.events: {each!r} does not begin with a kind")
        yield kind, told


def _places(folder: RunFolder | StageFolder) -> Iterator[tuple[str, str]]:
    for name, member in vars(type(folder)).items():
        if name.startswith("_") or name in ("root", "stage"):
            continue
        if isinstance(member, property):
            path = getattr(folder, name)
        elif inspect.isfunction(member):
            if name not in _EXAMPLES:
                raise UndocumentedError(f"{name}: docs.generate.run_folder has no example of it")
            path = member(folder, **_EXAMPLES[name])
        else:
            continue
        told = inspect.getdoc(member)
        if not told:
            raise UndocumentedError(f"{type(folder).__name__}.{name} has no docstring")
        yield str(path), " ".join(told.split())
