"""The tables of the report: all that its charts show, and what they cannot. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath

from db.schema import Checkpoint, StageRun
from launcher.accounting.attempt import AttemptSpent
from launcher.accounting.parts import Part, Spent, percentages
from launcher.endings import cause_of, how_ended
from launcher.report.story import Story
from launcher.words import HOUR_S, hours, moment, points, size, span

ATTEMPTS_SHOWN = 400
CHECKPOINTS_SHOWN = 100
"""The newest of each stage."""
MEANINGS = {
    Part.PRODUCTIVE: "steps that count, without the wait for their data",
    Part.START_UP: "from the allocation to the first step",
    Part.CHECKPOINT: "saves that training waited for",
    Part.LOST: "steps that were made again, or never saved",
    Part.IDLE: "nothing that training could use",
}


@dataclass(frozen=True)
class Table:
    """One table.

    Attributes:
        caption: What it shows.
        columns: Their heads; those that end with `>` hold numbers.
        rows: Texts, as they are.
        sub: Rows that are parts of the one above them, by number.
        note: What is left out; empty: nothing.
    """

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    sub: frozenset[int] = field(default_factory=frozenset)
    note: str = ""


def parts_table(story: Story) -> Table:
    """The waterfall in numbers, and what is in its idle part."""
    seconds, gpu_s = story.account.spent, story.account.gpu_spent
    base = gpu_s if story.has_gpus else seconds
    share = percentages(base.waterfall)
    rows, sub = (
        [_part_row(story, "allocated", "all of it", seconds.allocated, gpu_s.allocated, "100 %")],
        set(),
    )
    for part, meaning in MEANINGS.items():
        rows.append(_part_row(story, part, meaning, seconds.waterfall[part],
                              gpu_s.waterfall[part], points(share[part])))  # fmt: skip
    for name in base.idle_parts:
        sub.add(len(rows))
        part_of = base.idle_parts[name] / base.allocated * 100 if base.allocated else 0.0
        rows.append(_part_row(story, name, "of the idle part", seconds.idle_parts[name],
                              gpu_s.idle_parts[name], points(part_of)))  # fmt: skip
    columns = ("part", "share>", "time>", *(("GPU-hours>",) if story.has_gpus else ()),
               *(("cost>",) if _has_cost(story) else ()), "what")  # fmt: skip
    return Table("Where the allocated time went", columns, tuple(rows), frozenset(sub))


def _part_row(
    story: Story, name: str, meaning: str, seconds: float, gpu_s: float, share: str
) -> tuple[str, ...]:
    gpu = (hours(gpu_s),) if story.has_gpus else ()
    return (name, share, span(seconds), *gpu, *_cost(story, gpu_s), meaning)


def _has_cost(story: Story) -> bool:
    return story.price is not None and story.has_gpus


def _cost(story: Story, gpu_s: float) -> tuple[str, ...]:
    return (story.price.of(gpu_s / HOUR_S),) if story.price and story.has_gpus else ()


def stages_table(story: Story) -> Table:
    """Where the time of each stage went."""
    rows = []
    for row, account in zip(story.stages, story.account.stages, strict=True):
        gpu = (hours(account.gpu_spent.allocated),) if story.has_gpus else ()
        rows.append(
            (
                row.stage,
                str(row.state),
                str(len(account.attempts)),
                span(account.queued_s),
                span(account.spent.allocated),
                *gpu,
                *_cost(story, account.gpu_spent.allocated),
                *_shares(account.spent),
                f"{sum(each.lost_steps for each in account.attempts):,}",
            )
        )
    columns = ("stage", "state", "attempts>", "queued>", "held>",
               *(("GPU-hours>",) if story.has_gpus else ()),
               *(("cost>",) if _has_cost(story) else ()),
               *(f"{part} %>" for part in Part), "steps lost>")  # fmt: skip
    return Table("Stages", columns, tuple(rows))


def _shares(spent: Spent) -> tuple[str, ...]:
    if not spent.allocated:
        return ("-",) * len(Part)
    return tuple(f"{share:.1f}" for share in percentages(spent.waterfall).values())


def attempts_table(story: Story) -> Table:
    """Every attempt: how it ended, what it made, where its time went."""
    found = [row for stage in story.stages for row in _attempts(story, stage)]
    left_out = max(0, len(found) - ATTEMPTS_SHOWN)
    columns = ("stage", "#>", "job", "started", "queued>", "held>", "nodes>", "end", "steps",
               "lost>", *(("GPU-hours>",) if story.has_gpus else ()), "goodput %>",
               "message")  # fmt: skip
    return Table("Attempts", columns, tuple(found[left_out:]), note=_left_out(left_out, "attempts"))


def _left_out(count: int, what: str) -> str:
    return f"{count:,} older {what} are left out here; all are in every sum." if count else ""


def _attempts(story: Story, stage: StageRun) -> Iterator[tuple[str, ...]]:
    accounts = {each.stage: each for each in story.account.stages}
    spent = {id(each.attempt): each for each in accounts[stage.stage].attempts}
    for number, attempt in enumerate(stage.attempts, start=1):
        how = how_ended(attempt)
        end = f"{how}: {cause}" if (cause := cause_of(attempt)) else str(how)
        yield (
            stage.stage,
            str(number),
            f"{attempt.slurm_id}.{attempt.restart}",
            moment(attempt.started_at),
            "-" if attempt.queued_s is None else span(attempt.queued_s),
            *_held(story, spent.get(id(attempt)), str(attempt.num_nodes or stage.nodes), end),
            (attempt.message or "").strip(),
        )


def _held(story: Story, each: AttemptSpent | None, nodes: str, end: str) -> tuple[str, ...]:
    if each is None:
        gpu = ("-",) if story.has_gpus else ()
        return ("-", nodes, "waits", "-", "-", *gpu, "-")
    steps = "-" if each.to_step is None else f"{each.from_step or 0:,} to {each.to_step:,}"
    gpu = (hours(each.spent.allocated * each.gpus),) if story.has_gpus else ()
    return (span(each.spent.allocated), nodes, end, steps, f"{each.lost_steps:,}", *gpu,
            _shares(each.spent)[0])  # fmt: skip


def curves_table(story: Story) -> Table:
    """The curves in numbers."""
    rows = tuple(
        (stage, each.title, f"{each.told:,}", f"{each.last:.4g}", f"{each.least:.4g}",
         f"{each.most:.4g}")
        for stage, curves in story.curves.items()
        for each in curves
    )  # fmt: skip
    return Table(
        "Curves in numbers", ("stage", "curve", "points>", "last>", "least>", "greatest>"), rows
    )


def checkpoints_table(story: Story) -> Table:
    """The checkpoints that the ledger knows, and whether they were verified."""
    rows, left_out = list[tuple[str, ...]](), 0
    for stage in story.stages:
        left_out += max(0, len(stage.checkpoints) - CHECKPOINTS_SHOWN)
        rows += [_checkpoint(stage.stage, each) for each in stage.checkpoints[-CHECKPOINTS_SHOWN:]]
    columns = ("stage", "step>", "kind", "size>", "save took>", "saved", "verified", "folder")
    return Table("Checkpoints", columns, tuple(rows), note=_left_out(left_out, "checkpoints"))


def _checkpoint(stage: str, saved: Checkpoint) -> tuple[str, ...]:
    verified = "sizes only" if saved.verified_at is None else moment(saved.verified_at)
    kind = "final" if saved.final else "on the way"
    took = f"{saved.save_s:.1f} s"
    return (stage, f"{saved.step:,}", kind, size(saved.bytes), took, moment(saved.created_at),
            verified, PurePath(saved.path).name)  # fmt: skip


def metrics_table(story: Story) -> Table:
    """What evaluations measured."""
    rows = tuple(
        (stage, str(m.get("name")), _number(m.get("value")), _of(m), _number(m.get("majority")))
        for stage, metrics in story.metrics.items()
        for m in metrics
    )
    return Table("Evaluations", ("stage", "metric", "value>", "right>", "majority>"), rows)


def _number(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, int | float) else "-"


def _of(metric: dict[str, object] | object) -> str:
    if not isinstance(metric, dict) or metric.get("correct") is None:
        return "-"
    return f"{metric['correct']} of {metric.get('total')}"


def rules_table(story: Story) -> Table:
    """How often each rule led to something."""
    rows = tuple(
        (each.rule, f"{each.count:,}", moment(each.first_at), moment(each.last_at))
        for each in story.rules
    )
    return Table("Rules that led to something", ("rule", "times>", "first", "last"), rows)


def decisions_table(story: Story) -> Table:
    """The newest decisions, with the ids of their rules."""
    rows = tuple((moment(e.at), e.stage or "-", e.rule, e.text) for e in story.decisions)
    left_out = sum(each.count for each in story.rules) - len(rows)
    return Table("Decisions", ("when", "stage", "rule", "what happened, and why"), rows,
                 note=_left_out(left_out, "decisions"))  # fmt: skip


def tables(story: Story) -> dict[str, Table]:
    """All of them, by the names that the page knows them by."""
    return {
        "parts": parts_table(story),
        "stages": stages_table(story),
        "attempts": attempts_table(story),
        "curves": curves_table(story),
        "checkpoints": checkpoints_table(story),
        "metrics": metrics_table(story),
        "rules": rules_table(story),
        "decisions": decisions_table(story),
    }


def facts(story: Story) -> Sequence[tuple[str, str]]:
    """What the head of the page says of the run."""
    run = story.run
    return (
        ("state", str(run.state)),
        ("pipeline", run.name),
        ("submitted", f"{moment(run.created_at)} by {run.submitted_by}"),
        ("code", run.code_sha + (" with changes" if run.code_dirty else "")),
        ("folder", run.folder),
        ("read", moment(story.now)),
    )
