"""An evaluation stage, over all ranks: choices, retrieval or captions (`jobs.evaluation`)."""

import json
from collections.abc import Callable

from jobs.contract.evaluation import Evaluate
from jobs.distributed import join
from jobs.evaluation import captions, choice, retrieval
from jobs.evaluation.fitting import EvaluationKind
from jobs.evaluation.saving import save
from jobs.evaluation.scores import Results, Score, Tell
from jobs.job import Job, RefusedError

RESULTS = "results.json"

KINDS: dict[EvaluationKind, Callable[[Job, Evaluate, Tell], Results]] = {
    "choice": choice.evaluate,
    "retrieval": retrieval.evaluate,
    "captions": captions.evaluate,
}


def run(job: Job) -> None:
    """Evaluates on this rank; rank 0 tells the results and writes the final checkpoint.

    Raises:
        StoppedError: Stopped on a signal; the answers so far are saved.
        RefusedError: A newer attempt took over, or there is nothing to evaluate.
    """
    join(job.place)
    job.stop.meet()
    wanted = job.spec.evaluate
    if wanted is None:
        raise RefusedError(f"stage {job.spec.stage}: its specification has no `evaluate`")
    rows = []

    def tell(score: Score) -> None:
        rows.append(score.as_fields())
        job.tell("metric", **score.as_fields())

    results = KINDS[wanted.kind](job, wanted, tell)
    files = {RESULTS: json.dumps(rows, indent=1), **results.files}
    save(job, results.step, files, final=True)
