"""Assignment, losses, schedule, checkpoints and export; these tests need torch."""

from __future__ import annotations

import importlib.util
import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

if any(importlib.util.find_spec(name) is None for name in ("torch", "onnx")):
    pytest.skip(
        "torch and onnx are not installed; `make test-training` runs these tests in an environment that has them",
        allow_module_level=True,
    )

import torch

from demo.training import checkpoint
from demo.training.assignment import TargetAssignment, Targets, assign_targets
from demo.training.boxes import generalised_iou, pairwise_iou
from demo.training.calibration import EmbeddingCalibration
from demo.training.detector import HEIGHT, WIDTH, export
from demo.training.detector_batches import PartSelection, as_targets, must_be_found, random_part
from demo.training.detector_loss import detector_loss
from demo.training.detector_network import DetectorNetwork, all_cell_centres
from demo.training.embedder import export as export_embedder
from demo.training.embedder_loss import IdentityLoss, contrastive_loss, means_loss
from demo.training.embedder_network import DIMENSION, EmbedderNetwork
from demo.training.prefetch import prefetched
from demo.training.schedule import AveragedWeights, learning_rate, parameter_groups
from demo.truth import Truth
from vision.inference.detection import Detector
from vision.inference.embedding import Embedder
from vision.inference.selection import Thresholds

CENTRES = all_cell_centres(64, 64)
FINE_CELLS = 8 * 8


def targets(*boxes: tuple[float, float, float, float], required: list[bool] | None = None) -> Targets:
    rows = np.array(boxes, np.float32)
    wanted = np.array(required or [True] * len(boxes))
    return as_targets([(rows, np.arange(len(boxes), dtype=np.int16), wanted)])


def assigned(wanted: Targets, boxes_xyxy: torch.Tensor | None = None) -> TargetAssignment:
    """Predictions with the same medium score everywhere; by default, boxes of 16 × 16 pixels around every cell."""
    if boxes_xyxy is None:
        boxes_xyxy = torch.cat([CENTRES - 8, CENTRES + 8], dim=1)
    return assign_targets(wanted, boxes_xyxy[None], torch.full((1, len(CENTRES), 3), 0.5), CENTRES)


def test_only_cells_within_a_box_are_assigned_to_it() -> None:
    result = assigned(targets((16, 16, 32, 32)))

    inside = ((CENTRES > 16) & (CENTRES < 32)).all(dim=1)
    assert ((result.quality[0] > 0) <= inside).all()
    assert 1 <= (result.quality[0] > 0).sum() <= 10
    assert result.counts.all()


def test_the_target_of_the_best_cell_is_its_overlap_and_the_class_of_its_object() -> None:
    result = assigned(targets((0, 0, 4, 4), (16, 16, 32, 32)))

    best = int(result.quality[0].argmax())
    # The 16-pixel cell in the middle of the box predicts just this box.
    assert CENTRES[best].tolist() == [24, 24]
    assert result.scores[0, best].tolist() == pytest.approx([0, 1, 0], abs=1e-4)
    assert result.boxes_xyxy[0, best].tolist() == [16, 16, 32, 32]


def test_a_cell_in_two_boxes_is_assigned_to_the_one_it_overlaps_more() -> None:
    result = assigned(targets((10, 10, 40, 40), (16, 16, 32, 32)))

    middle = int(((CENTRES - 24).abs().sum(dim=1) == 0).nonzero()[0])
    assert result.boxes_xyxy[0, middle].tolist() == [16, 16, 32, 32]
    assert (result.scores[0].count_nonzero(dim=1) <= 1).all()


def test_an_ignored_box_does_not_affect_the_loss() -> None:
    result = assigned(targets((0, 0, 24, 24), (40, 40, 60, 60), required=[True, False]))

    within = ((CENTRES > 40) & (CENTRES < 60)).all(dim=1)
    assert within.any()
    assert not result.counts[0][within].any()
    assert result.counts[0][~within].all()
    assert not result.quality[0][within].any()


def test_a_picture_without_objects_has_zero_target_scores() -> None:
    empty = as_targets([(np.zeros((0, 4), np.float32), np.zeros(0, np.int16), np.zeros(0, bool))])

    result = assigned(empty)

    assert not result.scores.any()
    assert result.counts.all()


def test_overlaps_equal_those_computed_by_hand() -> None:
    first, second = torch.tensor([[0.0, 0, 10, 10]]), torch.tensor([[5.0, 0, 15, 10]])
    apart = torch.tensor([[20.0, 0, 30, 10]])

    assert pairwise_iou(first[None], second[None]).item() == pytest.approx(1 / 3)
    assert generalised_iou(first, second).item() == pytest.approx(1 / 3)
    # A hull of 300 square pixels, 100 of them in neither box.
    assert generalised_iou(first, apart).item() == pytest.approx(-1 / 3)


