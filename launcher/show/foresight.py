"""What is to be expected of a run, as tables and lines."""

import math
from collections.abc import Sequence

from rich.markup import escape
from rich.table import Table

from launcher.foresee import Intervals, StageForesight
from launcher.foresee.rates import format_rate
from launcher.foresee.stage import GIVE_UP, IN_VAIN
from launcher.outlook import Assumed, Outlook, Wanted
from launcher.show.console import Screen
from launcher.sizes import Size
from launcher.words import estimate, percent

_DAY_S = 86_400


def show_outlook(screen: Screen, outlook: Outlook) -> None:
    """Shows when it is done, where the time goes, how often to save, and what that rests on."""
    head = (*interruption_lines(outlook.wanted), *done_lines(outlook))
    screen.result("", *map(escape, head), stages_table(outlook))
    if any(each.tried for each in outlook.intervals):
        screen.result("", f"[bold]{intervals_title(outlook)}[/]", intervals_table(outlook))
    screen.result("", *map(escape, basis_lines(outlook)))


def interruption_lines(wanted: Wanted) -> list[str]:
    """What comes between."""
    lines = []
    if wanted.announced_per_s is not None:
        lines.append(f"with {format_rate(wanted.announced_per_s)} preemptions of each job")
    if wanted.node_failures_per_s is not None:
        a_day = wanted.node_failures_per_s * _DAY_S
        lines.append(f"with {a_day:.3g} failures a node and day ({wanted.failures})")
    return lines


def done_lines(outlook: Outlook) -> list[str]:
    """When the run is done, and at what price."""
    told = outlook.foresight
    of_runs = f"of {told.runs} simulated run{'s' * (told.runs > 1)}, seed {told.seed}"
    lost = (
        f"{told.undone} of them came to no end: {GIVE_UP} times the undisturbed time, or {IN_VAIN} "
        "attempts in vain"
    )
    if told.undone == told.runs:
        return ["it is never done: save more often, or take fewer nodes", of_runs, lost]
    if math.isinf(told.p50_s):
        never = "more than half of the runs never end: save more often, or take fewer nodes"
        return [never, of_runs, lost]
    lines = [
        f"done in {estimate(told.p50_s)} (p50), {estimate(told.p10_s)} (p10) to "
        f"{estimate(told.p90_s)} (p90); {told.gpu_hours:.4g} GPU-h, "
        f"goodput {percent(told.goodput)}",
        of_runs,
    ]
    return [*lines, lost] if told.undone else lines


def intervals_title(outlook: Outlook) -> str:
    """What the intervals are about."""
    title = "time between two saves"
    return title if outlook.loses_work else f"{title}, if preemptions came without notice"


def stages_table(outlook: Outlook) -> Table:
    """One row a stage: when, and where its wall-clock goes on average."""
    table = _numbers("stage", "p10", "p50", "p90", "stops", "goodput", *_PARTS)
    for stage in outlook.foresight.stages:
        table.add_row(escape(stage.name), *stage_row(stage))
    return table


_PARTS = ("work", "saves", "lost", "start", "queue")


def stage_row(stage: StageForesight) -> tuple[str, ...]:
    """The cells of a stage, without its name."""
    spent, wall_s = stage.spent, stage.spent.wall_s or 1.0
    parts = (spent.productive_s, spent.saves_s, spent.lost_s, spent.start_s, spent.queue_s)
    when = (estimate(stage.p10_s), estimate(stage.p50_s), estimate(stage.p90_s))
    if not spent.wall_s:  # the stage before it never ends
        return (*when, *("-" for _ in range(2 + len(parts))))
    shares = (percent(part / wall_s) for part in parts)
    return (*when, f"{spent.interruptions:.3g}", percent(spent.goodput), *shares)


def intervals_table(outlook: Outlook) -> Table:
    """One row a stage: how often it saves, and how often would be best."""
    table = _numbers("stage", "now", "Young", "Daly", "simulated", "as good", "goodput then")
    for assumed, tried in zip(outlook.assumed, outlook.intervals, strict=True):
        table.add_row(escape(assumed.stage), *interval_row(assumed, tried))
    return table


