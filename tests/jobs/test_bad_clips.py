"""Unreadable clips are counted over all ranks, told of once, and stop a run when too many."""

import json
from pathlib import Path

import pytest

from jobs.bad_clips import BadClips, gather
from jobs.data.dataset import BadClip, SampleKey
from jobs.data.errors import TooManyBadClipsError
from tests.ranks import in_ranks


def bad(number, name="some"):
    return BadClip(name, f"{number}.mp4", "OSError", "no film", SampleKey(0, number))


def count(max_fraction=0.01, *, size=10_000, rank=0, told=None, gather=lambda news: [news]):
    tell = (told if told is not None else []).extend
    return BadClips(max_fraction, {"some": size}, rank=rank, tell=tell, gather=gather)


def share(clips, seen, bad_clips):
    clips.add({"some": seen}, bad_clips)
    clips.share()


def test_few_bad_clips_at_the_start_do_not_stop_a_run():
    clips = count()

    share(clips, 20, [bad(i) for i in range(10)])

    assert (clips.seen, clips.count) == ({"some": 20}, {"some": 10})


def test_set_is_judged_early_where_good_clips_to_come_would_not_help():
    clips = count()

    with pytest.raises(TooManyBadClipsError) as caught:
        share(clips, 11, [bad(i) for i in range(11)])

    message = str(caught.value)
    assert message.startswith("set 'some': 11 of 11 clips are unreadable (allowed: 1%); first: 0.m")
    assert "0.mp4 (OSError), 1.mp4 (OSError)" in message


def test_share_of_all_samples_seen_is_what_counts_later():
    clips = count()

    for step in range(20):
        share(clips, 100, [bad(step)])

    with pytest.raises(TooManyBadClipsError, match="22 of 2100 clips"):
        share(clips, 100, [bad(20), bad(21)])


def test_small_set_is_judged_once_it_has_been_seen():
    clips = count(0.1, size=30)

    share(clips, 10, [bad(i) for i in range(3)])
    with pytest.raises(TooManyBadClipsError, match="4 of 11 clips"):
        share(clips, 1, [bad(3)])


def test_no_bad_clip_is_allowed_where_none_is():
    with pytest.raises(TooManyBadClipsError, match="1 of 50 clips"):
        share(count(0), 50, [bad(1)])


def test_bad_clips_are_told_of_once():
    told = []
    clips = count(told=told)

    share(clips, 4, [bad(1)])
    share(clips, 4, [])
    share(clips, 4, [bad(2)])

    assert told == [bad(1), bad(2)]


def run_rank(rank, folder):
    """One of two ranks; the bad clips are all on rank 1."""
    told = []
    clips = count(0.25, size=8, rank=rank, told=told, gather=gather)
    share(clips, 4, [bad(0)] if rank else [])
    with pytest.raises(TooManyBadClipsError) as caught:
        share(clips, 4, [bad(i) for i in range(1, 5)] if rank else [])
    found = (rank, len(told), clips.seen, str(caught.value))
    Path(folder, f"{rank}.json").write_text(json.dumps(found))


def test_ranks_count_together_and_end_together(tmp_path):
    in_ranks(run_rank, 2, str(tmp_path))

    found = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1)]
    assert [each[:3] for each in found] == [[0, 5, {"some": 16}], [1, 5, {"some": 16}]]
    assert found[0][3] == found[1][3]
    assert found[0][3].startswith("set 'some': 5 of 16 clips are unreadable (allowed: 25%)")
