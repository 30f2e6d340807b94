"""Multiple choice as in MVBench; how questions are put is in `jobs.evaluation.examiner`.

Source: MVBench (arXiv 2311.17005): average = correct / all. Beside each accuracy stands what
answering by the most frequent answer gives. The files for its leaderboard are written in the
form of mvbench.ipynb of the reference.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from jobs.contract.evaluation import Evaluate
from jobs.data.choices import MVBENCH_INSTRUCTION, option
from jobs.data.items import ChoiceItem
from jobs.evaluation.answers import Answer
from jobs.evaluation.examiner import Examiner
from jobs.evaluation.forms import load_chat_model
from jobs.evaluation.scores import Results, Score, Tell, total_of
from jobs.evaluation.sets import open_parts, rows_of
from jobs.evaluation.survey import Part, Survey
from jobs.job import Job

FRAMES = 16
MAX_NEW_TOKENS = 100
UPLOAD = "upload_leaderboard.json"
ALL_RESULTS = "all_results.json"


def evaluate(job: Job, wanted: Evaluate, tell: Tell) -> Results:
    """Asks all tasks; tells the score of each when it is done, and the average.

    Raises:
        StoppedError: Stopped on a signal; the answers so far are saved.
        RefusedError: A newer attempt took over, or there are no weights.
    """
    model = load_chat_model(job, wanted)
    instruction = MVBENCH_INSTRUCTION if wanted.instruction is None else wanted.instruction
    examiner = Examiner(
        model.module,
        model.batches,
        instruction,
        wanted.answer_by,
        model.device,
        wanted.max_new_tokens or MAX_NEW_TOKENS,
    )
    size_px = model.module.cfg.video_encoder.image_size
    parts = open_parts(wanted, frames=wanted.frames or FRAMES, size_px=size_px)
    job.stop.stay()
    survey = Survey(job, wanted, parts)
    scores, answered = [], list[tuple[Answer, ChoiceItem]]()
    for part in parts:
        given = survey.over(part, examiner.answers)
        items = [item for item in rows_of(part) if isinstance(item, ChoiceItem)]
        scores.append(score_of(part, given, items))
        answered += zip(given, items, strict=True)
        tell(scores[-1])
    tell(total_of(scores))
    files = {UPLOAD: leaderboard(scores), ALL_RESULTS: all_results(scores, answered)}
    return Results(survey.step, files)


def score_of(part: Part, answers: Sequence[Answer], items: Sequence[ChoiceItem]) -> Score:
    """How a task went."""
    right = sum(bool(answer["right"]) for answer in answers)
    return Score(part.name, right, len(items), majority_of(items))


def majority_of(items: Iterable[ChoiceItem]) -> int:
    """Questions that are answered rightly by always giving the most frequent answer."""
    counts = Counter(item.answer for item in items)
    return max(counts.values(), default=0)


def leaderboard(scores: Sequence[Score]) -> str:
    """What MVBench's leaderboard takes: percent of each task, and `Avg` over all questions."""
    percent: Mapping[str, float] = {score.name: score.accuracy * 100 for score in scores}
    return json.dumps({**percent, "Avg": total_of(scores).accuracy * 100}, indent=1)


def all_results(scores: Sequence[Score], answered: Iterable[tuple[Answer, ChoiceItem]]) -> str:
    """Right and all answers of each task, and every answer beside the right one."""
    listed = [
        {"pred": answer["pred"], "gt": option(item.candidates, item.answer_index)}
        for answer, item in answered
    ]
    counts = {score.name: [score.correct, score.total] for score in scores}
    return json.dumps({"acc_dict": counts, "res_list": listed}, indent=1)
