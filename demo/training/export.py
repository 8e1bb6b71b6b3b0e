"""Export of networks to ONNX files."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping
from pathlib import Path

import onnx
import torch
from torch import nn


def write_onnx(network: nn.Module, path: Path, height: int, width: int, metadata: Mapping[str, str]) -> None:
    """Writes `network` to `path`, with a dynamic batch `(batch, 3, height, width)`; replaces an existing file.

    In evaluation mode, the exporter folds batch normalisation into the preceding convolutions.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    pictures = torch.zeros(1, 3, height, width)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns that there is a newer one, which needs more packages
        torch.onnx.export(
            copy.deepcopy(network).cpu().eval().to(memory_format=torch.contiguous_format),
            (pictures,),
            str(part),
            input_names=["images"],
            output_names=["output"],
            dynamic_axes={"images": {0: "batch"}, "output": {0: "batch"}},
            opset_version=17,
            dynamo=False,
        )
    model = onnx.load(part)
    onnx.helper.set_model_props(model, dict(metadata))
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, part)
    part.replace(path)
