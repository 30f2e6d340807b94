"""From a plan to a simulation: what is assumed, by whom, and what is shown of it."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from jobs.contract.hazard import USUAL_S
from jobs.contract.interval import daly_s
from launcher.cluster.base import NoAnswer
from launcher.cluster.notice import Notice
from launcher.disk import Disk, StageDisk, copies_of, look_at_disk
from launcher.outlook import Outlook, Wanted, assume, look_ahead
from launcher.past import NOTHING, Past
from launcher.plan import Plan, make_plan
from launcher.queues import Queues, ask_queues
from launcher.saving import interval_of
from launcher.show.ahead import show_ahead
from launcher.show.console import Screen
from launcher.show.foresight import done_lines
from launcher.show.foresight_json import ahead_json
from launcher.show.plan import critical_line, plan_table
from launcher.show.surroundings import disk_line, disk_warning, queue_lines
from launcher.sizes import compare_sizes, slowdown
from launcher.words import estimate, percent, size
from tests.launcher.paper import Paper
from tests.launcher.pipelines import GOOD, load
from tests.launcher.worlds import make_pipeline

DAY_S = 86_400.0
STORMY = Wanted(announced_per_s=4 / DAY_S, node_failures_per_s=0.5 / DAY_S, runs=50)
ASIDE = (
    "  aside:\n    needs: [first]\n    expect: {total: 2h}\n"
    "    evaluate: {tasks: [{name: a, annotations: a}]}\n"
)


@dataclass
class Lines:
    """A screen of a width that keeps what is shown."""

    width: int
    out: StringIO = field(default_factory=StringIO)

    @property
    def screen(self) -> Screen:
        return Screen(
            Console(file=self.out, width=self.width, highlight=False),
            Console(file=self.out, width=self.width, highlight=False),
        )

    @property
    def lines(self) -> list[str]:
        return [line.rstrip() for line in self.out.getvalue().splitlines()]


def ahead(plan: Plan, wanted: Wanted = STORMY, pasts: Mapping[str, Past] | None = None) -> Outlook:
    found = look_ahead(plan, wanted, pasts or {}, Queues())
    assert found is not None
    return found


def test_critical_path_names_the_chain_that_decides(tmp_path: Path) -> None:
    plan = make_plan(load(tmp_path, GOOD + ASIDE))

    assert critical_line(plan) == "* critical path: second -> third, 3.33 h"
    shown = Lines(80)
    shown.screen.result(plan_table(load(tmp_path), plan))
    assert [line.split()[:2] for line in shown.lines[2:]] == [
        ["first", "reused"],
        ["second", "*"],
        ["third", "*"],
        ["aside", "evaluate"],
    ]


def test_chain_without_branches_is_named_and_not_marked(tmp_path: Path) -> None:
    assert critical_line(make_plan(load(tmp_path))) == "critical path: second -> third, 3.33 h"


def test_what_is_given_goes_before_the_ledger_and_that_before_what_is_usual(
    tmp_path: Path,
) -> None:
    planned = make_plan(load(tmp_path)).stages[1]
    known = Past(save_s=20.0, start_s=100.0, wait_s=40.0)
    given = replace(STORMY, save_s=5.0, restart_s=60.0)

    by_hand = assume(planned, given, known, Queues())
    by_ledger = assume(planned, STORMY, known, Queues())
    by_habit = assume(planned, STORMY, NOTHING, Queues(waits_s={"second": 900.0}))

    told = [
        (a.model.save_s, a.save_from, a.model.start_s, a.model.wait_s, a.model.first_wait_s)
        for a in (by_hand, by_ledger, by_habit)
    ]
    assert told == [
        (5.0, "given", 20.0, 40.0, 40.0),
        (20.0, "ledger", 100.0, 40.0, 40.0),
        (60.0, "assumed", 180.0, 0.0, 900.0),
    ]
    assert by_hand.model.work_s == 3 * 3600.0  # two epochs of 90 min
    assert by_hand.model.slice_s == 12 * 3600.0 - 120.0
    assert by_hand.rates.hard_per_s == pytest.approx(2 * 0.5 / DAY_S)  # two nodes


@pytest.mark.parametrize(
    ("grace_s", "notice", "announced"),
    [
        (None, None, True),
        (0.0, None, False),
        (90.0, Notice("p", preempts=True, grace_s=0.0), True),
        (None, Notice("p", preempts=True, grace_s=0.0), False),
        (None, Notice("p", preempts=True, grace_s=60.0), True),
        (None, Notice("p", preempts=True, grace_s=None), True),
        (None, Notice("p", preempts=False, grace_s=0.0), True),
    ],
)
def test_preemption_loses_work_where_no_save_fits_into_the_grace(
    tmp_path: Path, grace_s: float | None, notice: Notice | None, announced
) -> None:
    planned = make_plan(load(tmp_path)).stages[1]
    queues = Queues(notices={"second": notice} if notice else {})

    found = assume(planned, replace(STORMY, grace_s=grace_s), NOTHING, queues)

    assert (found.rates.announced_per_s > 0) is announced
    total = found.rates.announced_per_s + found.rates.hard_per_s
    assert total == pytest.approx(5 / DAY_S)


def test_grace_is_no_matter_where_nothing_preempts(tmp_path: Path) -> None:
    planned = make_plan(load(tmp_path)).stages[1]

    found = assume(planned, replace(STORMY, announced_per_s=None, grace_s=0), NOTHING, Queues())

    assert found.grace_s is None


def test_stage_that_cannot_resume_loses_all_at_each_interruption(tmp_path: Path) -> None:
    pipeline = load(tmp_path, GOOD, ["stages.second.resumable=false"])

    found = assume(make_plan(pipeline).stages[1], STORMY, NOTHING, Queues())

    assert (found.model.resumes, found.rates.announced_per_s) == (False, 0.0)


@pytest.mark.parametrize(
    ("rules", "step_s", "hard_per_s", "interval_s", "by"),
    [
        ("{every: 100}", 2.0, 1.0, 200.0, "every 100 steps"),
        ("{every: 100}", None, 0.0, 3180.0, "every 100 steps, of unknown length, as auto"),
        ("{every: auto}", 2.0, 0.0, 3180.0, "auto"),
        ("{every: auto, max_interval: 10m}", 2.0, 0.0, 600.0, "auto"),
        ("{every: auto, min_interval: 50m}", 2.0, 1 / 3600, 3000.0, "auto"),
    ],
)
def test_interval_is_that_of_the_file_or_what_auto_would_choose(
    tmp_path: Path, rules, step_s, hard_per_s, interval_s, by
) -> None:
    stage = load(tmp_path, GOOD, [f"stages.second.train.checkpoint={rules}"]).stage("second")

    found_s, said = interval_of(stage, 60.0, step_s, hard_per_s)

    assert (round(found_s), said) == (interval_s, by)
    assert round(daly_s(60.0, USUAL_S)) == 3180


def test_stage_that_nobody_knows_hands_its_place_on_to_the_next(tmp_path: Path) -> None:
    plan = make_plan(load(tmp_path, GOOD.replace("    expect: {epoch: 90m}\n", "")))

    found = ahead(plan)

    assert [each.stage for each in found.assumed] == ["third"]
    assert plan.unknown == ("second",)


def test_plan_that_knows_nothing_is_not_simulated(tmp_path: Path) -> None:
    plan = make_plan(make_pipeline(tmp_path))

    assert look_ahead(plan, STORMY, {}, Queues()) is None


def test_sizes_scale_by_rounds_and_say_what_cannot_be(tmp_path: Path) -> None:
    base = load(tmp_path)

    found = compare_sizes(
        base, [1, 2, 3, 4], lambda nodes: load(tmp_path, GOOD, [f"cluster.nodes={nodes}"]),
        lambda _: {}, replace(STORMY, runs=10),
    )  # fmt: skip

    # third has one node of its own: 20 minutes whatever the size.
    assert [size.plan and size.plan.wall_s for size in found] == [22800, 12000, None, 6600]
    assert "global_batch 64 cannot be shared by 12 ranks" in found[2].fault
    assert [size.outlook is not None for size in found] == [True, True, False, True]


def test_program_on_other_nodes_takes_nobody_knows_how_long(tmp_path: Path) -> None:
    text = GOOD.replace("    evaluate:\n      tasks: [{name: Moving", "    command: [a.out]\n#")
    text = text.replace("cluster: {nodes: 1, mem: 512M}\n", "cluster: {mem: 512M}\n")
    base, larger = load(tmp_path, text), load(tmp_path, text, ["cluster.nodes=4"])

    assert slowdown(base.stage("third"), base.stage("third")) == 1.0
    assert slowdown(larger.stage("third"), base.stage("third")) is None
    assert slowdown(larger.stage("second"), base.stage("second")) == 0.5


def test_clusters_are_asked_once_for_each_kind_of_job(tmp_path: Path) -> None:
    pipeline = make_pipeline(
        tmp_path, ["cluster.backend=slurm", "stages.third.cluster={partition: small}"]
    )
    paper = Paper(starts={"second": 1600.0, "third": NoAnswer("sbatch: never")})

    found = ask_queues(pipeline, lambda _: paper, lambda: 1000.0, notices=True)

    assert paper.asked == ["start of second", "start of third"]
    assert found.waits_s == {"second": 600.0, "middle": 600.0}
    assert found.silent == {"third": "sbatch: never"}
    assert set(found.notices) == {"second", "middle", "third"}
    assert queue_lines(found) == [
        "queue: handed in now, Slurm would start second, middle in 10 min",
        "queue: Slurm gives no start for third: sbatch: never",
    ]


def test_nobody_is_asked_about_stages_that_run_here(tmp_path: Path) -> None:
    paper = Paper(starts={"second": 1600.0})

    assert (
        ask_queues(make_pipeline(tmp_path), lambda _: paper, lambda: 1.0, notices=True) == Queues()
    )
    assert (paper.asked, queue_lines(Queues())) == ([], [])


@pytest.mark.parametrize(
    ("rules", "steps", "copies"),
    [
        ("{keep: 2}", None, 3),
        ("{keep: 3, keep_best: true}", None, 5),
        ("{keep: 1, keep_epochs: true}", None, 4),
        ("{keep: 1, keep_every: 100}", 350, 5),
        ("{keep: 1, keep_every: 100}", None, None),
    ],
)
def test_disk_holds_what_is_kept_and_the_one_being_written(tmp_path, rules, steps, copies) -> None:
    stage = load(tmp_path, GOOD, [f"stages.second.train.checkpoint={rules}"]).stage("second")

    assert copies_of(stage, steps) == copies


def test_disk_is_added_up_and_looked_for_where_the_runs_will_be(tmp_path: Path) -> None:
    pipeline = load(tmp_path)

    found = look_at_disk(pipeline, {"second": Past(checkpoint_bytes=7, checkpoint_files=2)})

    assert (found.stages, found.unknown) == ((StageDisk("second", 3, 7, 2),), ("third",))
    assert found.bytes == 21
    assert found.free_bytes is not None
    assert not pipeline.runs.exists()


def test_disk_that_is_too_small_is_a_warning_with_what_to_do() -> None:
    needs = (StageDisk("stage2", 3, 7_400_000_000),)
    small, large = (Disk(needs, ("mvbench",), Path("/r"), int(free)) for free in (2e10, 1e12))

    assert disk_line(large) == (
        "disk: 22.2 GB for checkpoints (stage2 3 x 7.4 GB); 1 TB free in /r; "
        "checkpoints not known: mvbench"
    )
    assert disk_warning(large) == ""
    assert disk_warning(small) == (
        "/r: checkpoints need 22.2 GB, 20 GB are free; make room, lower checkpoint.keep, or set "
        "LAUNCHER_RUNS to another folder"
    )


def shown(tmp_path: Path, width: int, wanted: Wanted = STORMY) -> list[str]:
    pipeline = load(tmp_path)
    plan = make_plan(pipeline)
    disk = Disk((), (), Path("/r"), None)
    shown = Lines(width)
    show_ahead(shown.screen, wanted, Queues(), disk, ahead(plan, wanted), ())
    return shown.lines


@pytest.mark.parametrize("width", [80, 200])
def test_tables_fit_the_terminal_and_lose_no_number(tmp_path: Path, width: int) -> None:
    lines = shown(tmp_path, width)
    tables = [line for line in lines if line.startswith(("stage ", "second ", "third "))]

    assert max(map(len, tables)) <= 80
    assert not any("…" in line for line in lines)
    assert tables[0].split()[:6] == ["stage", "p10", "p50", "p90", "stops", "goodput"]
    assert tables[0].split()[6:] == ["work", "saves", "lost", "start", "queue"]


def test_intervals_without_losses_are_said_to_be_for_preemptions_without_notice(
    tmp_path: Path,
) -> None:
    title = "time between two saves"
    calm = replace(STORMY, node_failures_per_s=None)

    assert title in shown(tmp_path, 80)
    assert f"{title}, if preemptions came without notice" in shown(tmp_path, 80, calm)
    assert not any(title in line for line in shown(tmp_path, 80, replace(calm, announced_per_s=0)))


def test_run_without_an_end_is_never_done_in_words_and_null_in_json(tmp_path: Path) -> None:
    pipeline = load(tmp_path, GOOD, ["cluster.time_limit=3m"])  # told to save after one
    plan = make_plan(pipeline)
    outlook = ahead(plan)

    told = ahead_json(plan, Queues(), Disk((), (), Path("/r"), None), outlook, ())

    assert math.isinf(outlook.foresight.p50_s)
    assert (told["outlook"]["p50_s"], told["outlook"]["undone"]) == (None, 20)
    json.dumps(told, allow_nan=False)


def test_run_that_mostly_never_ends_is_said_to_in_words(tmp_path: Path) -> None:
    outlook = ahead(make_plan(load(tmp_path)))
    mostly = replace(outlook.foresight, undone=30, p50_s=math.inf, p90_s=math.inf)

    first, second, third = done_lines(replace(outlook, foresight=mostly))

    assert first == "more than half of the runs never end: save more often, or take fewer nodes"
    assert second == "of 50 simulated runs, seed 1"
    assert third.startswith("30 of them came to no end: ")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59.4, "59.4 s"), (90, "1.5 min"), (3599, "1 h"), (77040, "21.4 h"),
     (259_199, "3 d"), (1e8, "1157 d"), (math.inf, "never")],
)  # fmt: skip
def test_time_is_told_in_three_digits(seconds, text) -> None:
    assert estimate(seconds) == text


def test_shares_and_sizes_are_told_in_three_digits() -> None:
    assert [percent(p) for p in (0, 0.004, 0.5, 0.968, 1)] == ["0%", "0.4%", "50%", "96.8%", "100%"]
    assert [size(b) for b in (12, 7.4e9, 1.25e12)] == ["12 B", "7.4 GB", "1.25 TB"]
