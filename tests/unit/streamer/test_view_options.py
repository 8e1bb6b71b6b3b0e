from __future__ import annotations

import pytest
from werkzeug.exceptions import BadRequest

from services.streamer.scaling import WIDTHS
from services.streamer.view_options import PictureOptions, picture_options


def test_without_options_a_viewer_gets_everything() -> None:
    assert picture_options({}) == PictureOptions(None, None)


@pytest.mark.parametrize(("asked", "given"), [("1", 160), ("160", 160), ("161", 240), ("640", 640), ("3840", 3840)])
def test_widths_are_rounded_up_to_a_few_steps(asked: str, given: int) -> None:
    assert picture_options({"width": asked}).width == given
    assert given in WIDTHS


@pytest.mark.parametrize("fps", ["0.1", "5", "12.5", "60"])
def test_a_rate_is_taken_as_it_is(fps: str) -> None:
    assert picture_options({"fps": fps}).fps == float(fps)


@pytest.mark.parametrize("width", ["", "0", "-1", "+640", "6e2", "640.5", "3841", "1" * 5000, "٦٤٠", "wide"])
def test_a_wrong_width_is_refused(width: str) -> None:
    with pytest.raises(BadRequest, match="width must be a whole number of pixels, 1 to 3840"):
        picture_options({"width": width})


@pytest.mark.parametrize("fps", ["", "0", "-1", "0.05", "61", "nan", "inf", "1e1", "1_0", " 5", "fast"])
def test_a_wrong_rate_is_refused(fps: str) -> None:
    with pytest.raises(BadRequest, match=r"fps must be a number of pictures per second, 0\.1 to 60"):
        picture_options({"fps": fps})
