"""The curve through chunk steps, sampled by itself."""

from __future__ import annotations

import numpy as np

from svam_ros.control.chunk_curve import ChunkCurve, knot_velocities

STEP_NS = 40_000_000


def curve(actions: np.ndarray) -> ChunkCurve:
    count = len(actions)
    return ChunkCurve(
        STEP_NS * np.arange(1, count + 1),
        actions,
        knot_velocities(actions, 0.04),
        np.ones(count, dtype=np.bool_),
        np.arange(count),
        np.zeros(actions.shape[1], dtype=np.bool_),
    )


def test_at_its_first_knot_it_moves_and_before_it_stands_still_there():
    line = curve(np.linspace(0.0, 0.7, 8)[:, None])
    at_knot, before = line.at(STEP_NS), line.at(STEP_NS - 1)
    assert (at_knot.positions, before.positions) == (0.0, 0.0)
    assert np.isclose(at_knot.velocities, 2.5)
    assert before.velocities == 0.0
    assert (at_knot.fresh, before.fresh) == (True, False)
    assert (at_knot.observed_ns, before.observed_ns) == (0, 0)


def test_knots_move_as_their_neighbours_lie_and_the_last_stands_still():
    actions = np.array([[0.0], [0.1], [0.4], [0.5]])
    assert np.allclose(knot_velocities(actions, 0.04).T, [[2.5, 5.0, 5.0, 0.0]])
    assert np.allclose(knot_velocities(actions[:1], 0.04), 0.0)
