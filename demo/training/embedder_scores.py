"""Scores of an embedder on the vehicles of rendered pictures, with true boxes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from demo.training.crops import JUDGED
from demo.training.pictures import Picture
from demo.training.retrieval import Retrieval, Sightings, retrieval
from vision.inference.embedding import Embedder

_BATCH = 8


def embedder_scores(embedder: Embedder, pictures: Sequence[Picture]) -> Retrieval:
    """Scores all vehicles that are as visible and tall as `JUDGED` requires; all scenes share one gallery."""
    vectors, identities, cameras = [], [], []
    scenes = {seed: number for number, seed in enumerate(sorted({picture.seed for picture in pictures}))}
    names = sorted({picture.camera for picture in pictures})
    for start in range(0, len(pictures), _BATCH):
        crops = []
        for picture in pictures[start : start + _BATCH]:
            truth = picture.truth
            tall = truth.boxes_xyxy[:, 3] - truth.boxes_xyxy[:, 1] >= JUDGED.min_height_px
            judged = tall & (truth.visibility >= JUDGED.min_visibility)
            crops.append((picture.read(), truth.boxes_xyxy[judged]))
            # Ids are unique only within a scene.
            identities.append(truth.ids[judged] + (scenes[picture.seed] << 32))
            cameras.append(np.full(np.count_nonzero(judged), names.index(picture.camera), np.int64))
        vectors.append(embedder.embed(crops))
    return retrieval(np.concatenate(vectors), Sightings(np.concatenate(identities), np.concatenate(cameras)))
