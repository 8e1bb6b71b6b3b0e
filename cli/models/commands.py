"""The commands of `mtmc models`."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer
from rich.console import Console

from cli import completion
from cli.console import table_console
from cli.options import JsonOption
from shared.head_names import HeadName

if TYPE_CHECKING:
    from model_store.store import ModelStore

app = typer.Typer(no_args_is_help=True)


class BackendName(StrEnum):
    """Values of `--backend`."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"
    TENSORRT = "tensorrt"


@app.command("list")
def list_(as_json: JsonOption = False) -> None:
    """List the models that mtmc can download, and which are on this machine.

    Shipped models come with mtmc. `pull` downloads the others to the
    folder $MTMC_MODELS, or ~/.cache/mtmc/models if that is not set.

    The fields of --json are stable: folder, models. Each of models has:
      name, kind, what, licence, url, size_bytes, checksum, shipped, file
      checksum_by: publisher or others
      state: here, damaged, partial or missing, judged by size only
      site: the settings for a site file

    Example:  mtmc models list
    """
    from cli.models.listing import list_models

    list_models(_store(), table_console(), as_json=as_json)


@app.command()
def pull(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="NAME",
            help="Models; see `mtmc models list`.",
            show_default=False,
            autocompletion=completion.model_names,
        ),
    ],
    to: Annotated[
        Path | None,
        typer.Option(
            "--to",
            metavar="DIR",
            file_okay=False,
            help="Folder for the files, for example that of the site file.",
            show_default="$MTMC_MODELS, or ~/.cache/mtmc/models",
        ),
    ] = None,
) -> None:
    """Download models, and print the settings for the site file.

    An interrupted download is resumed. Size and checksum are verified
    before a file gets its final name. Set HTTPS_PROXY to use a proxy.

    Examples:
      mtmc models pull yolox_s vehicle-reid-0001
      mtmc models pull yolox_s person_reid_youtu --to my-site
      mtmc models pull yolox_nano --to my-site
    """
    from cli.models.pull import pull_models
    from shared.logs import logs_of_command

    with logs_of_command("models"):
        out, err = Console(highlight=False), Console(stderr=True, highlight=False)
        pull_models(words, _store(to), out, err, beside_site=to is not None)


@app.command()
def verify(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME|PATH]",
            help="Models, or files with the name of a model's file. Default: all models on this machine.",
            show_default=False,
            autocompletion=completion.model_names_or_files,
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Verify size and checksum of model files.

    The fields of --json are stable: files (name, file, fault: null if the
    file is intact).

    Exit code 1: a file is damaged or missing.

    Examples:
      mtmc models verify
      mtmc models verify yolox_s /srv/models/yolox_nano.onnx
    """
    from cli.models.verify import verify_models

    raise typer.Exit(verify_models(words or (), _store(), table_console(), as_json=as_json))


@app.command()
def benchmark(
    words: Annotated[
        str,
        typer.Argument(
            metavar="NAME|PATH",
            help="A model on this machine, or the file of any detector or embedder.",
            show_default=False,
            autocompletion=completion.model_names_or_files,
        ),
    ],
    batch: Annotated[
        list[int] | None,
        typer.Option(
            "--batch",
            min=1,
            max=1024,
            help="Batch size: pictures or crops per call. Repeat it for several.",
            show_default="1, 8",
        ),
    ] = None,
    threads: Annotated[int, typer.Option(min=0, max=256, help="CPU threads (0: one per core).")] = 0,
    seconds: Annotated[float, typer.Option(min=0, max=600, help="Minimum time to measure each batch size.")] = 3.0,
    backend: Annotated[
        BackendName, typer.Option(help="Inference backend (auto: the fastest that works here).")
    ] = BackendName.AUTO,
    size: Annotated[
        str | None,
        typer.Option(metavar="WIDTHxHEIGHT", help="Crop size in pixels, for an embedder whose file does not fix it."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Describe a model and measure its speed on this machine.

    The model is loaded and called as in a camera worker, so the times
    include pre- and post-processing.

    The fields of --json are stable: model, kind, device, runtime, checksum,
    gpu_problem (why it is not on the GPU that is present, or null),
    head and classes, or dimension, input_width, input_height, fixed_batch
    (null: any), threads and timings (batch, calls, min_ms, median_ms,
    p90_ms, all of them for one picture or crop).

    Examples:
      mtmc models benchmark yolox_nano --threads 2
      mtmc models benchmark reid.onnx --batch 1 --batch 16 --seconds 5
    """
    from cli.models.benchmark import show_benchmark
    from model_store.benchmark import describe, load_network, measure_network
    from shared.cache_folders import engine_cache
    from shared.logs import logs_of_command

    crop_size = _pixels(size)
    with logs_of_command("models"):
        network = load_network(
            words,
            _store(),
            threads=threads,
            backend=backend.value,
            crop_size=crop_size,
            engine_cache=engine_cache(os.environ),
        )
        timings = [measure_network(network, each, seconds) for each in batch or (1, 8)]
        show_benchmark(words, describe(network), timings, table_console(), threads=threads, as_json=as_json)


