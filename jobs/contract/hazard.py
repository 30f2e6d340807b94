"""How often work is lost: written by the launcher from its ledger, read by the job that saves.

The rule is the mean of a Gamma distribution with one loss of prior knowledge: with `a` = 1,
M = (observed + a M0) / (losses + a). No loss yet gives a finite time, many losses drown M0.
"""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from jobs.contract.files import write_atomic

USUAL_S = 86_400.0
"""Mean time between losses where nothing was observed, seconds."""


def mean_time_between_s(observed_s: float, losses: int, prior_s: float = USUAL_S) -> float:
    """Expected seconds of running between two interruptions that lose work.

    Args:
        observed_s: Seconds that were run.
        losses: Interruptions meanwhile that lost work.
        prior_s: What would be expected without this observation.
    """
    return (observed_s + prior_s) / (losses + 1)


@dataclass(frozen=True, kw_only=True)
class Hazard:
    """What the launcher has seen of a stage's interruptions.

    Attributes:
        observed_s: Seconds that its ended attempts ran, as if all had had `nodes` nodes: two
            hours on half of the nodes count as one.
        losses: How many of them lost work: their end came without a save.
        prior_s: Mean time between losses of a job of `nodes` nodes where this stage was never
            seen: by what else ran in the partition.
        nodes: Nodes of the job that this is about.
    """

    observed_s: float = 0.0
    losses: int = 0
    prior_s: float = USUAL_S
    nodes: int = 1

    def on(self, nodes: int) -> "Hazard":
        """The same for a job that runs on another number of nodes: each can fail by itself."""
        factor = self.nodes / nodes
        return replace(
            self,
            observed_s=self.observed_s * factor,
            prior_s=self.prior_s * factor,
            nodes=nodes,
        )

    def mean_time_between_s(self, ran_s: float = 0.0) -> float:
        """Expected seconds between two losses, with `ran_s` more run without one."""
        return mean_time_between_s(self.observed_s + ran_s, self.losses, self.prior_s)


def write_hazard(path: Path, hazard: Hazard) -> None:
    """Writes the file, whole or not at all."""
    write_atomic(path, json.dumps(asdict(hazard), indent=1))


def read_hazard(path: Path, nodes: int) -> Hazard:
    """What the file says, for a job on so many nodes; the prior where there is no sound file.

    Nothing else can be known then, and the prior is what a new cluster has to go by anyway.
    """
    try:
        hazard = Hazard(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return Hazard(nodes=nodes)
    return hazard.on(nodes) if _is_sound(hazard) else Hazard(nodes=nodes)


def _is_sound(hazard: Hazard) -> bool:
    seconds = (hazard.observed_s, hazard.prior_s)
    return (
        all(isinstance(value, int | float) for value in seconds)
        and type(hazard.losses) is int
        and type(hazard.nodes) is int
        and 0 <= hazard.observed_s < float("inf")
        and 0 < hazard.prior_s < float("inf")
        and hazard.losses >= 0
        and hazard.nodes >= 1
    )
