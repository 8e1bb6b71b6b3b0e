"""Files that people wrote with any editor: encodings with a byte order mark, and line ends of every system."""

from __future__ import annotations

import codecs
import json
from pathlib import Path

import pytest

from recording.description import read_description
from shared.calibration_files import read_calibration
from shared.config_file import read_site_file
from shared.layout import read_layout
from shared.site_layout import site_layout
from shared.text_file import decode_text, read_text

MARKED = {
    "utf-8": (codecs.BOM_UTF8, "utf-8"),
    "utf-16-le": (codecs.BOM_UTF16_LE, "utf-16-le"),
    "utf-16-be": (codecs.BOM_UTF16_BE, "utf-16-be"),
    "utf-32-le": (codecs.BOM_UTF32_LE, "utf-32-le"),
    "utf-32-be": (codecs.BOM_UTF32_BE, "utf-32-be"),
}
LAYOUT = "compatibility\r\n0 1\r\n1 0\r\ndtmin\r\n0 2\r\n2 0\r\ndtmax\r\n0 9\r\n9 0\r\n"


def marked(path: Path, text: str, encoding: str) -> Path:
    mark, name = MARKED[encoding]
    path.write_bytes(mark + text.encode(name))
    return path


@pytest.mark.parametrize("encoding", MARKED)
def test_a_byte_order_mark_is_accepted_in_every_file_of_a_site(encoding: str, tmp_path: Path) -> None:
    for name in ("detector.onnx", "embedder.onnx", "b.mp4"):
        (tmp_path / name).touch()
    marked(tmp_path / "layout.txt", LAYOUT, encoding)
    marked(tmp_path / "password.txt", "hunter2\r\n", encoding)
    plane = {"homography": [[1, 0, 0], [0, 1, 0], [0, 0, 1]], "width": 640, "height": 480}
    marked(tmp_path / "a.json", json.dumps(plane), encoding)
    path = marked(
        tmp_path / "site.yaml",
        "site: hall\r\ndetector: {model: detector.onnx}\r\nembedder: {model: embedder.onnx}\r\n"
        "layout: {file: layout.txt}\r\ncameras:\r\n"
        "- {name: a, source: 'rtsp://me:${file:password.txt}@host/é', calibration: a.json}\r\n"
        "- {name: b, source: b.mp4}\r\n",
        encoding,
    )
    site = read_site_file(path, {})
    assert site.cameras[0].source == "rtsp://me:hunter2@host/é"
    assert site_layout(site).dtmin[0, 1] == 2
    assert read_layout(tmp_path / "layout.txt", ("a", "b")).dtmax[1, 0] == 9
    assert read_calibration(tmp_path / "a.json").width == 640


def test_a_byte_order_mark_is_accepted_in_the_description_of_a_recording(tmp_path: Path) -> None:
    golden = Path(__file__).parents[2] / "golden" / "recording1" / "recording.json"
    expected = read_description(golden.parent)
    marked(tmp_path / "recording.json", golden.read_text(encoding="utf-8"), "utf-16-le")
    assert read_description(tmp_path) == expected


def test_all_line_ends_are_read_as_one(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"1\r\n2\r3\n")
    assert read_text(tmp_path / "a.txt") == "1\n2\n3\n"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("1,2".encode("utf-16-le"), "UTF-16 without a byte order mark"),
        ("é".encode("latin-1"), "can't decode byte 0xe9"),
        (codecs.BOM_UTF16_LE + b"1", "truncated data"),
    ],
)
def test_what_is_not_text_is_refused_with_the_reason(content: bytes, reason: str) -> None:
    with pytest.raises(UnicodeDecodeError, match=reason):
        decode_text(content)
