"""Multiple choice as in MVBench, over all ranks; how questions are put is in `jobs.examiner`.

Source: MVBench (arXiv 2311.17005): average = correct / all. Beside each accuracy stands what
answering by the most frequent answer gives.
"""

import json
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
import torch.distributed as dist

from jobs.build import model_config
from jobs.contract.files import write_atomic
from jobs.contract.manifest import Manifest, describe, write_manifest
from jobs.contract.spec import Evaluate, Task
from jobs.data.annotations import open_set
from jobs.data.choices import MVBENCH_INSTRUCTION
from jobs.data.dataset import ClipDataset
from jobs.data.items import ChoiceItem, MediaSet
from jobs.data.loader import evaluation_loader
from jobs.data.sampler import RankShare
from jobs.distributed import join, on_rank_0
from jobs.examiner import Examiner
from jobs.job import Job, RefusedError, StoppedError
from jobs.reporter import tell_bad_clips
from jobs.stage3 import conversation_batches
from jobs.trainer import language_model_dtype, precision_of
from model.stages import initialise
from model.video_chat import VideoChat

LONGEST_TEXT = 2048
RESULTS = "results.json"


@dataclass(frozen=True)
class Score:
    """How one task went.

    Attributes:
        name: The task.
        correct: Questions answered rightly.
        total: Questions asked; one whose clip cannot be read counts as wrong.
        majority: Questions that the most frequent answer is right for.
    """

    name: str
    correct: int
    total: int
    majority: int

    @property
    def accuracy(self) -> float:
        """Part answered rightly, 0 to 1."""
        return self.correct / self.total

    def as_fields(self) -> dict[str, str | int | float]:
        """As the event and the results file say it; `value` and `majority` are parts, 0 to 1."""
        return {
            "name": self.name,
            "value": self.accuracy,
            "correct": self.correct,
            "total": self.total,
            "majority": self.majority / self.total,
        }


def run(job: Job) -> None:
    """Evaluates on this rank; rank 0 tells the results and writes the final checkpoint.

    Raises:
        StoppedError: Stopped on a signal; the evaluation starts over next time.
        RefusedError: A newer attempt took over, or there is nothing to evaluate.
    """
    began = time.monotonic()
    join(job.place)
    wanted = job.spec.evaluate
    if wanted is None:
        raise RefusedError(f"stage {job.spec.stage}: its specification has no `evaluate`")
    job.tell("started", resume_step=0, total_steps=len(wanted.tasks), epochs=1)
    examiner = _examiner(job, wanted)
    job.stop.stay()
    scores = []
    for number, task in enumerate(wanted.tasks, start=1):
        score = _examine(job, examiner, task, wanted)
        job.tell("metric", **score.as_fields())
        job.tell("step", step=number, epoch=0)
        scores.append(score)
    average = total_of(scores)
    job.tell("metric", **average.as_fields())
    taken_over = on_rank_0(job.taken_over)
    if taken_over is not None:
        raise RefusedError(f"{taken_over}; the results are not saved", fault="fenced")
    if job.place.rank == 0:
        _finish(job, [*scores, average], time.monotonic() - began)


def total_of(scores: Sequence[Score]) -> Score:
    """The average over all questions, as MVBench counts it."""
    return Score(
        "average",
        sum(score.correct for score in scores),
        sum(score.total for score in scores),
        sum(score.majority for score in scores),
    )


def majority_of(items: Iterable[ChoiceItem]) -> int:
    """Questions that are answered rightly by always giving the most frequent answer."""
    counts = Counter(item.answer for item in items)
    return max(counts.values(), default=0)


def _examiner(job: Job, wanted: Evaluate) -> Examiner:
    config = model_config(job.spec.model)
    dtype = language_model_dtype(wanted.precision)
    module = VideoChat(config, stage=3, dtype=dtype)
    initialise(module, job.required_weights(), stage=None)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if precision_of(wanted.precision) != "fp32":
        module = module.to(dtype)
    batches = conversation_batches(job, config, LONGEST_TEXT)
    instruction = MVBENCH_INSTRUCTION if wanted.instruction is None else wanted.instruction
    return Examiner(module.to(device).eval(), batches, instruction, wanted.answer_by, device)


def _examine(job: Job, examiner: Examiner, task: Task, wanted: Evaluate) -> Score:
    """One task over all ranks; every rank gets the whole score.

    Between two batches the ranks look whether they are to stop; one that has had all of its own
    asks on, as often as the rank with the most.
    """
    questions = _questions(task, wanted.limit)
    size_px = examiner.module.cfg.video_encoder.image_size
    dataset = ClipDataset([questions], frames=wanted.frames, size_px=size_px, train=False)
    share = RankShare(job.place.rank, job.place.world_size, wanted.batch_per_gpu)
    correct = torch.zeros((), dtype=torch.int64, device=examiner.device)
    batches = iter(evaluation_loader(dataset, share, num_workers=wanted.workers))
    for _ in range(rounds_of(len(dataset), share)):
        if job.stop.agreed():
            raise StoppedError(0)
        batch = next(batches, None)
        if batch is not None:
            correct += examiner.count_correct(batch)
            tell_bad_clips(job, batch.bad)
    dist.all_reduce(correct)
    items = [item for item in questions.items if isinstance(item, ChoiceItem)]
    return Score(task.name, int(correct), len(items), majority_of(items))


def rounds_of(samples: int, share: RankShare) -> int:
    """Batches of the rank that has the most: rank 0, when the samples are dealt out in turn."""
    return -(-samples // (share.world_size * share.micro_batch))


def _questions(task: Task, limit: int | None) -> MediaSet:
    opened = open_set(task.annotations, task.media or task.annotations.parent, name=task.name)
    return MediaSet(opened.name, opened.kind, opened.items[:limit], opened.root, opened.directional)


def _finish(job: Job, scores: Sequence[Score], took_s: float) -> None:
    """Writes the results as the stage's final checkpoint: its done marker."""
    folder = job.folder.checkpoint(len(scores) - 1, final=True)
    rows = [score.as_fields() for score in scores]
    write_atomic(folder / RESULTS, json.dumps(rows, indent=1))
    manifest = Manifest(
        step=len(scores) - 1,
        world_size=job.place.world_size,
        files=(describe(folder / RESULTS, RESULTS),),
        save_s=took_s,
        code_sha=job.spec.code_sha,
        final=True,
    )
    write_manifest(folder, manifest)
    job.tell(
        "checkpoint",
        step=manifest.step,
        path=str(folder),
        bytes=manifest.bytes,
        save_s=0.0,
        final=True,
    )
