"""Calibration files in every form give one mapping; what is wrong with them is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from demo.calibration import calibration_of, wrong_calibration_of
from demo.scenario import Scenario
from shared.calibration import Calibration, CalibrationError, calibration_of_points, point_errors, with_common_origin
from shared.calibration_files import parse_calibration, read_calibration

CAMERA = Scenario.generate(1, 2.0).cameras[0]
EXACT = calibration_of(CAMERA)
PIXELS = np.stack(np.meshgrid(np.linspace(20, 620, 7), np.linspace(150, 350, 5)), axis=-1).reshape(-1, 2)
LENS = (-0.23, 0.28, -0.002, 0.004, -0.21)


def table(separator: str, heading: str = "", comma: str = ".") -> str:
    """Point pairs as a spreadsheet saves them."""
    pairs = np.column_stack([PIXELS, ground(PIXELS)]).tolist()
    lines = [separator.join(repr(value).replace(".", comma) for value in pair) for pair in pairs]
    return "\n".join([heading, *lines] if heading else lines) + "\n\n"


def by_opencv(suffix: str, **fields: Any) -> str:
    """What `cv2.FileStorage` writes into a file that ends so."""
    storage = cv2.FileStorage(suffix, cv2.FILE_STORAGE_WRITE | cv2.FILE_STORAGE_MEMORY)
    for name, value in fields.items():
        storage.write(name, value)
    return str(storage.releaseAndGetString())


def ground(pixels: np.ndarray) -> np.ndarray:
    """Pixels of the camera to metres, without the code under test."""
    uniform = np.column_stack([pixels, np.ones(len(pixels))]) @ CAMERA.image_to_ground.T
    return uniform[:, :2] / uniform[:, 2:]


def points(pixels: np.ndarray, metres: np.ndarray) -> str:
    pairs = zip(pixels.tolist(), metres.tolist(), strict=True)
    return json.dumps({"points": [{"pixel": pixel, "metres": place} for pixel, place in pairs]})


def rows(matrix: np.ndarray, between: str) -> str:
    return between.join(" ".join(f"{value:.17g}" for value in row) for row in matrix)


POSE = np.column_stack([CAMERA.rotation, -CAMERA.rotation @ np.array(CAMERA.position)])
FORMS: dict[str, str] = {
    "the demo's": json.dumps(EXACT),
    "ground to image": json.dumps({"ground_to_image": EXACT["ground_to_image"]}),
    "a homography": json.dumps({"homography": (-3.0 * CAMERA.image_to_ground).tolist()}),
    "a bare matrix": json.dumps(CAMERA.image_to_ground.tolist()),
    "text": "# pixels to metres\n" + rows(CAMERA.image_to_ground, "\n"),
    "rotation and position": json.dumps({name: EXACT[name] for name in ("intrinsic", "rotation", "position")}),
    "rotation and translation": json.dumps(
        {"intrinsic": EXACT["intrinsic"], "rotation": EXACT["rotation"], "translation": POSE[:, 3].tolist()}
    ),
    "an extrinsic of 3×4": json.dumps({"intrinsic": EXACT["intrinsic"], "extrinsic": POSE.tolist()}),
    "arrays as objects": json.dumps(
        {
            "intrinsic": {"doubles": np.ravel(EXACT["intrinsic"]).tolist()},
            "distortion": {"doubles": []},
            "extrinsic": [{"tf": {"doubles": [*np.ravel(POSE).tolist(), 0, 0, 0, 1]}}],
        }
    ),
    "four points": points(PIXELS[[0, 6, 28, 34]], ground(PIXELS[[0, 6, 28, 34]])),
    "many points": points(PIXELS, ground(PIXELS)),
    "a list of points": json.dumps(json.loads(points(PIXELS, ground(PIXELS)))["points"]),
    "OpenCV's names": json.dumps(
        {
            "camera_matrix": {
                "type_id": "opencv-matrix",
                "rows": 3,
                "cols": 3,
                "data": np.ravel(EXACT["intrinsic"]).tolist(),
            },
            "dist_coeffs": [],
            "rvec": np.ravel(cv2.Rodrigues(np.array(EXACT["rotation"]))[0]).tolist(),
            "tvec": [[value] for value in POSE[:, 3].tolist()],
        }
    ),
    "H": json.dumps({"H": CAMERA.image_to_ground.tolist(), "t": 0.5}),
    "point pairs with their size": json.dumps(
        json.loads(points(PIXELS, ground(PIXELS))) | {"width": 640, "height": 360, "h": 360}
    ),
    "text with commas": rows(CAMERA.image_to_ground, "\n").replace(" ", ","),
    "a table": table(","),
    "a table with spaces": table(" , "),
    "a table with headings": table(",", '"pixel x","pixel y","metres x","metres y"'),
    "a table with semicolons": table(";", "# of the gate\nu;v;X;Y"),
    "a table with decimal commas": table(";", comma=","),
    "a table with tabs": table("\t", "px\tpy\tground x\tground y"),
    "a table with empty cells": table(",", "u,v,X,Y").replace("\n\n", "\n,,,\n").replace("\n", ",,\n"),
    "text in two lines": "{},{},{},{},{}\n{},{},{},{}".format(*CAMERA.image_to_ground.ravel().tolist()),
    "notes about the camera": json.dumps(
        {name: EXACT[name] for name in ("image_to_ground", "resolution")}
        | {"camera_model": "DS-2CD2043", "distortion_model": "none", "distortion_removed": True}
    ),
    "YAML": "points:\n"
    + "".join(
        f"- {{pixel: {pixel}, metres: {place}}}\n"
        for pixel, place in zip(PIXELS.tolist(), ground(PIXELS).tolist(), strict=True)
    ),
    "run_live_mtmc.py": "Homography matrix: " + rows(np.linalg.inv(CAMERA.image_to_ground), ";"),
}


ROTATION, TRANSLATION = np.array(EXACT["rotation"]), POSE[:, 3:]
OF_OPENCV: dict[str, dict[str, Any]] = {
    "a rotation matrix": {
        "camera_matrix": np.array(EXACT["intrinsic"]),
        "distortion_coefficients": np.zeros((1, 5)),
        "R": ROTATION,
        "T": TRANSLATION,
    },
    "a rotation vector": {
        "cameraMatrix": np.array(EXACT["intrinsic"]),
        "dist_coeffs": np.zeros((0, 0)),
        "rvec": cv2.Rodrigues(ROTATION)[0],
        "tvec": TRANSLATION,
    },
    "short names": {
        "K": np.array(EXACT["intrinsic"]),
        "D": np.zeros((5, 1)),
        "R": cv2.Rodrigues(ROTATION)[0],
        "t": TRANSLATION,
    },
    "a homography": {"calibration_date": "12 May 2024", "perspective": np.array(EXACT["image_to_ground"])},
}
FORMS |= {
    f"{name} in OpenCV's {suffix}": by_opencv(suffix, image_width=640, image_height=360, **fields)
    for name, fields in OF_OPENCV.items()
    for suffix in (".yml", ".xml", ".json")
}
FORMS["YAML of OpenCV 4"] = FORMS["a rotation matrix in OpenCV's .yml"].replace("%YAML 1.2", "%YAML:1.0")


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_recognised_by_its_content(form: str, tmp_path: Path) -> None:
    path = tmp_path / "calibration"
    path.write_text("\ufeff" + FORMS[form], encoding="utf-8")
    calibration = read_calibration(path)
    np.testing.assert_allclose(calibration.to_ground(PIXELS), ground(PIXELS), atol=1e-5)
    np.testing.assert_allclose(calibration.to_picture(ground(PIXELS)), PIXELS, atol=1e-4)
    again = Calibration.from_dict(json.loads(json.dumps(calibration.to_dict())))
    assert (again.to_ground(PIXELS) == calibration.to_ground(PIXELS)).all()
    assert again.fingerprint == calibration.fingerprint
    if "OpenCV's ." in form:
        assert (calibration.width, calibration.height) == (640, 360)


@pytest.mark.parametrize("suffix", [".yml", ".xml", ".json"])
def test_the_lens_in_a_file_of_opencv_counts(suffix: str) -> None:
    lens = np.array([LENS])
    text = by_opencv(suffix, **OF_OPENCV["a rotation matrix"] | {"distortion_coefficients": lens})
    places = np.column_stack([ground(PIXELS), np.zeros(len(PIXELS))])
    seen, _ = cv2.projectPoints(places, ROTATION, TRANSLATION, np.array(EXACT["intrinsic"]), lens)
    np.testing.assert_allclose(parse_calibration(text).to_picture(places[:, :2]), seen.reshape(-1, 2), atol=1e-6)


DISTORTING = {"intrinsic": EXACT["intrinsic"], "distortion": LENS}


def seen_through_the_lens() -> np.ndarray:
    """The pixels at which the camera, with a lens that distorts, shows the ground of `PIXELS`."""
    places = np.column_stack([ground(PIXELS), np.zeros(len(PIXELS))])
    seen, _ = cv2.projectPoints(places, ROTATION, TRANSLATION, np.array(EXACT["intrinsic"]), np.array(LENS))
    return np.array(seen).reshape(-1, 2)


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(EXACT | DISTORTING),
        json.dumps({"ground_to_image": EXACT["ground_to_image"]} | DISTORTING),
        json.dumps(json.loads(points(seen_through_the_lens(), ground(PIXELS))) | DISTORTING),
        FORMS["run_live_mtmc.py"]
        + f"\nIntrinsic parameter matrix: {rows(np.array(EXACT['intrinsic']), ';')}"
        + f"\nDistortion coefficients: {' '.join(map(str, LENS))}\nReprojection error: 3.2\n",
    ],
    ids=["image_to_ground", "ground_to_image", "points", "run_live_mtmc.py"],
)
def test_the_lens_counts_beside_a_homography_of_straight_pictures_and_beside_points(text: str) -> None:
    calibration = parse_calibration(text)
    np.testing.assert_allclose(calibration.to_ground(seen_through_the_lens()), ground(PIXELS), atol=1e-3)
    np.testing.assert_allclose(calibration.to_picture(ground(PIXELS)), seen_through_the_lens(), atol=1e-3)


@pytest.mark.parametrize("form", ["a homography", "many points", "the demo's"])
def test_a_lens_that_does_not_distort_changes_nothing(form: str) -> None:
    with_lens = parse_calibration(json.dumps(json.loads(FORMS[form]) | {"distortion": [0, 0, 0, 0, 0]}))
    assert with_lens.fingerprint == parse_calibration(FORMS[form]).fingerprint


def test_a_pair_of_points_that_is_wrong_is_named_as_it_is_in_the_file() -> None:
    pixels, metres = seen_through_the_lens(), ground(PIXELS)
    metres[30] += (12, 0)
    x, y = pixels[30]
    with pytest.raises(CalibrationError, match=rf"most at pixel \({x:g}, {y:g}\)"):
        parse_calibration(json.dumps(json.loads(points(pixels, metres)) | DISTORTING))


ROS = """
image_width: 640
image_height: 360
camera_name: gate
camera_matrix:
  rows: 3
  cols: 3
  data: [500, 0, 320, 0, 500, 180, 0, 0, 1]