def test_perfect_predictions_cost_less_than_worse_ones() -> None:
    wanted = targets((16, 16, 32, 32))
    box = torch.tensor([16.0, 16, 32, 32]).expand(1, len(CENTRES), 4)
    silent = torch.full((1, len(CENTRES), 3), -12.0)
    right = silent.clone()
    right[0, ((CENTRES > 16) & (CENTRES < 32)).all(dim=1), 0] = 12.0
    noisy = torch.full_like(right, 12.0)

    def cost(boxes_xyxy: torch.Tensor, logits: torch.Tensor) -> float:
        return float(sum(detector_loss(boxes_xyxy, logits, CENTRES, wanted)))

    perfect, missed, everywhere = (cost(box, logits) for logits in (right, silent, noisy))
    misplaced = cost(box + 4, right)

    assert perfect == pytest.approx(0, abs=0.01)
    assert min(missed, everywhere, misplaced) > 0.5


@pytest.mark.parametrize("seed", range(8))
def test_boxes_follow_the_picture_through_scale_cut_and_mirror(seed: int) -> None:
    image = np.full((360, 640, 3), 40, np.uint8)
    image[100:160, 300:400] = 220
    box = np.array([[300, 100, 400, 160]], np.float32)
    truth = Truth(np.array([1]), box, np.zeros(1, np.int16), np.ones(1, np.float32), np.zeros((1, 2), np.float32))

    parts = PartSelection(320, 192, (0.5, 1.5), around_a_vehicle=1.0)
    part, boxes = random_part(image, truth, parts, np.random.default_rng(seed), vehicle=0)

    bright = part.min(axis=2) > (int(part.min()) + int(part.max())) / 2
    left, top, right, bottom = np.clip(boxes[0], 0, [320, 192, 320, 192])
    rows, columns = np.flatnonzero(bright.any(axis=1)), np.flatnonzero(bright.any(axis=0))
    seen = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
    np.testing.assert_allclose(seen, (left, top, right, bottom), atol=1.5)


def test_a_vehicle_must_be_found_if_enough_of_it_is_left() -> None:
    boxes = np.array([[-50, 50, 50, 90], [-70, 50, 30, 90], [100, 50, 150, 58], [100, 50, 150, 90]], np.float32)
    visibility = np.array([1, 1, 1, 0.2], np.float32)
    truth = Truth(np.arange(4), boxes, np.zeros(4, np.int16), visibility, np.zeros((4, 2), np.float32))

    required = must_be_found(boxes, truth, PartSelection(320, 192, (1, 1)))

    # Half outside, more outside, too small, hidden by something.
    assert required.tolist() == [True, False, False, False]


def test_vectors_that_group_by_vehicle_cost_less() -> None:
    identities = torch.tensor([0, 0, 1, 1])
    grouped = torch.tensor([[1.0, 0], [1, 0], [0, 1], [0, 1]])

    apart = grouped[[0, 2, 1, 3]]

    assert contrastive_loss(grouped, identities) < 0.01
    assert contrastive_loss(apart, identities) > 5


def test_means_that_are_off_cost_by_the_square_of_their_distance() -> None:
    identities = torch.tensor([0, 0, 1, 1])
    grouped = torch.tensor([[1.0, 0], [1, 0], [0, 1], [0, 1]])

    right = means_loss(grouped, identities, 1.0, 0.0)
    off, further = means_loss(grouped, identities, 0.9, 0.0), means_loss(grouped, identities, 0.9, 0.2)

    assert right == 0
    assert further / off == pytest.approx(5, rel=1e-4)


def test_the_nearest_prototype_must_win_by_the_margin() -> None:
    loss = IdentityLoss(2, 2)
    loss.prototypes.data = torch.tensor([[1.0, 0], [0, 1]])
    towards_first = torch.nn.functional.normalize(torch.tensor([[1.0, 0.9]]))

    assert loss(torch.tensor([[1.0, 0]]), torch.tensor([0])) < 0.001
    assert loss(towards_first, torch.tensor([0])) > math.log(2)
    assert loss(torch.tensor([[1.0, 0]]), torch.tensor([1])) > 10


def test_the_learning_rate_rises_and_falls() -> None:
    rates = [learning_rate(step, 100, peak=1.0, warm_up=10) for step in range(100)]

    assert rates[:10] == pytest.approx([(step + 1) / 10 for step in range(10)])
    assert all(later <= earlier for earlier, later in itertools.pairwise(rates[10:]))
    assert rates[-1] == pytest.approx(0.02, abs=0.001)


