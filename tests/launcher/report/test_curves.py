"""Curves over the attempts of a stage."""

from hypothesis import given
from hypothesis import strategies as st

from jobs.contract.events import Event
from launcher.report.curves import MOST_POINTS, Piece, curves_of, points_of, thin

POINTS = st.lists(st.floats(-1e9, 1e9), max_size=300).map(lambda v: [*enumerate(v)])


@given(points=POINTS, most=st.integers(0, 100))
def test_thinned_curve_keeps_its_ends_its_least_and_its_greatest(points, most):
    thinned = thin(points, most)

    assert len(thinned) <= max(4, most)
    assert set(thinned) <= set(points)
    if points:
        assert (thinned[0], thinned[-1]) == (points[0], points[-1])
        for extreme in (min, max):
            assert extreme(v for _, v in thinned) == extreme(v for _, v in points)


def test_steps_that_were_made_again_are_a_piece_of_their_own_that_begins_at_the_last_kept():
    first = {"loss": [(1, 3.0), (5, 2.0), (9, 1.0)]}
    again = {"loss": [(6, 1.9), (10, 0.9)]}

    (curve,) = curves_of([(first, 5), (again, None)])

    assert curve.pieces == (
        Piece(1, is_kept=True, points=((1, 3.0), (5, 2.0))),
        Piece(1, is_kept=False, points=((5, 2.0), (9, 1.0))),
        Piece(2, is_kept=True, points=((6, 1.9), (10, 0.9))),
    )
    assert (curve.last, curve.least, curve.most) == (0.9, 0.9, 3.0)


def test_long_curve_has_no_more_points_than_can_be_seen():
    attempts = [({"loss": [(step, step % 7.0) for step in range(10_000)]}, None)] * 3

    (curve,) = curves_of(attempts)

    assert sum(len(piece.points) for piece in curve.pieces) <= MOST_POINTS
    assert curve.told == 30_000


def test_what_is_no_finite_number_is_left_out():
    events = [
        Event(1.0, "step", {"step": 1, "loss": float("nan"), "lr": 1e-4}),
        Event(2.0, "step", {"step": 2, "loss": "<b>", "lr": float("inf")}),
        Event(3.0, "step", {"step": None, "loss": 1.0}),
        Event(4.0, "skipped", {"step": 4, "loss": 1.0}),
        Event(5.0, "step", {"step": 5, "loss": 0.5, "lr": True}),
    ]

    assert points_of(events) == {"loss": [(5, 0.5)], "lr": [(1, 1e-4)]}
