"""`python -m demo.training.embedder`: trains the vehicle embedder, calibrates it and writes it as ONNX."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import torch
import typer
from torch import nn
from torch.nn import functional

from demo.training import checkpoint
from demo.training.calibration import DIFFERENT, SAME, EmbeddingCalibration, calibrate
from demo.training.crops import JUDGED, LEARNT, Crop, crops_of, stretched
from demo.training.embedder_batches import as_input, batches
from demo.training.embedder_loss import IdentityLoss, contrastive_loss, means_loss
from demo.training.embedder_network import DIMENSION, HEIGHT, WIDTH, EmbedderNetwork, ExportedEmbedder
from demo.training.export import write_onnx
from demo.training.pictures import render
from demo.training.places import EMBEDDER, WORK
from demo.training.prefetch import prefetched
from demo.training.progress import ProgressLines
from demo.training.retrieval import Floats, Sightings, retrieval
from demo.training.schedule import AveragedWeights, parameter_groups, two_stage_rate

_PEAK_RATE, _WEIGHT_DECAY, _WARM_UP_STEPS = 2e-3, 0.02, 100
_MAX_GRADIENT_NORM = 10.0
_STEPS_PER_EPOCH = 100
_VALIDATION_BATCH = 64
_LOSSES = ("identities", "contrast", "means")


class TrainedTogether(nn.Module):
    """The embedder and, during training, a prototype per training vehicle."""

    def __init__(self, identities: int) -> None:
        super().__init__()
        self.embedder = EmbedderNetwork()
        self.identities = IdentityLoss(DIMENSION, identities)


def train(
    crops: Sequence[Crop], validation: Sequence[Crop], work: Path, seed: int, epochs: int, first_stage: int
) -> EmbedderNetwork:
    """Trains for `epochs` of `_STEPS_PER_EPOCH` batches and returns the network; resumes from the checkpoint in `work`.

    After `first_stage` epochs, the learning rate rises and falls once more.
    """
    torch.manual_seed(seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    both = TrainedTogether(1 + max(crop.identity for crop in crops)).to(device, memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(parameter_groups(both, _WEIGHT_DECAY), lr=_PEAK_RATE)
    mean = AveragedWeights(both, decay=0.995, warm_up=50)
    first = checkpoint.load(work / "checkpoint.pt", both, optimiser, mean)
    steps, step = epochs * _STEPS_PER_EPOCH, first * _STEPS_PER_EPOCH
    progress = ProgressLines("embedder", steps, done=step)
    for epoch in range(first, epochs):
        both.train()
        totals = np.zeros(len(_LOSSES))
        random = np.random.default_rng((seed, epoch))
        for images, identities in prefetched(batches(crops, _STEPS_PER_EPOCH, random)):
            first_steps = first_stage * _STEPS_PER_EPOCH
            rate = two_stage_rate(step, first_steps, steps, peak=_PEAK_RATE, warm_up=_WARM_UP_STEPS)
            for group in optimiser.param_groups:
                group["lr"] = rate
            vectors = functional.normalize(both.embedder(images.to(device)))
            identities = identities.to(device)
            losses = [
                both.identities(vectors, identities),
                contrastive_loss(vectors, identities),
                means_loss(vectors, identities, SAME, DIFFERENT),
            ]
            optimiser.zero_grad(set_to_none=True)
            torch.stack(losses).sum().backward()
            torch.nn.utils.clip_grad_norm_(both.parameters(), _MAX_GRADIENT_NORM)
            optimiser.step()
            mean.update(both)
            step += 1
            totals += [loss.item() for loss in losses]
            progress.at(step, f"epoch {epoch + 1}/{epochs}")
        checkpoint.save(work / "checkpoint.pt", both, optimiser, mean, epoch + 1)
        means = ", ".join(f"{name} {mean:.3f}" for name, mean in zip(_LOSSES, totals / _STEPS_PER_EPOCH, strict=True))
        found = retrieval(vectors_of(mean.network.embedder, validation), Sightings.of(validation))
        typer.echo(f"epoch {epoch + 1}: {means}; validation {found}")
    network: EmbedderNetwork = mean.network.embedder.cpu()
    return network


def vectors_of(network: EmbedderNetwork, crops: Sequence[Crop]) -> Floats:
    """Unit vectors `(n, DIMENSION)` float32 of crops, with unchanged boxes."""
    device = next(network.parameters()).device
    found = []
    with torch.inference_mode():
        for start in range(0, len(crops), _VALIDATION_BATCH):
            images = [
                stretched(crop, crop.box_xyxy, WIDTH, HEIGHT) for crop in crops[start : start + _VALIDATION_BATCH]
            ]
            found.append(functional.normalize(network(as_input(np.stack(images)).to(device))).cpu().numpy())
    return np.concatenate(found)


def export(network: EmbedderNetwork, calibration: EmbeddingCalibration, path: Path) -> None:
    matrix, offset = torch.from_numpy(calibration.matrix), torch.from_numpy(calibration.offset)
    exported = ExportedEmbedder(network, matrix, offset, calibration.common)
    write_onnx(exported, path, HEIGHT, WIDTH, {"imgsz": str([HEIGHT, WIDTH]), "task": "reid"})


def main(
    output: Annotated[Path, typer.Option(help="The ONNX file to write.")] = EMBEDDER,
    work: Annotated[Path, typer.Option(help="Folder for pictures and checkpoints.")] = WORK,
    seed: Annotated[int, typer.Option(help="Seed of the weights and of the order of the vehicles.")] = 1,
    epochs: Annotated[int, typer.Option(min=1, help=f"Number of epochs of {_STEPS_PER_EPOCH} batches.")] = 46,
    first_stage: Annotated[int, typer.Option(min=0, help="Epochs before the learning rate rises once more.")] = 24,
    resume: Annotated[bool, typer.Option(help="Resume from the last checkpoint, if there is one.")] = True,
) -> None:
    """Train the demo's vehicle embedder on rendered pictures."""
    started_s = time.monotonic()
    cv2.setNumThreads(1)
    pictures = [*render(work / "pictures", "training"), *render(work / "pictures", "more training")]
    crops = crops_of(pictures, LEARNT)
    validation = crops_of(render(work / "pictures", "validation"), JUDGED)
    if not resume:
        (work / "embedder" / "checkpoint.pt").unlink(missing_ok=True)
    network = train(crops, validation, work / "embedder", seed, epochs, first_stage)
    sightings, vectors = Sightings.of(validation), vectors_of(network, validation)
    calibration = calibrate(vectors, sightings)
    export(network, calibration, output)
    found = retrieval(calibration.applied(vectors), sightings)
    minutes = (time.monotonic() - started_s) / 60
    typer.echo(f"{output}: {output.stat().st_size} bytes, validation {found}, {minutes:.1f} minutes")


if __name__ == "__main__":
    typer.run(main)
