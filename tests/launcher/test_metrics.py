"""`launcher metrics`: what it computes, that Prometheus reads it, and what it costs."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import update

from db.queries import stages_of
from db.schema import Attempt
from db.version import MIGRATIONS, versions
from launcher import __version__
from launcher.cli import main
from launcher.metrics.catalogue import LEDGER, METRICS
from launcher.metrics.measure import samples
from launcher.metrics.read import read_totals
from launcher.view import view_stages
from tests.launcher.cluster.programs import only_programs, put_program
from tests.launcher.ledgers import NOW, big_ledger, small_ledger

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "metrics.md"


@pytest.fixture(autouse=True)
def _no_ledger_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LAUNCHER_RUNS", "LAUNCHER_LEDGER"):
        monkeypatch.delenv(name, raising=False)


def values(folder: Path, *, now: float = NOW, days: float = 7, most: int = 200) -> dict:
    """The samples by metric and labels."""
    totals = read_totals(small_ledger(folder), now=now, days=days, most=most)
    return {(each.metric, *each.labels): each.value for each in samples(totals)}


def metrics(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(["metrics", *arguments])
    said = capsys.readouterr()
    return code, said.out, said.err


def test_stage_that_runs_has_the_numbers_of_its_rows(tmp_path: Path) -> None:
    found = {
        key[0].removeprefix("launcher_stage_"): value
        for key, value in values(tmp_path).items()
        if key[1:] == ("demo-1", "second")
    }

    assert found == {
        "steps": 180,
        "planned_steps": 200,
        "loss": 1.25,
        "step_duration_seconds": 10.0,
        "remaining_seconds": 200.0,
        "nodes": 2,
        "attempts_total": 3,
        "lost_steps_total": 20,
        "allocated_gpu_seconds": 20_000.0,
        # 100 of 120 steps in 1200 s, and 80 in 800 s, of the seconds with nodes
        "goodput_ratio": pytest.approx(0.72),
        "queue_seconds": 1065.0,
        "checkpoint_steps": 150,
        "checkpoint_bytes": 150_000,
        "checkpoint_timestamp_seconds": NOW - 700,
    }


def test_ledger_has_the_numbers_of_its_rows(tmp_path: Path) -> None:
    found = {key: value for key, value in values(tmp_path).items() if "stage" not in key[0]}

    assert found == {
        ("launcher_build_info", __version__, versions(MIGRATIONS)[-1]): 1,
        ("launcher_runs", "submitting"): 0,
        ("launcher_runs", "running"): 1,
        ("launcher_runs", "done"): 0,
        ("launcher_runs", "held"): 0,
        ("launcher_runs", "failed"): 0,
        ("launcher_runs", "cancelled"): 0,
        ("launcher_runs_left_out",): 0,
        ("launcher_last_pass_timestamp_seconds",): NOW - 120,
        ("launcher_last_good_pass_timestamp_seconds",): NOW - 300,
        ("launcher_recent_passes", "good"): 1,
        ("launcher_recent_passes", "degraded"): 1,
        ("launcher_quarantined_nodes", "slurm"): 1,
        ("launcher_run_info", "demo-1", "demo", "someone"): 1,
        ("launcher_run_created_timestamp_seconds", "demo-1"): NOW - 20_000,
    }


def test_each_stage_has_one_series_of_its_state(tmp_path: Path) -> None:
    found = [key[1:] for key in values(tmp_path) if key[0] == "launcher_stage_state"]

    assert found == [
        ("demo-1", "first", "reused"),
        ("demo-1", "second", "running"),
        ("demo-1", "third", "held"),
    ]


def test_preemption_is_an_interruption_and_a_crash_is_a_failure(tmp_path: Path) -> None:
    found = {key: value for key, value in values(tmp_path).items() if len(key) == 4}

    assert {key: value for key, value in found.items() if key[0].endswith("_total")} == {
        ("launcher_stage_interruptions_total", "demo-1", "second", "preemption"): 1,
        ("launcher_stage_failures_total", "demo-1", "second", "failure"): 1,
    }


@pytest.mark.parametrize(
    ("exit_kind", "cause", "counted"),
    [
        (None, "out of memory", "failures"),
        (None, "deadline", "failures"),
        ("failed", "node failure", "interruptions"),
        ("failed", "cancelled", None),
        ("done", "failure", None),
    ],
)
def test_end_counts_by_whose_fault_it_was(
    tmp_path: Path, exit_kind: str | None, cause: str, counted: str | None
) -> None:
    ledger = small_ledger(tmp_path)
    with ledger.write() as session:
        session.execute(
            update(Attempt).where(Attempt.restart == 1).values(exit_kind=exit_kind, cause=cause)
        )

    found = samples(read_totals(ledger, now=NOW, days=7))
    counts = {each.metric for each in found if each.labels[2:] == (cause,)}

    assert counts == ({f"launcher_stage_{counted}_total"} if counted else set())


def test_reused_stage_has_no_series_of_work(tmp_path: Path) -> None:
    found = {key[0] for key in values(tmp_path) if key[1:3] == ("demo-1", "first")}

    assert found == {
        "launcher_stage_state",
        "launcher_stage_checkpoint_steps",
        "launcher_stage_checkpoint_bytes",
        "launcher_stage_checkpoint_timestamp_seconds",
    }


def test_numbers_are_those_that_status_shows(tmp_path: Path) -> None:
    ledger, found = small_ledger(tmp_path / "again"), values(tmp_path)
    with ledger.read() as session:
        view = view_stages(stages_of(session, "demo-1"), {})[1]

    def of(name: str) -> float:
        return found[f"launcher_stage_{name}", "demo-1", "second"]

    assert (of("steps"), of("loss"), of("remaining_seconds")) == (view.step, view.loss, view.eta_s)
    assert (of("attempts_total"), of("lost_steps_total")) == (view.attempts, view.steps_lost)
    assert (of("queue_seconds"), of("nodes")) == (view.queued_s, view.nodes)
    assert of("allocated_gpu_seconds") == 3600 * view.gpu_hours
    assert view.checkpoint is not None
    assert of("checkpoint_steps") == view.checkpoint.step


@pytest.mark.parametrize(("days", "shown"), [(0, 10), (5, 10), (12.5, 12), (1000, 200)])
def test_run_keeps_its_series_as_long_as_it_goes_on_and_some_days(
    tmp_path: Path, days: float, shown: int
) -> None:
    totals = read_totals(big_ledger(tmp_path, runs=200, stages=1), now=NOW + 1, days=days)

    assert len(totals.runs) == len(totals.stages) == shown
    assert totals.left_out == 0


def test_too_many_runs_leave_out_those_that_have_ended(tmp_path: Path) -> None:
    totals = read_totals(big_ledger(tmp_path, runs=60, stages=1), now=NOW, days=1000, most=4)

    assert [run.id for run in totals.runs] == [f"demo-{n:05}" for n in (59, 58, 57, 56)]
    assert (totals.left_out, len(totals.attempts)) == (56, 12)


def test_every_sample_is_in_the_catalogue_and_every_metric_is_sampled(tmp_path: Path) -> None:
    totals = read_totals(small_ledger(tmp_path), now=NOW, days=7)
    labels = {metric.name: len(metric.labels) for metric in METRICS}

    found = {each.metric: len(each.labels) for each in samples(totals)}

    assert found == labels


def test_prometheus_own_parser_reads_every_value(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small_ledger(tmp_path)
    code, out, err = metrics(capsys, "--runs", str(tmp_path), "--days", "100000")

    read = {
        (sample.name, *(sample.labels[name] for name in labels_of(sample.name))): sample.value
        for family in text_string_to_metric_families(out)
        for sample in family.samples
    }

    assert (code, err) == (0, "")
    passes = "launcher_recent_passes"  # of the last day by the real clock
    kept = {key: value for key, value in values(tmp_path / "again").items() if key[0] != passes}
    assert {key: value for key, value in read.items() if key[0] != passes} == pytest.approx(kept)


def labels_of(name: str) -> tuple[str, ...]:
    return next(metric.labels for metric in METRICS if metric.name == name)


def test_each_metric_has_help_type_and_the_ledger_as_a_label(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger = small_ledger(tmp_path)

    out = metrics(capsys, "--runs", str(tmp_path))[1]

    families = {family.name: family for family in text_string_to_metric_families(out)}
    for metric in METRICS:
        family = families[metric.name.removesuffix("_total")]
        assert (family.type, family.documentation) == (metric.kind, metric.help)
        assert {sample.labels[LEDGER] for sample in family.samples} == {ledger.place}


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_name_follows_the_rules_of_prometheus(metric) -> None:
    assert re.fullmatch(r"launcher(_[a-z]+)+", metric.name)
    assert metric.name.endswith("_total") == (metric.kind == "counter")
    assert not re.search(
        r"_(hours?|minutes?|ms|kb|gb|percent|gauge|counter|count)(_|$)", metric.name
    )
    assert metric.help.endswith(".")


def test_file_holds_what_is_printed_and_nothing_lies_beside_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small_ledger(tmp_path / "runs")
    file = tmp_path / "out" / "launcher.prom"
    file.parent.mkdir()
    file.write_text("old")

    code, out, err = metrics(capsys, "--runs", str(tmp_path / "runs"), "-o", str(file))

    assert (code, out, err) == (0, "", "")
    assert file.read_text() == metrics(capsys, "--runs", str(tmp_path / "runs"))[1]
    assert list(file.parent.iterdir()) == [file]


def test_dash_is_standard_output_and_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    small_ledger(tmp_path / "runs")
    monkeypatch.chdir(tmp_path)

    code, out, err = metrics(capsys, "--runs", "runs", "-o", "-")

    assert (code, out, err) == (0, metrics(capsys, "--runs", "runs")[1], "")
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]


def test_file_that_no_collector_reads_is_a_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small_ledger(tmp_path)
    file = tmp_path / "launcher.txt"

    code, _, err = metrics(capsys, "--runs", str(tmp_path), "-o", str(file))

    assert code == 0
    assert err == f"warning: {file}: the textfile collector reads only files named *.prom\n"


def rows_of_page() -> Iterator[list[str]]:
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith("| `launcher_"):
            yield [cell.strip() for cell in line.strip("|").split("|")]


def test_page_lists_every_metric_as_the_code_has_it() -> None:
    wanted = [
        [f"`{m.name}`", m.kind, ", ".join(f"`{name}`" for name in m.labels) or "-", m.help]
        for m in METRICS
    ]

    assert list(rows_of_page()) == wanted


def test_page_asks_only_for_metrics_and_labels_that_exist() -> None:
    text = PAGE.read_text(encoding="utf-8")
    named = set(re.findall(r"\blauncher_[a-z_]+", text))

    assert named == {metric.name for metric in METRICS}


@pytest.mark.alone  # measures time
def test_metrics_of_ten_thousand_stage_runs_come_soon(tmp_path: Path) -> None:
    big_ledger(tmp_path, runs=2500, stages=4, attempts=3)
    command = [sys.executable, "-m", "launcher", "metrics", "--runs", str(tmp_path)]
    times = []
    for _ in range(5):
        began = time.monotonic()
        done = subprocess.run(
            command, env=os.environ, cwd=ROOT, capture_output=True, text=True, timeout=180,
            check=True,
        )  # fmt: skip
        times.append(time.monotonic() - began)

    assert "launcher_runs{" in done.stdout
    # Half a second on a machine of one's own; here others work beside it.
    assert min(times) < 1.5


def test_metrics_ask_no_scheduler(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    small_ledger(tmp_path)
    only_programs(monkeypatch, tmp_path / "bin")
    for name in ("squeue", "sacct", "scontrol", "sinfo"):
        put_program(tmp_path / "bin", name, f"echo {name} >> {tmp_path}/asked")

    code, _, err = metrics(capsys, "--runs", str(tmp_path))

    assert (code, err, (tmp_path / "asked").exists()) == (0, "", False)
