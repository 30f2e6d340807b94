"""Asks the ledger, and the newest event files, what earlier runs say about a pipeline's stages."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from db.engine import ledger_url
from db.errors import LedgerError
from db.ledger import Ledger
from db.pasts import PastStage, past_of
from jobs.contract.events import read_events
from jobs.contract.paths import AttemptKey, RunFolder
from launcher.past import Heard, Past, recall
from launcher.pipeline import Pipeline

_HEARD = 3
"""Event files of a stage that are read; a day of training is a few thousand lines."""


@dataclass(frozen=True)
class Remembered:
    """What is known of a pipeline's stages before anything is worked out of it.

    Attributes:
        stages: Of the ledger, by stage.
        heard: Of the event files, by stage.
    """

    stages: Mapping[str, PastStage]
    heard: Mapping[str, Heard]

    def recall(self, pipeline: Pipeline) -> dict[str, Past]:
        """What that says of each stage, for the nodes that the pipeline gives it."""
        return {
            stage.name: recall(stage, self.stages[stage.name], self.heard[stage.name])
            for stage in pipeline.stages
            if stage.name in self.stages
        }


def remember(pipeline: Pipeline) -> Remembered:
    """Asks the ledger of the pipeline's runs; where there is none nothing is known."""
    jobs = [stage.name for stage in pipeline.stages if stage.kind != "reuse"]
    try:
        ledger = Ledger.open(ledger_url(pipeline.runs), create=False)
        with ledger.read() as session:
            stages = {name: past_of(session, pipeline.name, name) for name in jobs}
    except LedgerError:  # there is none yet; of one that is broken `submit` tells by itself
        return Remembered({}, {})
    return Remembered(stages, {name: _listen(name, past) for name, past in stages.items()})


def _listen(stage: str, past: PastStage) -> Heard:
    """Reads the event files of the newest attempts that have ended."""
    ended = [
        (row, attempt)
        for row in past.stage_runs
        for attempt in reversed(row.attempts)
        if attempt.started_at is not None and attempt.ended_at is not None
    ]
    starts: list[float] = []
    held: list[float] = []
    for row, attempt in ended[:_HEARD]:
        folder = RunFolder(Path(row.run.folder)).stage(stage)
        told = list(read_events(folder.events_file(AttemptKey(attempt.slurm_id, attempt.restart))))
        ready = next((event.at for event in told if event.kind == "started"), None)
        if ready is not None and attempt.started_at is not None:
            starts.append(max(0.0, ready - attempt.started_at))
        saves = (event.fields.get("held_s") for event in told if event.kind == "checkpoint")
        held += [float(seconds) for seconds in saves if seconds is not None]
    return Heard(tuple(starts), tuple(held))
