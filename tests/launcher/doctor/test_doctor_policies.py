"""What the settings of a site mean."""

from dataclasses import replace

import pytest

from launcher.cluster.base import NoAnswer
from launcher.doctor.finding import Level, of_level
from launcher.doctor.policies import policies
from tests.launcher.doctor.sites import the_cluster, with_settings


def told(**settings: str) -> dict[str, str]:
    found = policies(with_settings(the_cluster(), **settings))
    return {finding.id: str(finding.level) for finding in found}


def test_test_cluster_gives_no_reason_to_warn():
    found = policies(the_cluster())

    assert {finding.id: str(finding.level) for finding in found} == {
        "slurm-version": "ok",
        "accounting": "note",
        "not-enforced": "note",
        "preemption": "note",
        "requeue-delay": "note",
        "kill-wait": "note",
    }
    assert "a requeued job waits 5 s" in " ".join(finding.what for finding in found)


@pytest.mark.parametrize(
    ("version", "level"),
    [("22.05.8", "ok"), ("26.11.0-0rc1", "ok"), ("21.08.8", "warning"), ("27.05.0", "warning")],
)
def test_version_that_was_not_tried_is_a_warning(version, level):
    assert told(SLURM_VERSION=version)["slurm-version"] == level


@pytest.mark.parametrize(
    ("settings", "id_", "level"),
    [
        ({"AccountingStorageType": "accounting_storage/none"}, "accounting", "warning"),
        ({"MinJobAge": "10 sec"}, "min-job-age", "warning"),
        ({"JobRequeue": "0"}, "job-requeue", "note"),
        ({"RequeueExitHold": "1,70-80"}, "requeue-exit-hold", "warning"),
        ({"DependencyParameters": "kill_invalid_depend"}, "kill-invalid-depend", "note"),
        ({"SchedulerParameters": "kill_invalid_depend"}, "kill-invalid-depend", "note"),
        ({"SlurmctldParameters": "rl_enable,rl_bucket_size=30"}, "rate-limit", "note"),
        ({"PreemptExemptTime": "00:10:00"}, "preempt-exempt", "note"),
    ],
)
def test_setting_that_matters_is_told(settings, id_, level):
    assert told(**settings)[id_] == level


def test_exit_codes_of_others_may_be_held():
    assert "requeue-exit-hold" not in told(RequeueExitHold="1-70,99")


def test_delay_is_two_minutes_where_nothing_is_set():
    [found] = [
        finding
        for finding in policies(with_settings(the_cluster(), AuthInfo="(null)"))
        if finding.id == "requeue-delay"
    ]

    assert "120 s" in found.what


@pytest.mark.parametrize(
    ("mode", "words"),
    [("REQUEUE", "requeues"), ("CANCEL", "submitted again"), ("GANG,SUSPEND", "nothing is lost")],
)
def test_mode_of_preemption_is_told_in_words(mode, words):
    found = policies(with_settings(the_cluster(), PreemptMode=mode))

    assert words in " ".join(finding.why for finding in found if finding.id == "preemption")


def test_silent_slurm_is_not_checked_and_never_fine():
    silent = replace(the_cluster(), settings=NoAnswer("scontrol: no answer within 15 s"))

    assert len(of_level(policies(silent), Level.UNKNOWN)) == len(policies(silent)) == 1
