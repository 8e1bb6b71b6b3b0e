"""Reads calibration files in several forms, which are recognised by their content."""

from __future__ import annotations

import io
import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from shared.calibration import Calibration, CalibrationError, calibration_of_points, checked, looks_geographic
from shared.homography import Matrix, Points
from shared.opencv_storage import StorageError, parse_xml, parse_yaml
from shared.text_file import decode_text

_DISTORTIONS = (4, 5, 8, 12, 14)
"""Possible numbers of distortion coefficients, in OpenCV's order: k1 k2 p1 p2 [k3 [k4 k5 k6 [s1 s2 s3 s4 [τx τy]]]]."""
_LARGEST_PICTURE = 65536
"""Pixels, in either direction."""
_SKEWED = 0.01
"""A matrix whose product with its transpose differs more from the identity is no rotation."""
_NUMPY = b"\x93NUMPY"
"""How files of `numpy.save` begin."""
_COLUMNS = "pixel x, pixel y, metres x, metres y"
_SEPARATORS = ";", "\t", ","
"""Between the columns of point pairs; with the first two, numbers may have decimal commas."""
_OF_METRES, _OF_PIXELS = re.compile(r"met(re|er)|ground|world"), re.compile(r"pixel|px|image|img")
"""What headings of columns contain."""
_NAMES = {
    "homography": ("h",),
    "intrinsic": ("intrinsics", "cameramatrix", "k"),
    "distortion": ("dist", "distcoeffs", "distortioncoeffs", "distortioncoefficients", "d"),
    "extrinsic": ("extrinsics",),
    "rotation": ("r", "rotationmatrix"),
    "rvec": ("rotationvector",),
    "translation": ("tvec", "t", "translationvector"),
    "width": ("imagewidth",),
    "height": ("imageheight",),
}
"""Other names of fields, as OpenCV and its users call them: in lower case, only letters and digits."""
_USUAL = {other: name for name, others in _NAMES.items() for other in others}
_NUMBERS = "width", "height"
"""Fields of one number. Others of one number are something else, for example `t` a time."""
_LENSES = "pinhole", "plumbbob", "rationalpolynomial", "radtan", "radialtangential", "brownconrady", "opencv"
"""Values of `distortion_model` whose coefficients are those of OpenCV's `projectPoints`."""
_NO_LENS = "", "none"
_OTHER_LENSES = re.compile(r"fish|omni|equidist|kannala|eucm|^ds$")
"""In the values of `camera_model` whose coefficients are others. It can also be what the maker calls the camera."""
_FORMS = (
    "a 3×3 homography from pixels to metres (image_to_ground, or text), intrinsics with a pose (extrinsic, or rotation "
    f"and position), four or more point pairs, each as JSON, YAML or OpenCV's XML, lines of {_COLUMNS}, or a "
    "CALIBRATION file of run_live_mtmc.py"
)
_NO_POSE = (
    "has intrinsics, but no pose, which says where the camera is: add extrinsic, or rotation (R or rvec) with position "
    "or translation (T or tvec) in metres, for example from cv2.solvePnP with points on the ground; or write these as "
    "point pairs instead"
)
_YAML = re.compile(r"%YAML|---|- |[\"']?[A-Za-z_][\w ]*[\"']?:(\s|$)")
"""The first line of YAML."""
_LEGACY_PREFIX = "homography matrix:"
_LEGACY_LENS = {"intrinsic parameter matrix": "intrinsic", "distortion coefficients": "distortion"}
"""More lines of a CALIBRATION file, and the fields that they are."""


def read_calibration(path: Path) -> Calibration:
    """Read a calibration file in any of the supported forms, which are recognised by their content.

    Raises:
        CalibrationError: the file cannot be read or used; the message says what is wrong.
    """
    try:
        content = path.read_bytes()
        return _of_array(content) if content.startswith(_NUMPY) else parse_calibration(decode_text(content))
    except OSError as error:
        raise CalibrationError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise CalibrationError(f"{path} is not a text file; a calibration is JSON, YAML, XML, text or .npy") from None
    except CalibrationError as error:
        raise CalibrationError(f"{path} {error}") from None


