"""What a foreign program finds: its arguments, its environment, its folders."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from jobs.contract.command import Command
from jobs.contract.manifest import Manifest, done_marker
from jobs.contract.placeholders import fill
from jobs.job import Job, RefusedError

_RANKS: Final = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
_THREADS: Final = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY")
"""What `jobs.distributed.share_cores` sets."""
_NAME_OF: Final = {"NNODES": "nodes"}


@dataclass(frozen=True)
class Surroundings:
    """Where one process of a command stage stands.

    Args:
        job: This rank's view of the attempt.
        command: What to run.
    """

    job: Job
    command: Command

    @property
    def checkpoints(self) -> Path:
        """The folder that the program may put its own checkpoints into."""
        return self.job.folder.root / "output"

    @property
    def stop_file(self) -> Path:
        """Appears when the program should save and end; another one for each attempt."""
        return self.job.folder.root / "stop" / str(self.job.place.attempt)

    @property
    def node_rank(self) -> int:
        """Number of this node."""
        place = self.job.place
        return place.rank // max(1, place.world_size // len(place.hosts))

    def names(self, resume: Path | None) -> dict[str, str]:
        """What stands for the names in the command line; see `jobs.contract.placeholders`.

        Raises:
            RefusedError: A parent whose checkpoint it wants has none.
        """
        job, place = self.job, self.job.place
        values = {
            "attempt": str(place.attempt),
            "checkpoints": str(self.checkpoints),
            "gpus_per_node": str(job.spec.gpus_per_node),
            "local_rank": str(place.local_rank),
            "master_addr": place.hosts[0],
            "master_port": str(place.port),
            "node_rank": str(self.node_rank),
            "nodes": str(len(place.hosts)),
            "python": sys.executable,
            "rank": str(place.rank),
            "run_folder": str(job.run.root),
            "stage": job.spec.stage,
            "stage_folder": str(job.folder.root),
            "stop_file": str(self.stop_file),
            "world_size": str(place.world_size),
        }
        values |= {f"parent:{name}": str(self._parent(name)) for name in self.command.parents}
        return values if resume is None else values | {"resume": str(resume)}

    def _parent(self, name: str) -> Path:
        found = done_marker(self.job.run.stage(name).checkpoints, digests=False)
        if found is None:
            raise RefusedError(f"stage {name} has no valid final checkpoint")
        return handed_on(*found)

    def arguments(self, resume: Path | None) -> list[str]:
        """The command line."""
        names, command = self.names(resume), self.command
        more = [] if resume is None else [fill(word, names) for word in command.when_resuming]
        at = "{when_resuming}"
        words = command.argv if at in command.argv else (*command.argv, at)
        filled = [more if word == at else [fill(word, names)] for word in words]
        return [word for some in filled for word in some]

    def environment(self, resume: Path | None, inherited: Mapping[str, str]) -> dict[str, str]:
        """The program's environment.

        Args:
            resume: The checkpoint to go on from.
            inherited: The job's own.
        """
        names = self.names(resume)
        ours = {
            "LAUNCHER_RUN_FOLDER": names["run_folder"],
            "LAUNCHER_STAGE_FOLDER": names["stage_folder"],
            "LAUNCHER_CHECKPOINTS": names["checkpoints"],
            "LAUNCHER_ATTEMPT": names["attempt"],
            "LAUNCHER_FENCE": str(self.job.task.fence),
            "LAUNCHER_STOP_FILE": names["stop_file"],
            "MASTER_ADDR": names["master_addr"],
            "MASTER_PORT": names["master_port"],
            # Progress is read from the output, and what a killed program has said must be there.
            "PYTHONUNBUFFERED": inherited.get("PYTHONUNBUFFERED", "1"),
        }
        if resume is not None:
            ours["LAUNCHER_RESUME"] = names["resume"]
        for name in ("NNODES", "NODE_RANK") if self.command.per_node else _RANKS:
            ours[name] = names[_NAME_OF.get(name, name.lower())]
        own = {key: fill(text, names) for key, text in self.command.env.items()}
        return self._inherited(inherited) | ours | own

    def _inherited(self, variables: Mapping[str, str]) -> dict[str, str]:
        """The job's environment without what is meant for our own code."""
        dropped = {*_RANKS, "NNODES", "NODE_RANK", "LAUNCHER_RESUME", "PYTHONSAFEPATH"}
        if self.command.per_node:  # shared out among the ranks of the node, of which it is one
            dropped |= {*_THREADS} - started_with().keys()
        kept = {key: value for key, value in variables.items() if key not in dropped}
        if kept.get("PYTHONPATH") == str(self.job.run.code):
            del kept["PYTHONPATH"]
        return kept


def started_with() -> dict[str, str]:
    """This process's environment as it was at its start."""
    pairs = Path("/proc/self/environ").read_text(errors="replace").split("\0")
    return dict(pair.split("=", 1) for pair in pairs if "=" in pair)


def handed_on(folder: Path, manifest: Manifest) -> Path:
    """What a program is given of another stage's final checkpoint.

    The weights of our own stages; of another program what it had saved; else the folder.
    """
    if manifest.weights is not None:
        return folder / manifest.weights
    return folder if manifest.source is None else Path(manifest.source)
