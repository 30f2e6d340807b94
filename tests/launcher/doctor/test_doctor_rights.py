"""What accounting has against a request."""

from dataclasses import replace

import pytest

from launcher.cluster.base import NoAnswer
from launcher.doctor.finding import Level
from launcher.doctor.rights import rights
from launcher.doctor.site import Association, Limits, Qos
from tests.launcher.doctor.sites import REQUEST, strict, the_cluster, with_default, with_settings


def told(request, site, jobs=3) -> list[str]:
    found = rights(request, site, "ada", jobs=jobs)
    assert all(finding.level is Level.ERROR for finding in found)
    return [finding.id for finding in found]


def test_site_that_does_not_hold_to_accounting_has_nothing_against_anybody():
    assert told(replace(REQUEST, account="nosuch", qos="nosuch"), the_cluster()) == []


def test_request_within_the_rights_is_fine():
    assert told(replace(REQUEST, account="lab", qos="short"), strict()) == []


@pytest.mark.parametrize(
    ("change", "id_", "what"),
    [
        ({"account": "rich"}, "account", "ada may not use account rich"),
        ({"qos": "other"}, "qos", "account lab may not use QOS other"),
        ({"qos": "nosuch"}, "qos", "Slurm knows no QOS nosuch"),
    ],
)
def test_account_or_qos_that_may_not_be_used_is_an_error(change, id_, what):
    [found] = rights(replace(REQUEST, **change), strict(), "ada", jobs=3)

    assert (found.level, found.id, found.what) == (Level.ERROR, id_, what)


def test_user_without_an_account_is_an_error():
    assert told(REQUEST, replace(strict(), associations=[])) == ["account"]


def test_account_for_another_partition_is_an_error():
    only = [Association(account="lab", is_default=True, partition="high")]
    site = replace(strict(), associations=only)

    assert told(REQUEST, site) == ["account"]
    assert told(replace(REQUEST, partitions=("high",)), site) == []


@pytest.mark.parametrize(
    ("fields", "id_"),
    [
        ({"allow_accounts": frozenset(("rich",))}, "account-not-in-partition"),
        ({"deny_accounts": frozenset(("lab",))}, "account-not-in-partition"),
        ({"allow_qos": frozenset(("short",))}, "qos-not-in-partition"),
        ({"deny_qos": frozenset(("normal",))}, "qos-not-in-partition"),
    ],
)
def test_partition_that_does_not_take_them_is_an_error(fields, id_):
    assert told(REQUEST, with_default(strict(), **fields)) == [id_]


@pytest.mark.parametrize(
    ("limits", "id_"),
    [
        (Limits(wall_s=3600), "wall-limit"),
        (Limits(job={"node": 3}), "tres-limit"),
        (Limits(job={"gres/gpu": 31}), "tres-limit"),
        (Limits(user={"gres/gpu": 31}), "tres-limit"),
        (Limits(group={"cpu": 31}), "tres-limit"),
        (Limits(max_submit=2), "submit-limit"),
    ],
)
def test_limit_is_an_error_whether_the_qos_or_the_account_sets_it(limits, id_):
    assert told(REQUEST, strict(of_qos=limits)) == [id_]
    assert told(REQUEST, strict(limits)) == [id_]


def test_least_that_a_qos_wants_is_an_error():
    assert told(REQUEST, strict(of_qos=Limits(job_least={"gres/gpu": 33}))) == ["tres-limit"]


def test_limits_that_are_just_kept_are_fine():
    most = {"node": 4, "gres/gpu": 32, "cpu": 32}

    assert told(REQUEST, strict(Limits(wall_s=43_200, job=most, user=most, max_submit=3))) == []


def test_limit_of_the_qos_goes_before_that_of_the_account():
    site = strict(Limits(wall_s=60, job={"node": 1}), Limits(wall_s=43_200, job={"node": 4}))

    assert told(REQUEST, site) == []


def test_limit_of_the_partitions_qos_goes_first_unless_the_jobs_says_otherwise():
    site = with_default(strict(of_qos=Limits(wall_s=43_200)), qos="part")
    normal, *_ = site.qos
    tight = Qos(name="part", limits=Limits(wall_s=60))
    over = replace(normal, flags=frozenset(("OverPartQOS",)))

    assert told(REQUEST, replace(site, qos=[normal, tight])) == ["wall-limit"]
    assert told(REQUEST, replace(site, qos=[over, tight])) == []


def test_limits_are_not_looked_at_where_only_accounts_are_held_to():
    site = with_settings(strict(Limits(wall_s=60)), AccountingStorageEnforce="associations")

    assert told(REQUEST, site) == []


@pytest.mark.parametrize("part", ["associations", "qos"])
def test_silence_of_slurmdbd_is_not_checked_and_never_fine(part):
    site = replace(strict(), **{part: NoAnswer("sacctmgr: Connection refused")})

    [found] = rights(REQUEST, site, "ada", jobs=3)

    assert (found.level, found.id) == (Level.UNKNOWN, "accounting-silent")