def test_batches_made_ahead_keep_their_order_and_their_errors() -> None:
    def failing() -> Any:
        yield from range(5)
        raise OSError("the disk is full")

    items = prefetched(failing())

    assert list(itertools.islice(items, 5)) == [0, 1, 2, 3, 4]
    with pytest.raises(OSError, match="full"):
        next(items)


def learn(network: torch.nn.Module, optimiser: torch.optim.Optimizer, mean: AveragedWeights, seeds: range) -> None:
    for seed in seeds:
        random = torch.Generator().manual_seed(seed)
        loss = network(torch.randn(8, 3, generator=random)).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        mean.update(network)


def trainee() -> tuple[torch.nn.Module, torch.optim.Optimizer, AveragedWeights]:
    torch.manual_seed(5)
    network = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 2))
    return network, torch.optim.AdamW(parameter_groups(network, 0.1), lr=0.01), AveragedWeights(network)


def test_an_interrupted_training_ends_with_the_same_weights(tmp_path: Path) -> None:
    whole = trainee()
    learn(*whole, range(6))
    interrupted = trainee()
    learn(*interrupted, range(3))
    checkpoint.save(tmp_path / "checkpoint.pt", *interrupted, 3)
    resumed = trainee()
    resumed[0][0].weight.data.zero_()

    assert checkpoint.load(tmp_path / "checkpoint.pt", *resumed) == 3
    learn(*resumed, range(3, 6))

    for kept in (0, 2):
        networks = [each[kept] if kept == 0 else each[kept].network for each in (whole, resumed)]
        for one, other in zip(*(network.state_dict().values() for network in networks), strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_without_a_checkpoint_training_starts_from_the_beginning(tmp_path: Path) -> None:
    assert checkpoint.load(tmp_path / "none.pt", *trainee()) == 0


def test_the_exported_detector_equals_the_network(tmp_path: Path) -> None:
    torch.manual_seed(2)
    network = DetectorNetwork(3).eval()
    for output in network.outputs:
        output.bias.data[4:] = 0
        output.weight.data *= 40
    export(network, tmp_path / "detector.onnx")
    frame = np.random.default_rng(1).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)

    detector = Detector.load(tmp_path / "detector.onnx", device="cpu", threads=1)
    found = detector.detect([frame, frame[::-1]], [Thresholds(0.0, nms_iou=1.0, max_detections=10_000)] * 2)

    pixels = torch.from_numpy(np.ascontiguousarray(frame[..., ::-1])).permute(2, 0, 1)[None] / 255
    with torch.no_grad():
        boxes, logits = network(pixels)
    scores, classes = logits.sigmoid()[0].max(dim=1)
    clipped = boxes[0].clamp(min=0).minimum(torch.tensor([WIDTH, HEIGHT] * 2))
    expected = torch.cat([clipped, scores[:, None] * 100, classes[:, None] * 100], dim=1)
    rows = np.column_stack([found[0].boxes_xyxy, found[0].scores * 100, found[0].class_ids * 100])
    distances = torch.cdist(torch.from_numpy(rows.astype(np.float32)), expected, p=torch.inf).amin(dim=1)
    assert (detector.class_names, detector.input_size) == (("car", "truck", "bus"), (WIDTH, HEIGHT))
    assert [len(each) for each in found] == [len(scores)] * 2
    # A tie between two classes may be broken either way.
    assert (distances < 0.05).float().mean() > 0.99


def test_the_exported_embedder_applies_the_calibration(tmp_path: Path) -> None:
    torch.manual_seed(2)
    network = EmbedderNetwork().eval()
    random = np.random.default_rng(4)
    matrix = random.normal(size=(DIMENSION, DIMENSION)).astype(np.float32)
    calibration = EmbeddingCalibration(matrix, random.normal(size=DIMENSION).astype(np.float32) / 10, 0.2)
    export_embedder(network, calibration, tmp_path / "embedder.onnx")
    frame = random.integers(0, 256, (120, 160, 3)).astype(np.uint8)
    boxes = np.array([[0, 0, 96, 64], [20, 30, 116, 94]], np.float32)

    embedder = Embedder.load(tmp_path / "embedder.onnx", device="cpu", threads=1)
    vectors = embedder.embed([(frame, boxes)])

    mean, std = (np.array(values, np.float32) for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    crops = np.stack([frame[int(y0) : int(y1), int(x0) : int(x1), ::-1] for x0, y0, x1, y1 in boxes])
    with torch.no_grad():
        raw = network(torch.from_numpy(((crops / np.float32(255) - mean) / std).transpose(0, 3, 1, 2)))
    expected = calibration.applied(torch.nn.functional.normalize(raw).numpy())
    assert embedder.dimension == DIMENSION + 1
    np.testing.assert_allclose(vectors, expected, atol=1e-4)
