"""The length of a run, and where it stands."""

from jobs.checkpoint.progress import Progress
from jobs.contract.spec import Train
from jobs.feed import Schedule


def recipe(**changes) -> Train:
    """A recipe of which only the length matters."""
    usual = {"entry": "stage2", "lr": 1e-4, "global_batch": 8, "data": [{"annotations": "a.json"}]}
    return Train.model_validate(usual | changes)


def test_schedule_counts_epochs_and_lets_the_warmup_end_between_two_steps():
    assert Schedule.of(recipe(epochs=3, warmup_epochs=0.6), 7) == Schedule(7, 21, 0.6 * 7)


def test_schedule_ends_at_max_steps_where_that_is_sooner():
    assert Schedule.of(recipe(epochs=3, max_steps=10), 7).total_steps == 10
    assert Schedule.of(recipe(epochs=1, max_steps=10), 7).total_steps == 7


def test_progress_goes_over_to_the_next_epoch_after_its_last_batch():
    schedule = Schedule(steps_per_epoch=2, total_steps=4, warmup_steps=0)

    after_1 = schedule.after(Progress(), 8)
    after_2 = schedule.after(after_1, 8)

    assert (after_1, after_2) == (Progress(1, 0, 1, 8), Progress(2, 1, 0, 16))
