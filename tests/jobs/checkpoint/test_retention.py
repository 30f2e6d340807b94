"""Which checkpoints may go."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from jobs.checkpoint.retention import removable
from jobs.contract.checkpointing import Checkpointing
from jobs.contract.manifest import Manifest

rules = st.builds(
    Checkpointing,
    keep=st.integers(1, 4),
    keep_every=st.none() | st.integers(1, 50),
    keep_epochs=st.booleans(),
    keep_best=st.booleans(),
)
losses = st.none() | st.floats(0, 10) | st.just(float("nan"))
manifests = st.builds(
    lambda step, loss, ends_epoch: Manifest(step=step, files=(), loss=loss, ends_epoch=ends_epoch),
    st.integers(1, 300),
    losses,
    st.booleans(),
)
histories = st.lists(manifests, max_size=12, unique_by=lambda each: each.step)


def folders(*found: Manifest) -> list[tuple[Path, Manifest]]:
    return [(Path(f"step-{each.step:08d}{'-final' * each.final}"), each) for each in found]


def at(step: int, **fields) -> Manifest:
    return Manifest(step=step, files=(), **fields)


def names(paths) -> list[int]:
    """The steps of removed checkpoints."""
    return [int(path.name.removeprefix("step-").removesuffix("-final")) for path in paths]


def ordered(found) -> list[tuple[Path, Manifest]]:
    return sorted(folders(*found), key=lambda each: each[1].step)


@given(found=histories, rules=rules)
def test_newest_checkpoints_always_stay(found, rules):
    gone = removable(folders(*found), rules)

    newest = [path for path, _ in ordered(found)[-rules.keep :]]
    assert not set(gone) & set(newest)


@given(found=histories, rules=rules, data=st.data())
def test_needed_and_final_checkpoints_always_stay(found, rules, data):
    kept = [*folders(*found), *folders(at(299, final=True))]
    needed = data.draw(st.sets(st.sampled_from([path for path, _ in kept])))

    gone = removable(kept, rules, needed=needed)

    assert not set(gone) & (needed | {Path("step-00000299-final")})


@given(found=histories, rules=rules, data=st.data())
def test_what_goes_does_not_depend_on_the_order_of_the_folder(found, rules, data):
    kept = folders(*found)

    assert removable(data.draw(st.permutations(kept)), rules) == removable(kept, rules)


@given(found=histories, rules=rules)
def test_removing_twice_removes_no_more(found, rules):
    kept = folders(*found)
    gone = set(removable(kept, rules))

    assert removable([each for each in kept if each[0] not in gone], rules) == []


@given(found=histories, rules=rules)
def test_pruning_after_each_save_leaves_what_pruning_at_the_end_leaves(found, rules):
    """Nothing is removed too early: except of the best, which earlier saves decide."""
    rules = rules.model_copy(update={"keep_best": False})
    saved: list[tuple[Path, Manifest]] = []
    for each in ordered(found):
        saved.append(each)
        gone = set(removable(saved, rules))
        saved = [one for one in saved if one[0] not in gone]

    gone = set(removable(ordered(found), rules))
    assert saved == [one for one in ordered(found) if one[0] not in gone]


@given(found=histories, rules=rules)
def test_best_of_all_that_were_ever_saved_stays(found, rules):
    rules = rules.model_copy(update={"keep_best": True})
    saved: list[tuple[Path, Manifest]] = []
    for each in ordered(found):
        saved.append(each)
        gone = set(removable(saved, rules))
        saved = [one for one in saved if one[0] not in gone]

    def finite(found):
        return [m.loss for m in found if m.loss is not None and m.loss == m.loss]

    assert min(finite(m for _, m in saved), default=None) == min(finite(found), default=None)


def test_only_the_newest_stay_without_further_rules():
    kept = folders(*[at(step, loss=1 / step, ends_epoch=True) for step in range(1, 6)])

    assert names(removable(kept, Checkpointing(keep=2))) == [1, 2, 3]


def test_first_checkpoint_of_each_so_many_steps_stays():
    kept = folders(*[at(step) for step in range(40, 400, 40)])

    gone = removable(kept, Checkpointing(keep=1, keep_every=100))

    assert names(gone) == [40, 80, 160, 240, 280]  # 120, 200 and 320 are the first; 360 is new


def test_epoch_ends_stay_where_they_are_wanted():
    kept = folders(*[at(step, ends_epoch=step % 3 == 0) for step in range(1, 9)])

    assert names(removable(kept, Checkpointing(keep=1, keep_epochs=True))) == [1, 2, 4, 5, 7]


def test_newer_of_two_equally_good_checkpoints_stays():
    kept = folders(at(1, loss=0.5), at(2, loss=0.5), at(3, loss=0.9), at(4, loss=float("nan")))

    assert names(removable(kept, Checkpointing(keep=1, keep_best=True))) == [1, 3]
