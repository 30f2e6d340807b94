"""Names in braces in a command line, such as `{resume}`, and what stands for them.

Only a small word in braces is a name: JSON and Python formats go through untouched, and
`{{word}}` gives `{word}`.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Final

NAMES: Final = {
    "attempt": "Slurm id and restart count",
    "checkpoints": "folder of the stage for the program's own checkpoints",
    "gpus_per_node": "GPUs of each node",
    "local_rank": "number of this process on its node",
    "master_addr": "first node of the job",
    "master_port": "a port for the rendezvous, another one after each restart",
    "node_rank": "number of this node",
    "nodes": "nodes of the job",
    "parent": "final checkpoint of a parent, with its name: {parent:stage2}",
    "python": "the Python that runs the job",
    "rank": "number of this process among all",
    "resume": "newest complete checkpoint; in `when_resuming` only",
    "run_folder": "folder of the run",
    "stage": "name of the stage",
    "stage_folder": "folder of the stage in the run",
    "stop_file": "appears when the program should save and end",
    "when_resuming": "the arguments of `when_resuming`, an item of its own",
    "world_size": "processes that the job starts",
}
"""Each name and what it stands for."""
_PATTERN: Final = re.compile(r"\{(\{)?([a-z_]+)(?::([A-Za-z0-9_-]+))?\}(?(1)\})")


def names_in(text: str) -> Iterator[tuple[str, str | None]]:
    """The names in a text, each with what stands behind its colon."""
    for found in _PATTERN.finditer(text):
        if not found[1]:
            yield found[2], found[3]


def fault_in(text: str) -> str | None:
    """What is wrong with the names in a text; None: nothing."""
    for name, argument in names_in(text):
        if name not in NAMES:
            return (
                f"{{{name}}} is no name of this launcher's; known: {', '.join(NAMES)}; "
                f"write {{{{{name}}}}} to pass it on as it is"
            )
        if (name == "parent") != (argument is not None):
            form = "{parent:STAGE}" if name == "parent" else f"{{{name}}}"
            return f"write {form}"
    return None


def fill(text: str, values: Mapping[str, str]) -> str:
    """The text with what stands for its names.

    Args:
        text: Without faults.
        values: By name; parents as `parent:<stage>`.

    Raises:
        KeyError: A name has no value here.
    """

    def value(found: re.Match[str]) -> str:
        name = found[2] if found[3] is None else f"{found[2]}:{found[3]}"
        return f"{{{name}}}" if found[1] else values[name]

    return _PATTERN.sub(value, text)
