"""How often work is lost, as the launcher tells a job."""

import pytest

from jobs.contract.hazard import (
    USUAL_S,
    Hazard,
    mean_time_between_s,
    read_hazard,
    write_hazard,
)

HOUR_S = 3600.0


def test_nothing_observed_gives_the_prior_and_much_drowns_it():
    assert mean_time_between_s(0.0, 0) == USUAL_S == 24 * HOUR_S
    assert mean_time_between_s(1000 * HOUR_S, 999) == pytest.approx(1.024 * HOUR_S)


def test_hazard_is_read_as_it_was_written(tmp_path):
    hazard = Hazard(observed_s=0.1 + 0.2, losses=3, prior_s=HOUR_S / 7, nodes=4)

    write_hazard(tmp_path / "hazard.json", hazard)

    assert read_hazard(tmp_path / "hazard.json", 4) == hazard


def test_job_on_half_of_the_nodes_loses_work_half_as_often(tmp_path):
    write_hazard(
        tmp_path / "hazard.json", Hazard(observed_s=HOUR_S, losses=1, prior_s=HOUR_S, nodes=4)
    )

    full, half = (read_hazard(tmp_path / "hazard.json", nodes) for nodes in (4, 2))

    assert (full.mean_time_between_s(), half.mean_time_between_s()) == (HOUR_S, 2 * HOUR_S)
    assert full.mean_time_between_s(ran_s=HOUR_S) == 1.5 * HOUR_S


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "[]",
        '{"observed_s": 1',
        '{"observed_s": "1"}',
        '{"losses": -1}',
        '{"losses": 0.5}',
        '{"nodes": 0}',
        '{"prior_s": 0}',
        '{"observed_s": NaN}',
        '{"someday": 1}',
    ],
)
def test_file_that_is_missing_or_unsound_gives_the_prior(tmp_path, text):
    if text is not None:
        (tmp_path / "hazard.json").write_text(text)

    assert read_hazard(tmp_path / "hazard.json", 2) == Hazard(nodes=2)
