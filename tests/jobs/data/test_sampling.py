"""Which frames of a clip are taken."""

import numpy as np
import pytest
from pydantic import ValidationError

from jobs.contract.spec import Train
from jobs.data.sampling import GeneratorDraws, Sampling


def choose(sample, count, frames, *, rate=1.0, seed=0):
    draws = GeneratorDraws(np.random.default_rng(seed))
    return Sampling.parse(sample).choose(count, frames, rate=rate, draws=draws)


def drawn(sample, count, frames, times):
    """The different frames that are drawn at each place."""
    columns = np.array([choose(sample, count, frames, seed=i) for i in range(times)]).T
    return [sorted(set(column.tolist())) for column in columns]


def test_middle_takes_the_centres_of_equal_intervals():
    assert choose("middle", 16, 4) == [1, 5, 9, 13]


def test_rand_takes_any_frame_of_each_interval_and_its_last_too():
    assert drawn("rand", 10, 4, 200) == [[0, 1], [2, 3, 4], [5, 6], [7, 8, 9]]


def test_rand_of_the_reference_never_takes_the_last_frame_of_an_interval():
    assert drawn("rand_reference", 12, 4, 200) == [[0, 1], [3, 4], [6, 7], [9, 10]]


def test_rand_of_the_reference_takes_any_frames_where_an_interval_holds_one():
    rows = [choose("rand_reference", 5, 4, seed=i) for i in range(200)]

    assert all(row == sorted(set(row)) for row in rows)
    assert len({tuple(row) for row in rows}) == 5


def test_start_takes_the_same_frame_of_each_interval():
    assert choose("start2", 100, 4) == [2, 27, 52, 77]


def test_start_beyond_the_clip_takes_its_last_frame():
    assert choose("start9", 12, 3) == [9, 11, 11]


def test_fixed_rate_takes_the_first_frames_from_half_a_period_on():
    assert choose("fps2", 60, 3, rate=30.0) == [8, 22, 38]


def test_fixed_rate_repeats_the_last_frame_of_a_clip_with_too_few():
    assert choose("fps1", 60, 4, rate=30.0) == [15, 45, 45, 45]


def test_fixed_rate_takes_the_last_frame_of_a_clip_shorter_than_half_a_period():
    assert choose("fps0.1", 60, 2, rate=30.0) == [59, 59]


def test_mvbench_spreads_frames_as_its_notebook_does():
    assert choose("mvbench", 101, 4) == [12, 37, 62, 87]
    assert choose("mvbench", 3, 4) == [0, 0, 1, 2]


@pytest.mark.parametrize("sample", ["middle", "rand", "rand_reference", "start0"])
def test_short_clip_gives_all_its_frames_and_repeats_the_last(sample):
    assert choose(sample, 3, 5) == [0, 1, 2, 2, 2]


def test_choosing_from_no_frames_is_refused():
    with pytest.raises(ValueError, match="no frame to choose from"):
        choose("middle", 0, 4)


def test_random_sampling_without_draws_is_refused():
    with pytest.raises(ValueError, match="rand needs something to draw with"):
        Sampling("rand").choose(8, 4)


@pytest.mark.parametrize("text", ["", "random", "fps", "fps0", "fps0.0", "start", "start1.5", "8"])
def test_unknown_sampling_is_refused(text):
    with pytest.raises(ValueError, match="is not known; write rand, middle, fps<N>"):
        Sampling.parse(text)


@pytest.mark.parametrize(
    ("text", "number"), [("fps1", 1), ("fps0.5", 0.5), ("fps29.97", 29.97), ("start10", 10)]
)
def test_number_behind_a_mode_is_read(text, number):
    assert Sampling.parse(text).number == number


@pytest.mark.parametrize(
    ("sample", "start_s", "end_s", "expected"),
    [
        ("middle", None, None, range(45)),
        ("middle", 0.42, 1.3, range(10, 32)),  # the frame shown at 0.42 s; 0.88 s are 22 frames
        ("middle", 1.0, 99.0, range(25, 45)),
        ("middle", 1.0, 1.01, range(25, 26)),
        ("middle", 1.8, None, range(45, 45)),
        ("mvbench", 0.42, 1.3, range(10, 33)),
        ("mvbench", 0.43, 99.0, range(11, 45)),
    ],
)
def test_part_of_a_clip_goes_from_the_frame_shown_at_its_start(sample, start_s, end_s, expected):
    assert Sampling.parse(sample).within(45, 25.0, start_s, end_s) == expected


@pytest.mark.parametrize(("sample", "is_known"), [("fps0.5", True), ("fps0", False)])
def test_recipe_knows_the_same_samplings(sample, is_known):
    recipe = {"entry": "stage2", "lr": 1e-4, "global_batch": 8, "data": [{"annotations": "a.json"}]}

    if is_known:
        assert Train.model_validate(recipe | {"sample": sample}).sample == sample
    else:
        with pytest.raises(ValidationError, match="sample"):
            Train.model_validate(recipe | {"sample": sample})
