"""Recall, worked out by hand."""

import torch

from jobs.evaluation.gallery import Gallery, candidates, hits, positions, reordered
from jobs.evaluation.retrieval import packed, unpacked

INF = torch.inf


def gallery(clips: int, texts: int, pairs) -> Gallery:
    """A gallery of which only the pairs of numbers matter."""
    clip_of, text_of = zip(*pairs, strict=True)
    return Gallery(range(clips), ("",) * texts, clip_of, text_of)


def test_place_of_the_best_right_candidate_counts():
    scores = torch.tensor([[0.9, 0.5, 0.7], [0.1, 0.2, 0.3], [0.1, 0.2, 0.3]])

    assert positions(scores, [[0], [0], [0, 2]]) == [0, 2, 0]


def test_candidate_as_good_as_the_right_one_stands_before_it():
    scores = torch.zeros(1, 4)

    assert positions(scores, [[2]]) == [3]


def test_query_without_a_score_is_nowhere():
    assert positions(torch.full((1, 1), -INF), [[0]]) == [None]


def test_recall_is_told_for_both_directions_and_three_depths():
    # So many others are better than the right text as the clip's number says.
    rows = [
        [1.0 if 1 <= (text - clip) % 12 <= clip else 0.0 for text in range(12)]
        for clip in range(12)
    ]
    scores = torch.tensor(rows) + 0.5 * torch.eye(12)

    found = hits("set", gallery(12, 12, [(i, i) for i in range(12)]), scores, torch.eye(12))

    assert [(score.name, score.correct, score.total) for score in found] == [
        ("set clip to text R@1", 1, 12),
        ("set clip to text R@5", 5, 12),
        ("set clip to text R@10", 10, 12),
        ("set text to clip R@1", 12, 12),
        ("set text to clip R@5", 12, 12),
        ("set text to clip R@10", 12, 12),
    ]


def test_clip_with_two_captions_is_found_by_either():
    to_text = torch.tensor([[0.1, 0.9, 0.5], [0.9, 0.1, 0.5]])
    pairs = [(0, 0), (0, 1), (1, 2)]

    found = hits("set", gallery(2, 3, pairs), to_text, to_text.T)

    assert [score.correct for score in found] == [1, 2, 2, 1, 3, 3]


def test_unreadable_clip_is_looked_for_in_vain():
    vectors = [torch.tensor([1.0, 0.0]), None]
    texts = [torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])]
    both = gallery(2, 2, [(0, 0), (1, 1)])

    scores = both.similarities(vectors, texts)

    assert scores.tolist() == [[1.0, 0.0], [-INF, -INF]]
    assert [score.correct for score in hits("set", both, scores, scores.T)] == [1, 1, 1, 1, 1, 1]


def test_best_of_both_directions_are_matched():
    scores = torch.tensor([[0.9, 0.8, 0.1], [0.7, 0.2, 0.3]])

    # Clip 0 wants text 0; clip 1 wants text 0, and is the best for text 2.
    assert candidates(scores, 1) == [[0, 1], [0, 2]]


def test_matching_head_orders_the_best_and_leaves_the_others_in_order():
    scores = torch.tensor([[0.4, 0.3, 0.2, 0.1]])
    matches = [{"0": -5.0, "1": 7.0, "2": 0.0, "3": 0.0}]

    to_text, to_clip = reordered(scores, 2, matches)

    assert to_text.argsort(dim=1, descending=True).tolist() == [[1, 0, 2, 3]]
    assert to_clip.tolist() == [[-5.0], [7.0], [0.0], [0.0]]


def test_vector_is_kept_to_the_bit():
    vector = torch.randn(33)

    assert torch.equal(unpacked(packed(vector)), vector)
