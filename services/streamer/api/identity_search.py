"""`/identities/search`: the identities that look like a crop."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field
from werkzeug.exceptions import Conflict

from services.streamer.api.asking import REFUSALS, answer_of_aggregator, answer_of_worker
from services.streamer.api.identities import EXAMINED, Identity, IdentityFilters, identity_fields, wanted_by
from services.streamer.api.models import CameraName, Model, whole_number
from services.streamer.api.operations import Operations
from services.streamer.api.parts import ApiParts
from services.streamer.api.problem_details import InvalidParameter, InvalidRequest
from shared.jpeg_size import jpeg_size
from shared.names import read_names
from shared.questions import Refused
from shared.searches import COMPARE, CROP_BYTES_MOST, CROP_SIDE_MOST, EMBED, decode_matches

_TAG = "identities"
_EMBED_S, _COMPARE_S = 8.0, 6.0
"""How long the worker and the aggregator may take."""


class SearchQuery(IdentityFilters):
    """Parameters of `/identities/search`."""

    crop_camera: CameraName | None = Field(
        None, description="the camera that the crop is from: what all its pictures have in common is left out"
    )
    limit: Annotated[int, Field(ge=1, le=100), BeforeValidator(whole_number)] = Field(
        10, description="at most this many"
    )


class Match(Model):
    """An identity that looks like the crop."""

    identity: Identity
    score: float = Field(
        description="live mode: natural logarithm of how much likelier one object is than two, by appearance alone; "
        "above 0, it rather is this one. Reference mode: the similarity"
    )
    similarity: float = Field(description="cosine similarity of their embeddings, from -1 to 1")


class Matches(Model):
    """The identities that look most like the crop."""

    mode: Literal["live", "reference"] = Field(description="the mode of the association, which says what a score means")
    matches: list[Match] = Field(description="the nearest first")


def add(api: Operations, parts: ApiParts) -> None:
    """Adds the operation."""

    @api.question(
        "/identities/search",
        "The identities that look like a crop, the nearest first",
        Matches,
        tag=_TAG,
        query=SearchQuery,
        most_bytes=CROP_BYTES_MOST,
        description="The body is a JPEG of one object, cut out closely, such as `best.jpg` of a track: at most "
        f"{CROP_BYTES_MOST // 1024} KiB and {CROP_SIDE_MOST} pixels wide and high. A worker embeds it, and the "
        "aggregator compares it with all identities that it remembers. Nothing is changed, so a viewer may search.",
        refusals={409: "the picture cannot be decoded or embedded", **REFUSALS},
    )
    def _search(query: SearchQuery, body: bytes) -> Matches:
        _check(body)
        cameras = parts.site.current().cameras
        if query.crop_camera is not None and query.crop_camera not in [camera.name for camera in cameras]:
            message = f"this site has no camera '{query.crop_camera}'"
            raise InvalidRequest([InvalidParameter(parameter="crop_camera", message=message)])
        try:
            embedded = answer_of_worker(parts, EMBED, {"payload": body}, _EMBED_S)
            crop = {name: embedded.get(name, b"") for name in ("embedder", "payload")}
            compared = answer_of_aggregator(parts, COMPARE, {**crop, "camera": query.crop_camera or ""}, _COMPARE_S)
        except Refused as error:
            raise Conflict(str(error)) from None
        mode, found = decode_matches(compared)
        scores = {gid: (score, similarity) for gid, score, similarity in found}
        records, _ = parts.identities.page_of(iter(scores), wanted_by(query, cameras), query.limit, EXAMINED)
        names = read_names(parts.client, parts.keys, [record.gid for record in records])
        return Matches(
            mode="reference" if mode == "reference" else "live",
            matches=[
                Match(
                    identity=Identity(**identity_fields(record, cameras, names)),
                    score=round(scores[record.gid][0], 3),
                    similarity=round(scores[record.gid][1], 3),
                )
                for record in records
            ],
        )


def _check(jpeg: bytes) -> None:
    """Checks that the body can be a crop.

    Raises:
        InvalidRequest: it cannot.
    """
    size = jpeg_size(jpeg)
    if size is None:
        raise InvalidRequest([InvalidParameter(parameter="body", message="is not a JPEG")])
    if max(size) > CROP_SIDE_MOST:
        message = f"has {size[0]} by {size[1]} pixels; send at most {CROP_SIDE_MOST} each, best a crop of one object"
        raise InvalidRequest([InvalidParameter(parameter="body", message=message)])