def parse_calibration(text: str) -> Calibration:
    """The content of a calibration file; see `read_calibration`."""
    if not text.strip():
        raise CalibrationError("is empty")
    lines = [line.split("#", 1)[0].strip() for line in text.splitlines()]
    first = next((line for line in lines if line), "")
    try:
        if first.startswith(("{", "[")):
            found = _of_fields(_json(text))
        elif first.startswith("<"):
            found = _of_fields(parse_xml(text))
        elif _YAML.match(first) and not first.lower().startswith(_LEGACY_PREFIX):
            found = _of_fields(parse_yaml(text))
        else:
            found = _of_text(lines, first)
    except StorageError as error:
        raise CalibrationError(str(error)) from None
    except RecursionError:
        raise CalibrationError("is nested too deeply") from None
    return checked(found)


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CalibrationError(f"is not valid JSON: {error}") from None


def _of_fields(data: Any) -> Calibration:
    if isinstance(data, list) and data and isinstance(data[0], Mapping):
        data = {"points": data}
    if isinstance(data, list):
        return Calibration(_numbers(data, (3, 3), "the homography"))
    if not isinstance(data, Mapping):
        raise CalibrationError(f"is none of the known forms: {_FORMS}")
    data = _with_usual_names(data)
    width, height = _resolution(data.get("resolution", data))
    lens = _lens(data)
    for name, is_inverse in (("image_to_ground", False), ("homography", False), ("ground_to_image", True)):
        if name in data:
            matrix = _numbers(data[name], (3, 3), name)
            return Calibration(_inverted(matrix, name) if is_inverse else matrix, width, height, *lens)
    points = data.get("points")
    if points is not None:
        return calibration_of_points(*_pairs(points), width, height, *lens)
    if "intrinsic" in data:
        intrinsic = _intrinsic(data["intrinsic"])
        rotation, translation = _pose(data)
        if np.abs(rotation @ rotation.T - np.eye(3)).max() > _SKEWED:
            raise CalibrationError("has a rotation whose rows are not at right angles and 1 long; check its numbers")
        plane = intrinsic @ np.column_stack([rotation[:, 0], rotation[:, 1], translation])
        return Calibration(_inverted(plane, "the pose"), width, height, *lens)
    if (only := _only_matrix(data)) is not None:
        return Calibration(only, width, height, *lens)
    raise CalibrationError(f"is none of the known forms: {_FORMS}")


def _with_usual_names(data: Mapping[Any, Any]) -> dict[str, Any]:
    """The fields of a file, under the names that this module uses."""
    found = {str(field): value for field, value in data.items()}
    for field, value in list(found.items()):
        name = _USUAL.get(_plain(field))
        if name is not None and (name in _NUMBERS or not isinstance(value, int | float | str)):
            found.setdefault(name, value)
    return found


def _plain(text: str) -> str:
    return re.sub(r"[\W_]", "", text.lower())


def _lens(data: Mapping[str, Any]) -> tuple[Matrix | None, tuple[float, ...]]:
    """The camera matrix `(3, 3)` and the coefficients of a lens that distorts, in OpenCV's order."""
    distortion = _distortion(data)
    if not any(distortion):
        return None, ()
    if "intrinsic" not in data:
        raise CalibrationError(
            "has distortion, but no intrinsic: add the camera matrix; or remove distortion, if the homography or the "
            "point pairs fit the pictures as the camera sends them"
        )
    return _intrinsic(data["intrinsic"]), distortion


def _intrinsic(value: Any) -> Matrix:
    matrix = _numbers(value, (3, 3), "intrinsic")
    if matrix[0, 0] == 0 or matrix[1, 1] == 0 or np.abs(matrix[[1, 2, 2, 2], [0, 0, 1, 2]] - [0, 0, 0, 1]).max() > 1e-6:
        raise CalibrationError(
            "has an intrinsic that is not like [[fx, 0, cx], [0, fy, cy], [0, 0, 1]]; is it by columns?"
        )
    return matrix


def _distortion(data: Mapping[str, Any]) -> tuple[float, ...]:
    for name, value in data.items():
        field = _plain(name)
        if field in ("distortionmodel", "cameramodel") and isinstance(value, str):
            if _is_other_lens(field, _plain(value)):
                raise CalibrationError(f"has the {name} {value[:40]!r}; only that of cv2.projectPoints is understood")
        elif field in ("fisheye", "fisheyemodel") and value:
            raise CalibrationError(f"has {name}: fisheye lenses are not understood; calibrate without it")
        elif field.startswith("distort") and isinstance(value, Mapping | list) and "distortion" not in data:
            raise CalibrationError(f"has {name}, which is not understood; call the lens's coefficients distortion")
    distortion = tuple(_flat(data.get("distortion") or []))
    if distortion and len(distortion) not in _DISTORTIONS:
        raise CalibrationError(
            f"has {len(distortion)} distortion coefficients; {', '.join(map(str, _DISTORTIONS))} are understood"
        )
    return distortion