def interval_row(assumed: Assumed, tried: Intervals) -> tuple[str, ...]:
    """The cells of a stage, without its name; dashes where no work is lost."""
    now = estimate(assumed.model.interval_s)
    formulas = tuple(estimate(s) if s < math.inf else "-" for s in (tried.young_s, tried.daly_s))
    if tried.best is None or tried.as_good_s is None:
        return (now, *formulas, "-", "-", "-")
    near = f"{estimate(tried.as_good_s[0])} - {estimate(tried.as_good_s[1])}"
    return (now, *formulas, estimate(tried.best.interval_s), near, percent(tried.best.goodput))


def basis_lines(outlook: Outlook) -> list[str]:
    """What the simulation rests on; stages of which the same is said stand together."""
    said: dict[str, list[str]] = {}
    for each in outlook.assumed:
        said.setdefault(_basis(each), []).append(each.stage)
    return [f"{', '.join(names)}: {line}" for line, names in said.items()]


def _basis(each: Assumed) -> str:
    model = each.model
    restart_s = model.start_s + model.wait_s
    saves = f"save {estimate(model.save_s)} ({each.save_from}) {_every(each)}"
    line = f"{saves}, restart {estimate(restart_s)} ({each.restart_from})"
    if model.wait_s:
        line += f", of it queue {estimate(model.wait_s)}"
    if not model.resumes:
        return f"{line}; it cannot resume: each interruption starts it over"
    if each.grace_s is not None:
        line += f"; preemptions lose work: no save fits into {estimate(each.grace_s)} of grace"
    return line


def _every(each: Assumed) -> str:
    if not each.model.resumes:
        return "at its end only"
    return f"each {estimate(each.model.interval_s)} ({each.interval})"


def show_sizes(screen: Screen, sizes: Sequence[Size]) -> None:
    """Shows one row a size, and why one cannot be."""
    screen.result("", "[bold]sizes[/]", sizes_table(sizes))
    screen.result(escape(sizes_note(sizes)))
    screen.result(*(escape(f"  {size.nodes} nodes: {size.fault}") for size in sizes if size.fault))


def sizes_note(sizes: Sequence[Size]) -> str:
    """What the numbers rest on, and what is not in them."""
    unknown = dict.fromkeys(name for size in sizes if size.plan for name in size.plan.unknown)
    without = f", without {', '.join(unknown)}" if unknown else ""
    return (
        "as if times by the ledger fell with the ranks, those by expect with the rounds of each; "
        f"the first queue is left out{without}"
    )


def sizes_table(sizes: Sequence[Size]) -> Table:
    """One row a size."""
    foreseen = any(size.outlook for size in sizes)
    more = ("p50", "p90", "GPU-h then", "goodput") if foreseen else ()
    table = _numbers("nodes", "wall-clock", "GPU-hours", *more)
    for size in sizes:
        cells = size_row(size)
        table.add_row(*(cells if foreseen else cells[:3]))
    return table


def size_row(size: Size) -> tuple[str, ...]:
    """The cells of a size; dashes where it cannot be, or nothing is known."""
    plan, outlook = size.plan, size.outlook
    known = plan is not None and plan.wall_s > 0
    walls = (estimate(plan.wall_s), f"{plan.gpu_hours:.4g}") if plan and known else ("-", "-")
    if outlook is None:
        return (str(size.nodes), *walls, "-", "-", "-", "-")
    told = outlook.foresight
    then = (
        estimate(told.p50_s),
        estimate(told.p90_s),
        f"{told.gpu_hours:.4g}",
        percent(told.goodput),
    )
    return (str(size.nodes), *walls, *then)


def _numbers(first: str, *rest: str) -> Table:
    """A table whose first column is a name and whose others are numbers."""
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column(first, overflow="fold")
    for name in rest:
        table.add_column(name, justify="right", no_wrap=True)
    return table
