"""Recognises the head of a detector by everything that its file and two trial calls say."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from shared.errors import ModelError
from vision.inference.detector_heads.facts import Facts
from vision.inference.detector_heads.head import Head
from vision.inference.detector_heads.table import HEADS

_SUPPORTED = "Ultralytics, YOLOv7, YOLOX, RT-DETR, D-FINE, RF-DETR, YOLO-NAS, EfficientNMS and SSD heads"


@dataclass(frozen=True, eq=False)
class Recognised:
    """A head, and why it is this one."""

    head: Head
    why: str
    objection: str | None = None
    """What in the numbers of the outputs contradicts a head that a person has chosen; None if nothing does."""


def recognise(facts: Facts, wanted: str | None = None) -> Recognised:
    """Recognise the head of a detector.

    Every head whose shapes fit is a candidate; numbers that contradict it rule it out; names and metadata that name
    one head decide. If more than one remains, the model is refused.

    Args:
        facts: what is known of the model.
        wanted: name of the head (`detector.head`), if a person has chosen it.

    Raises:
        ModelError: no head fits, or more than one, or not the `wanted` one.
    """
    if any(np.isnan(output).any() for call in facts.calls for output in call if output.dtype.kind == "f"):
        raise ModelError(f"{facts.model}: gives NaN for a picture; export it again, with full precision")
    if wanted is not None:
        return _chosen(facts, wanted)
    fitting = [head for kind in HEADS if (head := kind.of(facts, chosen=False)) is not None]
    objections = {head.name: objection for head in fitting if (objection := head.objection(facts)) is not None}
    possible = [head for head in fitting if head.name not in objections]
    proven = [head for head in possible if head.proof(facts) is not None]
    likely = proven or possible
    if facts.names is not None and not proven:
        # A head that fits names and shapes exactly comes before one that leaves something open.
        likely = [head for head in likely if not head.needs_proof(facts)] or likely
    if len(likely) > 1 and facts.names is None:
        # 80 unnamed classes are COCO's: no other reading has a reason for this number.
        likely = [head for head in likely if head.common_with_coco and len(head.class_names) == 80] or likely
    if not likely:
        raise _unknown(facts, objections)
    if len(likely) > 1 or (not proven and likely[0].needs_proof(facts)):
        raise _ambiguous(facts, likely)
    return Recognised(likely[0], _reason(facts, likely[0], objections))


def _chosen(facts: Facts, wanted: str) -> Recognised:
    kind = next((kind for kind in HEADS if kind.name == wanted), None)
    if kind is None:
        raise ModelError(f"unknown head {wanted!r}; choose one of {', '.join(head.name for head in HEADS)}")
    head = kind.of(facts, chosen=True)
    if head is None:
        raise ModelError(
            f"{facts.model}: detector.head {wanted} needs the output {kind.form}, but the model has "
            f"{facts.described()}; choose another head, or leave out detector.head"
        )
    objection = head.objection(facts)
    but = "" if objection is None else f"; but as {wanted}, {objection}"
    return Recognised(head, f"detector.head is {wanted}; output {facts.described_outputs()}{but}", objection)


def _reason(facts: Facts, head: Head, objections: dict[str, str]) -> str:
    parts = [f"output {facts.described_outputs()} is {head.form}", head.proof(facts)]
    parts += [f"as {name}, {objection}" for name, objection in objections.items()]
    return "; ".join(part for part in parts if part)


def _unknown(facts: Facts, objections: dict[str, str]) -> ModelError:
    why = "".join(f"; as {name}, {objection}" for name, objection in objections.items())
    forms = [kind.name for kind in HEADS if kind.of(facts, chosen=True) is not None]
    choice = f", or set detector.head to {_listed(forms)} if you know that it is that" if forms else ""
    return ModelError(
        f"{facts.model}: unknown kind of detector: {facts.described()}{why}; supported are {_SUPPORTED}, see the table "
        f"in docs/models.md: export it as one of them{choice}"
    )


def _listed(names: list[str]) -> str:
    return " or ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _ambiguous(facts: Facts, heads: list[Head]) -> ModelError:
    names = [head.name for head in heads]
    readings = _listed(names)
    doubt = "and nothing in the file says which" if len(names) > 1 else "but nothing in the file says so"
    choice = "to the right one of these" if len(names) > 1 else f"to {names[0]} if it is that"
    return ModelError(
        f"{facts.model}: {facts.described()} may be {readings}, {doubt}; set detector.head {choice}, or export the "
        "model with its metadata"
    )