def _is_other_lens(field: str, value: str) -> bool:
    if field == "cameramodel":
        return _OTHER_LENSES.search(value) is not None
    return value not in (*_LENSES, *_NO_LENS)


def _only_matrix(data: Mapping[str, Any]) -> Matrix | None:
    """The 3×3 matrix of a file of OpenCV that has no other one: a homography, whatever it is called."""
    matrices = {name: value for name, value in data.items() if isinstance(value, Mapping) and "data" in value}
    if len(matrices) != 1:
        return None
    ((name, value),) = matrices.items()
    is_homography = (value.get("rows"), value.get("cols")) == (3, 3) and _plain(name) not in _USUAL
    return _numbers(value, (3, 3), name) if is_homography else None


def _pose(data: Mapping[str, Any]) -> tuple[Matrix, Matrix]:
    """Rotation `(3, 3)` and translation `(3,)` from the world to the camera, metres."""
    if "rvec" in data or "rotation" in data:
        if "rvec" in data:
            rotation = Rotation.from_rotvec(_numbers(data["rvec"], (3,), "rvec")).as_matrix()
        elif len(_flat(data["rotation"])) == 3:
            rotation = Rotation.from_rotvec(_numbers(data["rotation"], (3,), "rotation")).as_matrix()
        else:
            rotation = _numbers(data["rotation"], (3, 3), "rotation")
        if "position" in data:
            return rotation, -rotation @ _numbers(data["position"], (3,), "position")
        if "translation" in data:
            return rotation, _numbers(data["translation"], (3,), "translation")
    if "extrinsic" in data:
        extrinsic = data["extrinsic"]
        if isinstance(extrinsic, list) and extrinsic and isinstance(extrinsic[0], dict):
            extrinsic = extrinsic[0].get("tf", extrinsic[0])
        values = np.array(_flat(extrinsic), np.float64)
        if len(values) in (12, 16):
            matrix = values.reshape(-1, 4)
            return matrix[:3, :3], matrix[:3, 3]
        raise CalibrationError(f"has an extrinsic of {len(values)} numbers, not 3×4 or 4×4")
    raise CalibrationError(_NO_POSE)


def _of_text(lines: Sequence[str], first: str) -> Calibration:
    """A homography by rows, or a CALIBRATION file of `run_live_mtmc.py`: its homography maps the ground to pixels."""
    is_named = first.lower().startswith(_LEGACY_PREFIX)
    if not is_named and (rows := _table(lines)) is not None:
        return _of_rows(rows)
    if is_named or ";" in first:
        body = first[len(_LEGACY_PREFIX) :] if is_named else first
        matrix = _inverted(_numbers(_words(body), (3, 3), "the homography"), "the homography")
        named = {name.strip().lower(): value for name, _, value in (line.partition(":") for line in lines)}
        lens = _lens({field: _words(named[name]) for name, field in _LEGACY_LENS.items() if name in named})
        return Calibration(matrix, 0, 0, *lens, is_geographic=looks_geographic(matrix))
    return Calibration(_numbers(_words(" ".join(lines)), (3, 3), "the homography"))


def _table(lines: Sequence[str]) -> list[tuple[int, list[str]]] | None:
    """The number and the cells of each line of a table; None if no line has four cells, as point pairs have."""
    for separator in _SEPARATORS:
        rows = [(k, _cells(line, separator)) for k, line in enumerate(lines, 1)]
        rows = [(k, cells) for k, cells in rows if cells]
        is_homography = sum(len(cells) for _, cells in rows) == 9
        if len(rows) > 1 and not is_homography and any(len(cells) >= 4 and all(cells) for _, cells in rows):
            has_commas = separator != ","
            return [(k, [cell.replace(",", ".") if has_commas else cell for cell in cells]) for k, cells in rows]
    return None


def _cells(line: str, separator: str) -> list[str]:
    """The cells of a line, up to the last that is not empty."""
    cells = [cell.strip(" \t\"'") for cell in line.split(separator)]
    return cells[: max((k for k, cell in enumerate(cells, 1) if cell), default=0)]