@app.command("try")
def try_(
    word: Annotated[
        str,
        typer.Argument(
            metavar="NAME|PATH",
            help="A detector on this machine.",
            show_default=False,
            autocompletion=completion.model_names_or_files,
        ),
    ],
    picture: Annotated[Path, typer.Argument(metavar="PICTURE", help="A JPEG or PNG.", show_default=False)],
    out: Annotated[
        Path,
        typer.Option("--out", "--output", "-o", metavar="OUT.jpg", help="Picture to write.", show_default=False),
    ],
    head: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help=f"Format of the outputs, as in detector.head: {', '.join(get_args(HeadName))}.",
            show_default="recognised from the file",
            autocompletion=completion.head_names,
        ),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(metavar="WIDTHxHEIGHT", help="Input size in pixels, for a model whose file leaves it open."),
    ] = None,
    min_score: Annotated[float, typer.Option(min=0, max=1, help="Minimum score of the boxes.")] = 0.25,
    backend: Annotated[
        BackendName, typer.Option(help="Inference backend (auto: the fastest that works here).")
    ] = BackendName.AUTO,
    as_json: JsonOption = False,
) -> None:
    """Draw what a detector finds in a picture.

    Says which head was recognised and why, and writes the picture with the
    boxes, their classes and scores. docs/models.md describes the heads.

    The fields of --json are stable: model, head, why, input_width,
    input_height, boxes (xyxy in pixels of the picture, score, class, name),
    doubt (what is absurd about the boxes, or null).

    Examples:
      mtmc models try yolox_s street.jpg -o found.jpg
      mtmc models try own.onnx street.jpg -o found.jpg --head yolov5
    """
    from cli.models.trial import try_detector
    from shared.cache_folders import engine_cache
    from shared.logs import logs_of_command

    known = get_args(HeadName)
    if head is not None and head not in known:
        raise typer.BadParameter(f"--head {head}: there is no such head; give one of {', '.join(known)}")
    pixels = _pixels(size, smallest=32, largest=4096)
    with logs_of_command("models"):
        try_detector(
            word,
            picture,
            out,
            _store(),
            table_console(),
            head=head,
            size=None if pixels is None else pixels[::-1],
            min_score=min_score,
            backend=backend.value,
            engine_cache=engine_cache(os.environ),
            as_json=as_json,
        )


def _store(folder: Path | None = None) -> ModelStore:
    from model_store.store import ModelStore, cache_folder

    return ModelStore(folder or cache_folder(os.environ))


def _pixels(size: str | None, *, smallest: int = 8, largest: int = 2048) -> tuple[int, int] | None:
    if size is None:
        return None
    sides = size.lower().replace("×", "x").split("x")
    if len(sides) == 1:
        sides *= 2
    if len(sides) != 2 or not all(side.isdecimal() and smallest <= int(side) <= largest for side in sides):
        raise typer.BadParameter(
            f"--size {size}: give width and height, {smallest} to {largest} pixels each, for example 128x256, or "
            "one number for a square"
        )
    return int(sides[0]), int(sides[1])
