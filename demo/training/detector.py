"""`python -m demo.training.detector`: trains the detector and writes it as ONNX."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import torch
import typer

from demo.appearance import CLASS_NAMES
from demo.training import checkpoint
from demo.training.detector_batches import PartSelection, batches
from demo.training.detector_loss import detector_loss
from demo.training.detector_network import DetectorNetwork, ExportedDetector, all_cell_centres
from demo.training.detector_scores import detector_scores
from demo.training.export import write_onnx
from demo.training.pictures import Picture, render
from demo.training.places import DETECTOR, WORK
from demo.training.prefetch import prefetched
from demo.training.progress import ProgressLines
from demo.training.schedule import AveragedWeights, parameter_groups, two_stage_rate
from vision.inference.detection import Detector

WIDTH, HEIGHT = 640, 384
# Parts of a quarter of the area: four times as many pictures per hour; the network accepts any size.
_PARTS = PartSelection(320, 192, (0.55, 1.6), around_a_vehicle=0.8)
_BATCH = 16
_PEAK_RATE, _WEIGHT_DECAY, _WARM_UP_STEPS = 2e-3, 0.02, 300
_MAX_GRADIENT_NORM = 10.0
_VALIDATION_PICTURES = 240


def train(
    pictures: Sequence[Picture], validation: Sequence[Picture], work: Path, seed: int, epochs: int, first_stage: int
) -> DetectorNetwork:
    """Trains for `epochs` and returns the network; resumes from the checkpoint in `work`.

    After `first_stage` epochs, all classes are shown equally often, and the learning rate rises and falls once more.
    Rare classes are balanced only after the features are learnt (Cao et al., LDAM with deferred re-weighting, 2019).
    """
    torch.manual_seed(seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = DetectorNetwork(len(CLASS_NAMES)).to(device, memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(parameter_groups(network, _WEIGHT_DECAY), lr=_PEAK_RATE)
    mean = AveragedWeights(network)
    first = checkpoint.load(work / "checkpoint.pt", network, optimiser, mean)
    per_epoch = len(pictures) // _BATCH
    steps, step = epochs * per_epoch, first * per_epoch
    centres = all_cell_centres(_PARTS.height, _PARTS.width).to(device)
    progress = ProgressLines("detector", steps, done=step)
    for epoch in range(first, epochs):
        network.train()
        random = np.random.default_rng((seed, epoch))
        totals = np.zeros(2)
        for images, targets in prefetched(batches(pictures, _PARTS, _BATCH, random, balanced=epoch >= first_stage)):
            rate = two_stage_rate(step, per_epoch * first_stage, steps, peak=_PEAK_RATE, warm_up=_WARM_UP_STEPS)
            for group in optimiser.param_groups:
                group["lr"] = rate
            boxes_xyxy, logits = network(images.to(device))
            score_loss, box_loss = detector_loss(boxes_xyxy, logits, centres, targets.to(device))
            optimiser.zero_grad(set_to_none=True)
            (score_loss + box_loss).backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), _MAX_GRADIENT_NORM)
            optimiser.step()
            mean.update(network)
            step += 1
            totals += score_loss.item(), box_loss.item()
            progress.at(step, f"epoch {epoch + 1}/{epochs}, loss {score_loss.item():.2f} + {box_loss.item():.2f}")
        checkpoint.save(work / "checkpoint.pt", network, optimiser, mean, epoch + 1)
        losses = " + ".join(f"{total:.3f}" for total in totals / per_epoch)
        typer.echo(f"epoch {epoch + 1}: mean loss {losses}, {_validated(mean.network, validation, work)}")
    return mean.network.cpu()


def export(network: DetectorNetwork, path: Path) -> None:
    names = dict(enumerate(CLASS_NAMES))
    # The keys, and the values as Python literals, are those of Ultralytics' exports.
    metadata = {"names": str(names), "imgsz": str([HEIGHT, WIDTH]), "stride": "32", "task": "detect"}
    write_onnx(ExportedDetector(network, HEIGHT, WIDTH), path, HEIGHT, WIDTH, metadata)


def _validated(network: DetectorNetwork, validation: Sequence[Picture], work: Path) -> str:
    path = work / "validated.onnx"
    export(network, path)
    scores = detector_scores(Detector.load(path, device="cpu"), validation)
    return f"validation mAP50 {scores.map50:.3f}"


def main(
    output: Annotated[Path, typer.Option(help="The ONNX file to write.")] = DETECTOR,
    work: Annotated[Path, typer.Option(help="Folder for pictures and checkpoints.")] = WORK,
    seed: Annotated[int, typer.Option(help="Seed of the weights and of the order of the pictures.")] = 1,
    epochs: Annotated[int, typer.Option(min=1, help="Number of passes over the pictures.")] = 20,
    first_stage: Annotated[int, typer.Option(min=0, help="Epochs before the classes are balanced.")] = 12,
    resume: Annotated[bool, typer.Option(help="Resume from the last checkpoint, if there is one.")] = True,
) -> None:
    """Train the demo's detector on rendered pictures."""
    started_s = time.monotonic()
    cv2.setNumThreads(1)
    pictures, validation = render(work / "pictures", "training"), render(work / "pictures", "validation")
    if not resume:
        (work / "detector" / "checkpoint.pt").unlink(missing_ok=True)
    spread = validation[:: max(1, len(validation) // _VALIDATION_PICTURES)]
    network = train(pictures, spread, work / "detector", seed, epochs, first_stage)
    export(network, output)
    scores = detector_scores(Detector.load(output, device="cpu"), validation)
    minutes = (time.monotonic() - started_s) / 60
    size = output.stat().st_size
    typer.echo(f"{output}: {size} bytes, mAP50 on validation {scores.map50:.4f}, {minutes:.1f} minutes")


if __name__ == "__main__":
    typer.run(main)