def _of_rows(rows: Sequence[tuple[int, Sequence[str]]]) -> Calibration:
    """Point pairs, one in each row, maybe below headings."""
    _, headings = rows[0]
    if not any(map(_is_number, headings)):
        names = [heading.lower() for heading in headings]
        if any(map(_OF_METRES.search, names[:2])) or any(map(_OF_PIXELS.search, names[2:])):
            raise CalibrationError(f"has columns called {', '.join(headings)}; they must be {_COLUMNS}")
        rows = rows[1:]
    for line, cells in rows:
        if len(cells) != 4:
            raise CalibrationError(f"has {len(cells)} columns in line {line}; point pairs have four: {_COLUMNS}")
        wrong = next((cell for cell in cells if not _is_number(cell)), None)
        if wrong is not None:
            raise CalibrationError(f"has {wrong[:40]!r} in line {line}, where a number is expected")
    pairs = np.array([list(map(float, cells)) for _, cells in rows]).reshape(-1, 4)
    return calibration_of_points(pairs[:, :2], pairs[:, 2:], 0, 0)


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _of_array(content: bytes) -> Calibration:
    """A homography in a file of `numpy.save`."""
    try:
        array = np.load(io.BytesIO(content), allow_pickle=False)
    except Exception as error:  # noqa: BLE001 (numpy raises whatever its parsers of damaged headers do)
        raise CalibrationError(f"is not a valid .npy file: {error}") from None
    if array.shape != (3, 3) or array.dtype.kind not in "iuf":
        shape = "×".join(map(str, array.shape)) or "no shape"
        raise CalibrationError(f"has an array of {array.dtype} with {shape}; a homography has 3×3 numbers")
    return checked(Calibration(_numbers(array.tolist(), (3, 3), "the homography")))


def _pairs(points: Any) -> tuple[Points, Points]:
    try:
        pixels = np.array([_flat(one.get("pixel", one.get("image"))) for one in points], np.float64)
        metres = np.array([_flat(one.get("metres", one.get("ground"))) for one in points], np.float64)
    except (AttributeError, TypeError, ValueError):
        raise CalibrationError('has points that are not like {"pixel": [x, y], "metres": [x, y]}') from None
    if pixels.shape != (len(points), 2) or metres.shape != (len(points), 2):
        raise CalibrationError('has points that are not like {"pixel": [x, y], "metres": [x, y]}')
    return pixels, metres


def _inverted(matrix: Matrix, what: str) -> Matrix:
    try:
        inverse: Matrix = np.linalg.inv(matrix).astype(np.float64)
    except np.linalg.LinAlgError:
        raise CalibrationError(f"has {what} that cannot be inverted") from None
    return inverse


def _resolution(data: Any) -> tuple[int, int]:
    try:
        width, height = int(data.get("width", 0)), int(data.get("height", 0))
    except (AttributeError, TypeError, ValueError, OverflowError):
        width = height = -1
    if not (0 <= width <= _LARGEST_PICTURE and 0 <= height <= _LARGEST_PICTURE):
        raise CalibrationError('has a resolution that is not like {"width": 1920, "height": 1080}')
    return width, height


def _flat(value: Any) -> list[float]:
    """The numbers of nested lists, or of an object with the field `doubles` or, as OpenCV writes it, `data`."""
    if isinstance(value, Mapping):
        inner = next((value[name] for name in ("doubles", "data") if name in value), None)
        if inner is None:
            raise CalibrationError(f"has an object with {', '.join(map(str, value)) or 'nothing'} instead of numbers")
        return _flat(inner)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [number for part in value for number in _flat(part)]
    try:
        number = math.nan if isinstance(value, bool | str) else float(value)
    except (TypeError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise CalibrationError(f"has {str(value)[:40]!r} where a number is expected")
    return [number]


def _words(text: str) -> list[float]:
    words = [word for word in re.split(r"[\s,;]+", text) if word]
    try:
        return list(map(float, words))
    except ValueError:
        raise CalibrationError(f"is none of the known forms: {_FORMS}") from None


def _numbers(value: Any, shape: tuple[int, ...], what: str) -> Matrix:
    numbers = _flat(value)
    if len(numbers) != math.prod(shape):
        wanted = "×".join(map(str, shape))
        raise CalibrationError(f"has {len(numbers)} numbers for {what}, not {wanted}")
    return np.array(numbers, np.float64).reshape(shape)
