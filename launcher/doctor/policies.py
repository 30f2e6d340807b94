"""What a site's settings mean for runs that are interrupted and requeued, in words. Pure.

Sources: slurm.conf(5), and what 22.05 and 26.11 were seen to do.
"""

import re
from collections.abc import Iterator
from typing import Final

from jobs.contract.exits import REFUSED, STOPPED
from launcher.cluster.base import NoAnswer
from launcher.doctor.finding import Finding, Level
from launcher.doctor.site import Site

KNOWN: Final = ((22, 5), (26, 11))
"""The oldest and the newest Slurm that this launcher was made for."""
_CRED_EXPIRE_S: Final = 120
_MIN_JOB_AGE_S: Final = 120


def policies(site: Site) -> list[Finding]:
    """Each setting that matters, and what follows from it."""
    if isinstance(site.settings, NoAnswer):
        return [
            Finding(
                level=Level.UNKNOWN,
                id="slurm-silent",
                what=f"the site's settings: {site.settings.what}",
                why="a pass does nothing, too, as long as Slurm is silent",
                next="try again when Slurm answers; look: scontrol ping",
            )
        ]
    return [*_version(site), *_accounting(site), *_preemption(site), *_requeue(site), *_rates(site)]


def _version(site: Site) -> Iterator[Finding]:
    text = site.setting("SLURM_VERSION")
    found = re.match(r"(\d+)\.(\d+)", text)
    if found and KNOWN[0] <= (int(found[1]), int(found[2])) <= KNOWN[1]:
        yield Finding(level=Level.OK, id="slurm-version", what=f"Slurm {text} answers")
        return
    oldest, newest = ("{}.{:02d}".format(*each) for each in KNOWN)
    yield Finding(
        level=Level.WARNING,
        id="slurm-version",
        what=f"Slurm {text or 'of an unknown version'} answers",
        why=f"this launcher was made for {oldest} to {newest}: words that it does not know make it "
        "wait",
        next="try the demo pipeline first, and look at its `launcher why`",
    )


def _accounting(site: Site) -> Iterator[Finding]:
    kind, age_s = site.setting("AccountingStorageType"), _seconds(site.setting("MinJobAge"))
    if kind.endswith("slurmdbd"):
        yield _note(
            "accounting",
            "accounting keeps ended jobs",
            "the pass learns how each attempt ended, however late it comes",
        )
    else:
        yield Finding(
            level=Level.WARNING,
            id="accounting",
            what=f"there is no accounting ({kind or 'AccountingStorageType is not set'})",
            why=f"Slurm forgets an ended job after {age_s} s (MinJobAge); a later pass knows only "
            "what the job itself wrote down",
            next="let passes run every few minutes: launcher cron install",
        )
    if age_s is not None and age_s < _MIN_JOB_AGE_S:
        yield Finding(
            level=Level.WARNING,
            id="min-job-age",
            what=f"slurmctld forgets an ended job after {age_s} s (MinJobAge)",
            why="a pass every two minutes may find nothing of it in the queue",
            next="it asks accounting then; ask for MinJobAge=300 where there is none",
        )
    if not site.enforces:
        yield _note(
            "not-enforced",
            "accounts, QOS and their limits are not enforced (AccountingStorageEnforce=none)",
            "they are not compared with what the pipeline asks for",
        )


def _preemption(site: Site) -> Iterator[Finding]:
    kind = site.setting("PreemptType").removeprefix("preempt/")
    mode = site.setting("PreemptMode")
    if kind in ("none", ""):
        yield _note(
            "preemption",
            "jobs are not preempted",
            "attempts end by their time limit, by a node that fails, or done",
        )
        return
    by = {"partition_prio": "partitions of a higher tier", "qos": "jobs of a higher QOS"}
    words = {
        "REQUEUE": "Slurm requeues the job, or the job has done so itself after its save",
        "CANCEL": "the job puts itself back into the queue after its save; one that is killed "
        "before is submitted again by the pass",
        "SUSPEND": "the job stops where it is and goes on later; nothing is lost",
        "GANG": "jobs take turns",
    }
    means = [words[each] for each in mode.split(",") if each in words]
    what = f"jobs are preempted by {by.get(kind, kind)}, PreemptMode={mode or 'OFF'}"
    yield _note("preemption", what, "; ".join(means) or "a partition's own mode counts")
    if isinstance(site.partitions, list | tuple):
        exempt = site.setting("PreemptExemptTime")
        if exempt not in ("", "00:00:00", "NONE"):
            yield Finding(
                level=Level.NOTE,
                id="preempt-exempt",
                what=f"no job is preempted in its first {exempt} (PreemptExemptTime)",
                why="a start-up and a first save that fit into it are never lost to a preemption",
                next="keep them within it, by checkpoint.max_interval where that is needed",
            )


def _requeue(site: Site) -> Iterator[Finding]:
    found = re.search(r"cred_expire=(\d+)", site.setting("AuthInfo"))
    wait_s = int(found[1]) if found else _CRED_EXPIRE_S
    yield _note(
        "requeue-delay",
        f"a requeued job waits {wait_s} s before it may start (cred_expire)",
        "each interruption costs that, beside the queue",
    )
    if site.setting("JobRequeue") == "0":
        yield _note(
            "job-requeue",
            "jobs are not requeued unless they ask for it (JobRequeue=0)",
            "stages ask for it (--requeue), those with `resumable: false` do not",
        )
    held = _codes(site.setting("RequeueExitHold")) & {STOPPED, REFUSED}
    if held:
        listed = ", ".join(map(str, sorted(held)))
        yield Finding(
            level=Level.WARNING,
            id="requeue-exit-hold",
            what=f"Slurm holds jobs that end with {listed} (RequeueExitHold)",
            why="a stage ends so when it has saved and stopped (75), or must not run again (93)",
            next="the pass releases what Slurm holds once; ask for other codes if you can",
        )
    settings = (site.setting("DependencyParameters"), site.setting("SchedulerParameters"))
    if any("kill_invalid_depend" in value for value in settings):
        yield _note(
            "kill-invalid-depend",
            "jobs whose parent failed are killed (kill_invalid_depend)",
            "stages are submitted with --kill-on-invalid-dep=no and wait for the pass instead",
        )
    kill_s = _seconds(site.setting("KillWait"))
    if kill_s is not None:
        yield _note(
            "kill-wait",
            f"at its time limit a job has {kill_s} s from SIGTERM to SIGKILL (KillWait)",
            "stages save before: they are told cluster.signal_lead ahead",
        )


def _rates(site: Site) -> Iterator[Finding]:
    if "rl_enable" in site.setting("SlurmctldParameters"):
        yield _note(
            "rate-limit",
            "slurmctld limits how often a user may ask (rl_enable)",
            "a pass asks two questions at most, a submit at most five and one a job",
        )


def _codes(text: str) -> set[int]:
    """`75,90-93` as numbers."""
    found: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        if first.isdigit():
            found |= set(range(int(first), int(last if last.isdigit() else first) + 1))
    return found


def _seconds(text: str) -> int | None:
    number = text.removesuffix("sec").strip()
    return int(number) if number.isdigit() else None


def _note(id_: str, what: str, why: str) -> Finding:
    return Finding(level=Level.NOTE, id=id_, what=what, why=why)
