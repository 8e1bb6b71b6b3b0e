from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vision.tracking import motion
from vision.tracking.motion import MotionNoise, begin, boxes, correct, predict

NOISE = MotionNoise()
BOXES = np.array([[100, 50, 140, 150], [400, 300, 420, 340]], np.float32)
SEEN = np.zeros(2, np.bool_)
COASTING = np.ones(2, np.bool_)
SPEED_PX_S = np.array([[60.0, -20.0], [-12.0, 30.0]])


def moved(elapsed_s: float) -> npt.NDArray[np.float32]:
    shift = SPEED_PX_S * elapsed_s
    shifted: npt.NDArray[np.float32] = (BOXES + np.concatenate([shift, shift], axis=1)).astype(np.float32)
    return shifted


def followed(rate_hz: float, seconds: float) -> motion.States:
    states = begin(BOXES, NOISE)
    for step in range(1, round(rate_hz * seconds) + 1):
        states = correct(predict(states, 1 / rate_hz, SEEN, NOISE), moved(step / rate_hz), NOISE)
    return states


def test_a_new_object_is_where_it_was_detected() -> None:
    assert boxes(begin(BOXES, NOISE)) == pytest.approx(BOXES)


@pytest.mark.parametrize("rate_hz", [5.0, 25.0])
def test_speed_in_pixels_per_second_is_learnt_at_any_rate(rate_hz: float) -> None:
    states = followed(rate_hz, 3.0)

    assert states[:, motion.SPEED, :2] == pytest.approx(SPEED_PX_S, abs=3.0)
    assert states[:, motion.SPEED, 2:] == pytest.approx(0.0, abs=1.0)
    assert boxes(states) == pytest.approx(moved(3.0), abs=2.0)


def test_the_batched_filter_equals_a_textbook_filter_for_each_object() -> None:
    """The reference is the usual 8×8 matrix form of the same model."""
    elapsed_s = 0.12
    states = begin(BOXES, NOISE)
    for row, box in enumerate(BOXES):
        height = float(box[3] - box[1])
        measured = moved(elapsed_s)[row].astype(np.float64)
        z = np.concatenate([(measured[:2] + measured[2:]) / 2, measured[2:] - measured[:2]])
        shares = np.array([1, 1, NOISE.size_share, NOISE.size_share])
        identity = np.eye(4)
        transition = np.block([[identity, elapsed_s * identity], [np.zeros((4, 4)), identity]])
        wander = np.diag((NOISE.acceleration * height * shares) ** 2)
        jitter = identity * (NOISE.jitter * height) ** 2 * elapsed_s
        cross = wander * elapsed_s**2 / 2
        process = np.block([[wander * elapsed_s**3 / 3 + jitter, cross], [cross, wander * elapsed_s]])
        mean = np.concatenate([(box[:2] + box[2:]) / 2, box[2:] - box[:2], np.zeros(4)]).astype(np.float64)
        first = [np.full(4, NOISE.first_position * height), NOISE.first_speed * height * shares]
        covariance = np.diag(np.concatenate(first) ** 2)
        mean = transition @ mean
        covariance = transition @ covariance @ transition.T + process
        observe = np.eye(4, 8)
        spread = observe @ covariance @ observe.T + identity * (NOISE.measurement * mean[3]) ** 2
        gain = covariance @ observe.T @ np.linalg.inv(spread)
        mean = mean + gain @ (z - observe @ mean)
        covariance = (np.eye(8) - gain @ observe) @ covariance

        ours = correct(predict(states, elapsed_s, SEEN, NOISE), moved(elapsed_s), NOISE)[row]

        assert ours[motion.POSITION] == pytest.approx(mean[:4])
        assert ours[motion.SPEED] == pytest.approx(mean[4:])
        assert ours[motion.POSITION_VARIANCE] == pytest.approx(np.diag(covariance)[:4])
        assert ours[motion.COVARIANCE] == pytest.approx(np.diag(covariance[:4, 4:]))
        assert ours[motion.SPEED_VARIANCE] == pytest.approx(np.diag(covariance)[4:])


@given(st.floats(0.01, 1.0), st.floats(0.01, 1.0), st.booleans())
def test_two_short_steps_equal_one_long_step(first_s: float, second_s: float, coasting: bool) -> None:
    # Only speeds of the centre: a changing height changes the noise, which is measured in heights.
    states = followed(10.0, 1.0)
    states[:, motion.SPEED, 2:] = 0.0
    mask = COASTING if coasting else SEEN

    twice = predict(predict(states, first_s, mask, NOISE), second_s, mask, NOISE)

    assert twice == pytest.approx(predict(states, first_s + second_s, mask, NOISE), rel=1e-6, abs=1e-6)


def test_uncertainty_grows_while_unseen_and_shrinks_when_seen() -> None:
    states = followed(10.0, 1.0)
    unseen = predict(states, 1.0, COASTING, NOISE)
    seen = correct(unseen, moved(2.0), NOISE)

    assert (unseen[:, motion.POSITION_VARIANCE] > states[:, motion.POSITION_VARIANCE]).all()
    assert (seen[:, motion.POSITION_VARIANCE] < unseen[:, motion.POSITION_VARIANCE]).all()


def test_a_coasting_object_keeps_its_size() -> None:
    states = followed(10.0, 1.0)
    states[:, motion.SPEED, 3] = -30.0

    coasted = predict(states, 2.0, COASTING, NOISE)

    assert coasted[:, motion.POSITION, 2:] == pytest.approx(states[:, motion.POSITION, 2:])


def test_a_coasting_object_keeps_its_speed() -> None:
    states = followed(10.0, 1.0)

    coasted = predict(states, 2.0, COASTING, NOISE)

    expected = states[:, motion.POSITION, :2] + 2.0 * states[:, motion.SPEED, :2]
    assert coasted[:, motion.POSITION, :2] == pytest.approx(expected)


def test_a_shrinking_box_never_vanishes() -> None:
    states = begin(BOXES, NOISE)
    states[:, motion.SPEED, 2:] = -1000.0

    shrunk = predict(states, 1.0, SEEN, NOISE)

    assert (shrunk[:, motion.POSITION, 2:] >= 1.0).all()
