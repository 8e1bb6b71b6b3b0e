"""`python -m demo.training.evaluation`: scores of the models in `models/` on scenes not used for training."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated

import cv2
import typer

from demo.training.detector_scores import detector_scores
from demo.training.embedder_scores import embedder_scores
from demo.training.pictures import render
from demo.training.places import DETECTOR, EMBEDDER, WORK
from demo.training.seeds import SCENES
from demo.training.speed import milliseconds
from vision.inference.detection import Detector
from vision.inference.embedding import Embedder

_THREADS = 2


def main(
    detector: Annotated[Path, typer.Option(help="The detector, ONNX.")] = DETECTOR,
    embedder: Annotated[Path, typer.Option(help="The embedder, ONNX.")] = EMBEDDER,
    work: Annotated[Path, typer.Option(help="Folder for pictures.")] = WORK,
) -> None:
    """Score the demo's models on the test scenes, and time them."""
    cv2.setNumThreads(1)
    pictures = render(work / "pictures", "test")
    seeds = SCENES["test"]
    typer.echo(f"{len(pictures)} pictures of the scenes {seeds[0]} to {seeds[-1]}")
    found = detector_scores(Detector.load(detector, device="cpu", threads=_THREADS), pictures)
    classes = ", ".join(f"{name} {precision:.3f}" for name, precision in found.by_class.items())
    typer.echo(f"detector: mAP50 {found.map50:.4f} over {found.objects} vehicles ({classes})")
    typer.echo(f"embedder: {embedder_scores(Embedder.load(embedder, device='cpu', threads=_THREADS), pictures)}")
    for path, what, count in ((detector, "picture", 1), (embedder, "crop", 1), (embedder, "crop of eight", 8)):
        fastest, median = milliseconds(path, threads=_THREADS, pictures=count)
        typer.echo(f"{path.name}: {fastest:.2f} ms a {what} at best, median {median:.2f} ms, on {_THREADS} threads")
    for path in (detector, embedder):
        typer.echo(f"{path.name}: {path.stat().st_size} bytes, sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}")


if __name__ == "__main__":
    typer.run(main)