distortion_model: plumb_bob
distortion_coefficients:
  rows: 1
  cols: 5
  data: [-0.2, 1e-3, 0, 0, 0]
rectification_matrix:
  rows: 3
  cols: 3
  data: [1, 0, 0, 0, 1, 0, 0, 0, 1]
"""


def test_the_camera_info_of_ros_is_complete_with_a_pose() -> None:
    with pytest.raises(
        CalibrationError, match=r"no pose, .*\(R or rvec\).*\(T or tvec\).* cv2.solvePnP .* point pairs"
    ):
        parse_calibration(ROS)
    with_pose = parse_calibration(ROS + f"rotation: {EXACT['rotation']}\ntranslation: {POSE[:, 3].tolist()}\n")
    assert (with_pose.width, with_pose.height, with_pose.distortion[:2]) == (640, 360, (-0.2, 1e-3))
    with pytest.raises(CalibrationError, match="has the distortion_model 'equidistant'"):
        parse_calibration(ROS.replace("plumb_bob", "equidistant"))


RATIONAL = (*LENS, 0.01, -0.02, 0.03)
THIN_PRISM = (*RATIONAL, 0.004, -0.003, -0.005, 0.002)


@pytest.mark.parametrize("lens", [LENS[:4], LENS, RATIONAL, THIN_PRISM, (*THIN_PRISM, 0.05, -0.03)])
def test_the_distortion_of_a_lens_is_removed_as_opencv_does(lens: tuple[float, ...]) -> None:
    calibration = parse_calibration(json.dumps({**json.loads(FORMS["rotation and position"]), "distortion": lens}))
    matrix = np.array(EXACT["intrinsic"])
    criteria = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 100, 1e-12)
    straight = cv2.undistortPoints(PIXELS.reshape(-1, 1, 2), matrix, np.array(lens), None, None, matrix, criteria)
    np.testing.assert_allclose(calibration.straightened(PIXELS), straight.reshape(-1, 2), atol=1e-3)
    np.testing.assert_allclose(calibration.distorted(calibration.straightened(PIXELS)), PIXELS, atol=1e-6)
    places = np.column_stack([ground(PIXELS), np.zeros(len(PIXELS))])
    seen, _ = cv2.projectPoints(places, ROTATION, TRANSLATION, matrix, np.array(lens))
    np.testing.assert_allclose(calibration.to_picture(places[:, :2]), seen.reshape(-1, 2), atol=1e-6)
    np.testing.assert_allclose(calibration.to_ground(seen.reshape(-1, 2)), places[:, :2], atol=1e-6)
    np.testing.assert_allclose(calibration.to_picture(calibration.to_ground(PIXELS)), PIXELS, atol=1e-6)


@pytest.mark.parametrize("lens", [(-0.45, 0.2, 0.0, 0.0), (-0.32, 0.1, 0.0, 0.0), (0.5, 0.1, 0.0, 0.0)])
def test_the_distortion_is_removed_up_to_the_corners_of_a_wide_picture(lens: tuple[float, ...]) -> None:
    matrix = np.array([[900.0, 0, 960], [0, 900, 540], [0, 0, 1]])
    corners = np.array([[0.0, 0], [1919, 0], [1919, 1079], [0, 1079]])
    straight = Calibration(np.eye(3), 1920, 1080, matrix, lens).straightened(corners)
    rays = np.column_stack([(straight - [960, 540]) / 900, np.ones(4)])
    seen, _ = cv2.projectPoints(rays, np.zeros(3), np.zeros(3), matrix, np.array(lens))
    np.testing.assert_allclose(seen.reshape(-1, 2), corners, atol=1e-3)


def test_there_is_no_ground_where_the_lens_shows_nothing() -> None:
    matrix = np.array([[900.0, 0, 960], [0, 900, 540], [0, 0, 1]])
    calibration = Calibration(np.eye(3), 1920, 1080, matrix, (-0.6, 0.0, 0.0, 0.0))
    pixels = np.array([[0.0, 0.0], [960.0, 900.0]])
    assert np.isnan(calibration.to_ground(pixels)).tolist() == [[True, True], [False, False]]
    assert calibration.straightened(pixels)[0].tolist() == [0, 0]  # tracks need some place
    fields = {"intrinsic": matrix.tolist(), "distortion": [-0.6, 0, 0, 0]}
    with pytest.raises(CalibrationError, match=r"has the pixel \(0, 0\), which its lens cannot show"):
        parse_calibration(
            json.dumps(
                fields
                | {
                    "points": [
                        {"pixel": pixel, "metres": metres}
                        for pixel, metres in (
                            ([0, 0], [0, 0]),
                            ([1900, 0], [9, 0]),
                            ([1900, 1000], [9, 9]),
                            ([0, 1000], [0, 9]),
                        )
                    ]
                }
            )
        )


def test_above_the_horizon_there_is_no_ground() -> None:
    above = np.array([[320.0, -5000.0], [320.0, 300.0]])
    assert np.isnan(parse_calibration(FORMS["the demo's"]).to_ground(above)).all(axis=1).tolist() == [True, False]


def test_latitude_and_longitude_of_run_live_mtmc_become_metres() -> None:
    metre = 1 / 111_194.9  # of latitude, in degrees
    degrees = np.array([[0, metre, 47.5], [metre / np.cos(np.radians(47.5)), 0, 19.0], [0, 0, 1.0]])
    text = "Homography matrix: " + rows(np.linalg.inv(degrees @ CAMERA.image_to_ground), ";")
    read = parse_calibration(text)
    assert read.is_geographic
    found = with_common_origin({"a": read, "b": read, "c": parse_calibration(FORMS["the demo's"])})
    assert (found["a"].to_ground(PIXELS) == found["b"].to_ground(PIXELS)).all()
    assert found["c"].to_ground(PIXELS)[0] == pytest.approx(ground(PIXELS)[0])
    places, exact = found["a"].to_ground(PIXELS), ground(PIXELS)
    for k in range(1, len(PIXELS)):
        apart = np.linalg.norm(places[0] - places[k])
        assert apart == pytest.approx(np.linalg.norm(exact[0] - exact[k]), rel=1e-3)


def test_the_error_of_point_pairs_is_told_in_metres() -> None:
    wrong = ground(PIXELS)
    wrong[3] += (0.5, 0)
    calibration = parse_calibration(points(PIXELS, wrong))
    assert calibration.error_m is not None
    assert 0.05 < calibration.error_m < 0.5
    assert parse_calibration(FORMS["many points"]).error_m == pytest.approx(0, abs=1e-6)


def corrupted(**changes: Any) -> str:
    return json.dumps({"intrinsic": EXACT["intrinsic"], "extrinsic": POSE.tolist()} | changes)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not valid JSON"),
        ("hello", "none of the known forms"),
        ("{}", "none of the known forms: a 3×3 homography"),
        ("1 2 3\n4 5 6", "has 6 numbers for the homography, not 3×3"),
        ("[[1, 2, 3], [2, 4, 6], [0, 0, 1]]", "cannot be inverted"),
        ('[[1, 2, "x"], [2, 4, 6], [0, 0, 1]]', "has 'x' where a number is expected"),
        (corrupted(extrinsic=[1, 2]), "has an extrinsic of 2 numbers, not 3×4 or 4×4"),
        (json.dumps({"intrinsic": EXACT["intrinsic"]}), "has intrinsics, but no pose"),
        (corrupted(distortion=[1, 2]), "has 2 distortion coefficients; 4, 5, 8, 12, 14 are understood"),
        (corrupted(resolution=[640, 360]), "has a resolution that is not like"),
        (corrupted(resolution={"width": -640, "height": 360}), "has a resolution that is not like"),
        (corrupted(resolution={"width": float("inf"), "height": 360}), "has a resolution that is not like"),
        (corrupted(distortion={"k1": 0.1, "k2": 0.01}), "has an object with k1, k2 instead of numbers"),
        (corrupted(distortion_model=[0.1] * 5), "has distortion_model, which is not understood"),
        (corrupted(extrinsic=(1.3 * POSE).tolist()), "has a rotation whose rows are not at right angles and 1 long"),
        ("", "is empty"),
        (
            json.dumps({"H": np.eye(3).tolist(), "D": LENS}),
            "has distortion, but no intrinsic: add .* or remove distortion",
        ),
        (json.dumps({"H": np.eye(3).tolist(), "distortion_model": "equidistant"}), "only that of cv2.projectPoints"),
        (corrupted(camera_model="DS", distortion=LENS[:4]), "has the camera_model 'DS'; only that of cv2.project"),
        (FORMS["run_live_mtmc.py"] + "\nDistortion coefficients: 1 2 3 4", "has distortion, but no intrinsic"),
        (
            corrupted(intrinsic=np.transpose(EXACT["intrinsic"]).tolist()),
            "has an intrinsic that is not like .* columns",
        ),
        ("1,2,3,4\n5,6,7", r"has 3 columns in line 2; point pairs have four: pixel x, pixel y, metres x, metres y"),
        ("name,u,v,x,y\na,1,2,3,4", "has 5 columns in line 2; point pairs have four"),
        ("u,v,x,y\n100,200,3,4\n300,1O0,5,6", "has '1O0' in line 3, where a number is expected"),
        ("x m,y m,px,py\n1,2,100,200", "has columns called x m, y m, px, py; they must be pixel x, pixel y"),
        ("metres x;metres y;u;v\n1;2;100;200", "they must be pixel x"),
        ("100;200;3;4\n300;100;5;6", "has 2 point pairs; at least 4 are needed"),
        ("0.1,0.2,3,4\n0.5,0.2,5,4\n0.1,0.9,3,9\n0.5,0.8,5,9", "has no pixels greater than 1; are they shares"),
        ("%YAML:1.0\n---\na: [1, 2", "is not valid YAML: .*line 3"),
        ("a: &a [1]\nb: [*a, *a]", r"is not valid YAML: references \(\*name\) are not understood"),
        ("a: !!python/object:os.system {}", "is not valid YAML: could not determine a constructor"),
        ("a: !!opencv-matrix 3", "is not valid YAML: a matrix has no fields"),
        ("a: " + "[" * 100_000, "is not valid YAML: it is nested too deeply"),
        ("a: 2024-02-31", "is not valid YAML: day is out of range"),
        ("1: 2", "is none of the known forms"),
        ("- 5", "has 1 numbers for the homography"),
        ("points: {a: 1}", "has points that are not like"),
        (by_opencv(".yml", R=np.eye(3)), "is none of the known forms"),
        (by_opencv(".yml", a=np.eye(3), b=np.eye(3)), "is none of the known forms"),
        (by_opencv(".xml", a=np.array([[1, np.nan, 1], [1, 0, 1], [0, 0, 1]])), "where a number is expected"),
        (by_opencv(".xml", K=np.eye(3), fisheye_model=1), "has fisheye_model: fisheye lenses are not understood"),
        ("<opencv_storage><a>", "is not valid XML"),
        ("<svg></svg>", "is XML with <svg>, not <opencv_storage>"),
        ('<!DOCTYPE a [<!ENTITY b "c">]><opencv_storage/>', "is XML with a DOCTYPE or an ENTITY"),
        ("<opencv_storage>" + "<a>" * 100_000 + "</a>" * 100_000 + "</opencv_storage>", "nested too deeply"),
        ("<opencv_storage/>", "is none of the known forms"),
        ("[" * 100_000, "is not valid JSON"),
        ("1 2 3 4 5 7 1e40 2e40 9e40", "has a homography that cannot be inverted"),
        ("0 0 0 0 0 0 0 0 0", "has a homography that cannot be inverted"),
        (json.dumps({"homography": [10**400] * 9}), "has '1000+' where a number is expected"),
        (
            json.dumps(json.loads(points(PIXELS, ground(PIXELS))) | {"resolution": {"width": 320, "height": 180}}),
            r"has the pixel \(420, 150\) outside of a picture of 320×180",
        ),
        (
            points(PIXELS[[0, 6, 28, 34]], ground(PIXELS[[0, 34, 28, 6]])),
            r"do not fit one plane: pixel \(\d+, \d+\) is above the horizon that they give; .* are two swapped",
        ),
        (points(PIXELS[:3], ground(PIXELS[:3])), "has 3 point pairs; at least 4 are needed"),
        (points(PIXELS[:7], ground(PIXELS[:7])), "has point pairs on a line"),
        (json.dumps({"points": [[1, 2]] * 4}), "has points that are not like"),
    ],
)
def test_what_is_wrong_with_a_file_is_named(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "gate.json"
    path.write_text(text)
    with pytest.raises(CalibrationError, match=message) as caught:
        read_calibration(path)
    assert str(caught.value).startswith(str(path))


def test_a_pair_of_points_that_was_mixed_up_is_named_with_its_error() -> None:
    metres = ground(PIXELS)
    metres[[3, 30]] = metres[[30, 3]]
    with pytest.raises(CalibrationError, match=r"the error is \d+\.\d\d m, most at pixel \(\d+.*lands .* m away"):
        parse_calibration(points(PIXELS, metres))


def test_a_homography_can_be_an_array_of_numpy(tmp_path: Path) -> None:
    np.save(tmp_path / "gate.npy", CAMERA.image_to_ground)
    found = read_calibration(tmp_path / "gate.npy")
    np.testing.assert_allclose(found.to_ground(PIXELS), ground(PIXELS), atol=1e-9)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.eye(4), r"gate.npy has an array of float64 with 4×4; a homography has 3×3 numbers"),
        (np.full((3, 3), "1"), "has an array of <U1 with 3×3"),
        (np.full((3, 3), None), r"is not a valid \.npy file: .*allow_pickle"),
        (np.full((3, 3), np.nan), "has 'nan' where a number is expected"),
        (np.zeros((3, 3)), "cannot be inverted"),
    ],
)
def test_another_array_is_refused(array: np.ndarray, message: str, tmp_path: Path) -> None:
    np.save(tmp_path / "gate.npy", array)
    with pytest.raises(CalibrationError, match=message):
        read_calibration(tmp_path / "gate.npy")


def test_a_damaged_array_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "gate.npy", CAMERA.image_to_ground)
    content = (tmp_path / "gate.npy").read_bytes()
    for damaged in (content[:-8], content[:20], content.replace(b"(3, 3)", b"(3, 3[")):
        (tmp_path / "gate.npy").write_bytes(damaged)
        with pytest.raises(CalibrationError, match=r"gate.npy is not a valid \.npy file"):
            read_calibration(tmp_path / "gate.npy")


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "gate.mat").write_bytes(b"\x00\x01\xff")
    with pytest.raises(CalibrationError, match=r"gate.mat is not a text file; a calibration is JSON, YAML, XML, text"):
        read_calibration(tmp_path / "gate.mat")


def test_a_missing_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(CalibrationError, match=r"gone.json cannot be read"):
        read_calibration(tmp_path / "gone.json")


def test_the_calibrations_of_a_hard_scene_are_slightly_wrong_and_always_the_same() -> None:
    wrong = parse_calibration(json.dumps(wrong_calibration_of(CAMERA, 3)))
    errors = np.linalg.norm(wrong.to_picture(ground(PIXELS)) - PIXELS, axis=1)
    assert 0.2 < errors.mean() < 4
    assert wrong_calibration_of(CAMERA, 3) == wrong_calibration_of(CAMERA, 3)
    assert wrong_calibration_of(CAMERA, 3) != wrong_calibration_of(CAMERA, 4)


def _pairs(*pairs: tuple[float, float, float, float]) -> tuple[np.ndarray, np.ndarray]:
    every = np.array(pairs, np.float64)
    return every[:, :2], every[:, 2:]


def test_point_pairs_say_how_far_each_is_off() -> None:
    pixels, metres = _pairs((0, 100, 0, 10), (200, 100, 20, 10), (200, 0, 20, 0), (0, 0, 0, 0), (100, 50, 10.2, 5))
    found = calibration_of_points(pixels, metres, 200, 100)
    on_ground, in_picture = point_errors(found, pixels, metres)
    assert int(on_ground.argmax()) == 4
    assert 0.05 < on_ground[4] < 0.2
    assert in_picture[4] == pytest.approx(10 * on_ground[4], rel=0.1)
    assert found.error_m == pytest.approx(float(np.sqrt((on_ground**2).mean())))


@pytest.mark.parametrize(
    ("pairs", "says"),
    [
        ([(0, 0, 0, 0), (9, 0, 9, 0), (0, 9, 0, 9)], "at least 4"),
        ([(0, 0, 0, 0), (1, 1, 1, 1), (2, 2, 2, 2), (3, 3, 3, 3)], "on a line"),
        ([(0, 0, 0, 0), (100, 0, 1, 0), (200, 0, 2, 0), (100, 100, 1, 1)], "on a line"),
        ([(0, 0, 0, 0), (0, 0, 0, 0), (200, 0, 2, 0), (100, 100, 1, 1)], "on a line"),
        ([(0, 0, 0, 0), (100, 0, 9, 0), (100, 100, 9, 9), (0, 100, 0, 9), (50, 50, 8, 1)], "do not fit one plane"),
        ([(0, 0, 0, 0), (100, 0, 9, 0), (100, 100, 0, 9), (0, 100, 9, 9)], "swapped"),
    ],
)
def test_point_pairs_that_give_no_calibration_are_refused(
    pairs: list[tuple[float, float, float, float]], says: str
) -> None:
    with pytest.raises(CalibrationError, match=says):
        calibration_of_points(*_pairs(*pairs), 200, 100)
