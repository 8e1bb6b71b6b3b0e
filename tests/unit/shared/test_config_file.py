"""Reading a site file: what is refused, with which message, and what is never shown."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from shared.config import SiteConfig
from shared.config_fields import is_published_detector
from shared.config_file import read_site_file, site_from
from shared.errors import ConfigError
from shared.site_layout import site_layout
from shared.yaml_file import read_yaml
from vision.tracking.settings import TrackerSettings

SECRET = "hunter2"  # noqa: S105
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a valid site with some settings replaced (None: left out), and the files that it names."""
    for name in ("detector.onnx", "embedder.onnx", "a.mp4", "b.mp4"):
        (tmp_path / name).touch()

    def write(**changes: Any) -> Path:
        site: dict[str, Any] = {
            "site": "hall",
            "detector": {"model": "detector.onnx"},
            "embedder": {"model": "embedder.onnx"},
            "cameras": [{"name": "a", "source": "a.mp4"}, {"name": "b", "source": "b.mp4"}],
        }
        merged = {key: value for key, value in {**site, **changes}.items() if value is not None}
        (tmp_path / "site.yaml").write_text(yaml.safe_dump(merged), encoding="utf-8")
        return tmp_path / "site.yaml"

    return write


def problems_of(path: Path, environment: Mapping[str, str] | None = None) -> list[str]:
    """Each problem without the file's folder."""
    with pytest.raises(ConfigError) as caught:
        read_site_file(path, environment or {})
    return [str(problem).replace(f"{path.parent}/", "") for problem in caught.value.problems]


CAMERA = {"name": "a", "source": "a.mp4"}


def test_a_site_may_have_no_camera(write: Write) -> None:
    left_out, empty = write(cameras=None), "\ncameras:\n"
    assert read_site_file(left_out, {}).cameras == ()
    left_out.write_text(left_out.read_text() + empty)
    assert read_site_file(left_out, {}).cameras == ()
    site = read_site_file(write(cameras=[]), {})
    assert (site.cameras, site_layout(site).cameras) == ((), ())


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"site": None}, ["site.yaml: site: is required"]),
        ({"detector": {}}, ["site.yaml: detector.model: is required"]),
        ({"clok": {"target_fps": 5}}, ["site.yaml: clok: there is no such setting; see `mtmc config schema`"]),
        (
            {"clock": {"fps": 5}},
            ["site.yaml: clock.fps: there is no such setting; see `mtmc config schema`"],
        ),
        ({"site": "no spaces"}, ["site.yaml: site = no spaces: must consist of letters, digits, '.', '_' and '-'"]),
        ({"site": True}, ["site.yaml: site = True: must be text; put it in quotes"]),
        ({"site": "x" * 65}, ["site.yaml: site = xxxx"]),
        ({"clock": {"target_fps": 0}}, ["site.yaml: clock.target_fps = 0: Input should be greater than 0"]),
        ({"clock": {"target_fps": "fast"}}, ["site.yaml: clock.target_fps = fast: Input should be a valid number"]),
        ({"clock": {"target_fps": float("nan")}}, ["site.yaml: clock.target_fps = nan: "]),
        (
            {
                "tracker": {
                    "track_conf_thresh": 1.5,
                    "new_track_conf_thresh": "high",
                    "track_match_thresh": 0,
                    "lost_track_keep_seconds": 0,
                    "high_score": -1,
                }
            },
            [
                "site.yaml: tracker.high_score = -1: Input should be greater than or equal to 0",
                "site.yaml: tracker.track_conf_thresh = 1.5: Input should be less than or equal to 1",
                "site.yaml: tracker.new_track_conf_thresh = high: Input should be a valid number",
                "site.yaml: tracker.track_match_thresh = 0: Input should be greater than or equal to 0.001",
                "site.yaml: tracker.lost_track_keep_seconds = 0: Input should be greater than 0",
            ],
        ),
        ({"tracker": {"match_iou": 1}}, ["site.yaml: tracker.match_iou = 1: Input should be less than 1"]),
        (
            {"tracker": {"track_match_thresh": 0.7, "match_iou": 0.3}},
            ["site.yaml: tracker: track_match_thresh is another name of match_iou; set only one of the two"],
        ),
        (
            {
                "tracker": {
                    "high_score": 0.6,
                    "new_track_score": 0.7,
                    "track_conf_thresh": 0.6,
                    "new_track_conf_thresh": 0.7,
                    "track_match_thresh": 0.9,
                }
            },
            [
                "site.yaml: tracker: track_conf_thresh is another name of high_score and new_track_conf_thresh is "
                "another name of new_track_score; set only one of the two"
            ],
        ),
        ({"clock": {"mode": "slow"}}, ["site.yaml: clock.mode = slow: Input should be 'live' or 'virtual'"]),
        ({"clock": {"max_skew_ticks": 1.5}}, ["site.yaml: clock.max_skew_ticks = 1.5: "]),
        ({"clock": 5}, ["site.yaml: clock = 5: must be a mapping of settings"]),
        ({"clock": [5]}, ["site.yaml: clock: must be a mapping of settings"]),
        ({"cameras": "a.mp4"}, ["site.yaml: cameras = a.mp4: must be a list"]),
        ({"cameras": ["a.mp4"]}, ["site.yaml: cameras.0 = a.mp4: must be a mapping of settings"]),
        ({"cameras": [CAMERA, CAMERA]}, ["site.yaml: cameras: camera names must be unique; used more than once: a"]),
        ({"cameras": [{"name": "a"}]}, ["site.yaml: cameras.0.source: is required"]),
        ({"cameras": [{**CAMERA, "source": "c.mp4"}]}, ["site.yaml: cameras.0.source = c.mp4: there is no file at c"]),
        ({"cameras": [{**CAMERA, "mask": "m.png"}]}, ["site.yaml: cameras.0.mask = m.png: there is no file at m.png"]),
        ({"detector": {"model": "x.onnx"}}, ["site.yaml: detector.model = x.onnx: there is no file at x.onnx; use"]),
        (
            {"detector": {"model": "detector.onnx", "classes": [1.5]}},
            ["site.yaml: detector.classes.0 = 1.5: Input should be a valid integer"],
        ),
        (
            {"detector": {"model": "detector.onnx", "head": "yolo"}},
            ["site.yaml: detector.head = yolo: Input should be 'yolov8', 'yolov8-seg', "],
        ),
        (
            {"detector": {"model": "detector.onnx", "size": 16}},
            ["site.yaml: detector.size = 16: Input should be greater than or equal to 32"],
        ),
        (
            {"cameras": [{**CAMERA, "detector": {"head": "yolox"}}]},
            ["site.yaml: cameras.0.detector: head and size describe a model; set model too"],
        ),
        ({"layout": {"overlaps": [["a", "x"]]}}, ["site.yaml: layout.overlaps.0.1 = x: there is no such camera; the"]),
        (
            {"site": None, "layout": {"overlaps": [["a", "x"]]}},
            ["site.yaml: site: is required", "site.yaml: layout.overlaps.0.1 = x: there is no such camera; the site"],
        ),
        ({"cameras": [{"source": "a.mp4"}], "layout": {"overlaps": [["a", "x"]]}}, ["site.yaml: cameras.0.name: is"]),
        (
            {"cameras": [], "layout": {"overlaps": [["a"]]}},
            ["site.yaml: layout.overlaps.0.0 = a: there is no such camera; the site has none"],
        ),
        (
            {"layout": {"overlaps": [["a", "${NOBODY}"]]}},
            ["site.yaml: layout.overlaps.0.1 = ${NOBODY}: the environment variable NOBODY is not set"],
        ),
        (
            {"layout": {"transitions": [{"from": "x", "to": "y"}]}},
            ["site.yaml: layout.transitions.0.from = x: there", "site.yaml: layout.transitions.0.to = y: there is"],
        ),
        (
            {"layout": {"transitions": [{"from": "a", "to": "b", "min_seconds": 9, "max_seconds": 1}]}},
            ["site.yaml: layout.transitions.0: min_seconds 9 is greater than max_seconds 1"],
        ),
        (
            {"layout": {"cameras": ["a", "b"]}},
            ["site.yaml: layout: 'cameras' can only be used with 'file'; remove it, or set"],
        ),
        ({"layout": {"file": "none.txt"}}, ["site.yaml: layout.file = none.txt: there is no file at none.txt"]),
        ({"redis": {"password": 12345}}, ["site.yaml: redis.password = ***: must be text; put it in quotes"]),
        (
            {"site": None, "clock": {"target_fps": -1}, "cameras": [{"name": "?", "source": "c.mp4", "colour": 1}]},
            [
                "site.yaml: site: is required",
                "site.yaml: clock.target_fps = -1: Input should be greater than 0",
                "site.yaml: cameras.0.name = ?: must consist of letters, digits",
                "site.yaml: cameras.0.source = c.mp4: there is no file",
                "site.yaml: cameras.0.colour: there is no such setting",
            ],
        ),
    ],
)
def test_every_problem_is_named_with_key_value_and_what_is_allowed(
    write: Write, changes: dict[str, Any], expected: list[str]
) -> None:
    found = problems_of(write(**changes))
    assert len(found) == len(expected), found
    for line, beginning in zip(found, expected, strict=True):
        assert line.startswith(beginning)


FORMER_TRACKER_OPTIONS = {
    "track_conf_thresh": 0.6,
    "new_track_conf_thresh": 0.7,
    "track_match_thresh": 0.9,
    "lost_track_keep_seconds": 3,
}


def test_the_tracker_has_the_options_of_run_live_mtmc(write: Write) -> None:
    former = read_site_file(write(tracker=FORMER_TRACKER_OPTIONS), {}).tracker
    current = read_site_file(
        write(tracker={"high_score": 0.6, "new_track_score": 0.7, "match_iou": 0.1, "max_lost_seconds": 3}), {}
    ).tracker
    assert former == current
    for one in (former, current):
        assert (one.high_score, one.new_track_score, one.match_iou, one.max_lost_seconds) == (0.6, 0.7, 0.1, 3)
        assert one.model_dump(exclude_unset=True) == {
            "high_score": 0.6,
            "new_track_score": 0.7,
            "match_iou": 0.1,
            "max_lost_seconds": 3,
        }


def test_the_defaults_of_run_live_mtmc_change_only_matches_and_how_long_a_lost_track_is_kept(
    write: Write,
) -> None:
    defaults = {
        "track_conf_thresh": 0.5,
        "new_track_conf_thresh": 0.4,
        "track_match_thresh": 0.8,
        "lost_track_keep_seconds": 3,
    }
    site = read_site_file(write(tracker=defaults), {})
    assert TrackerSettings.of(site) == TrackerSettings(match_iou=0.2, max_lost_seconds=3)
    assert TrackerSettings.of(read_site_file(write(), {})) == TrackerSettings()


def test_an_option_of_run_live_mtmc_can_come_from_the_environment(write: Write) -> None:
    path = write(tracker={"track_conf_thresh": 0.6})
    assert read_site_file(path, {"MTMC__TRACKER__TRACK_CONF_THRESH": "0.7"}).tracker.high_score == 0.7
    assert read_site_file(path, {"MTMC__TRACKER__TRACK_CONF_THRESH": "null"}).tracker.high_score == 0.5
    assert problems_of(path, {"MTMC__TRACKER__HIGH_SCORE": "0.7"}) == [
        "site.yaml: tracker: track_conf_thresh is another name of high_score; set only one of the two"
    ]


def test_published_trackers_are_those_that_earlier_versions_know(write: Write) -> None:
    known = {"high_score", "new_track_score", "max_lost_seconds", "min_hits", "sure_score"}
    usual = read_site_file(write(), {})
    assert usual.model_dump(mode="json")["tracker"].keys() == known
    site = read_site_file(write(tracker=FORMER_TRACKER_OPTIONS), {})
    assert site.model_dump(mode="json")["tracker"].keys() == known | {"match_iou"}
    for one in (usual, site):
        assert SiteConfig.model_validate_json(one.model_dump_json()).tracker == one.tracker


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "site.yaml: contains no settings; it must be a mapping"),
        (b"# nothing\n", "site.yaml: contains no settings"),
        (b"- a\n- b\n", "site.yaml: contains no settings"),
        (b"hello", "site.yaml: contains no settings"),
        (b"site: \xff\xfe\n", "site.yaml: is not UTF-8 text (byte 6); save it as UTF-8"),
        (b"site: a\ncameras: [\n", "site.yaml: is not valid YAML: line 3, column 1: "),
        (b"site: a\n\tcameras: b\n", "site.yaml: is not valid YAML: line 2, column 1: found character '\\t'"),
        (b"site: a\x07\n", "site.yaml: is not valid YAML: it contains a character that is not allowed in text"),
        (b"site: *nowhere\n", "site.yaml: is not valid YAML: line 1, column 7: found undefined alias '…'"),
        (b"site: &a [*a]\n", "site.yaml: is not valid YAML: line 1, column 7: an anchor refers to itself"),
        (b"{[a]: b}: c\n", "site.yaml: is not valid YAML: line 1, column 1: found unhashable key"),
        (b"site: 2024-02-31\n", "site.yaml: is not valid YAML: day is out of range for month"),
        (b"site: a\n---\nsite: b\n", "site.yaml: is not valid YAML: line 2, column 1: "),
        (b"[" * 3000, "site.yaml: is nested too deeply"),
    ],
)
def test_a_file_that_is_not_a_yaml_mapping_is_refused_with_the_line(
    tmp_path: Path, content: bytes, expected: str
) -> None:
    path = tmp_path / "site.yaml"
    path.write_bytes(content)
    (found,) = problems_of(path)
    assert found.startswith(expected)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    assert problems_of(tmp_path / "none.yaml") == [
        "none.yaml: there is no such file; give the path of the site's YAML file"
    ]
    (tmp_path / "folder").mkdir()
    assert problems_of(tmp_path / "folder") == ["folder: is a folder; give the path of the site's YAML file in it"]


def test_duplicate_keys_of_all_mappings_are_reported_together(write: Write) -> None:
    path = write()
    path.write_text(path.read_text() + "site: other\nclock: {target_fps: 5, mode: live, target_fps: 6}\n")
    found = problems_of(path)
    assert [line.split(":")[1].strip() for line in found] == ["site", "clock.target_fps"]
    assert "remove one" in found[0]


def test_a_merge_key_may_be_overridden(write: Write) -> None:
    path = write(cameras=None)
    path.write_text(
        path.read_text() + "cameras:\n"
        "  - &base {name: a, source: a.mp4, loop: true}\n"
        "  - {<<: *base, name: b}\n"
    )  # fmt: skip
    site = read_site_file(path, {})
    assert [(camera.name, camera.loop) for camera in site.cameras] == [("a", True), ("b", True)]
    changed = read_site_file(path, {"MTMC__CAMERAS__0__LOOP": "false"})
    assert [camera.loop for camera in changed.cameras] == [False, True]


def test_a_layout_file_for_another_number_of_cameras_is_refused(write: Write, tmp_path: Path) -> None:
    row = "0 0 0\n"
    (tmp_path / "layout.txt").write_text(f"compatibility\n{row * 3}dtmin\n{row * 3}dtmax\n{row * 3}")
    (found,) = problems_of(write(layout={"file": "layout.txt"}))
    assert found.startswith("site.yaml: layout.file: ")
    assert "3 numbers" in found
    assert "the site has 2 cameras" in found


def test_a_layout_file_may_name_more_cameras_than_the_site_has(write: Write, tmp_path: Path) -> None:
    blocks = {"compatibility": "1 1 1", "dtmin": "1 2 3", "dtmax": "7 8 9"}
    (tmp_path / "layout.txt").write_text("".join(f"{name}\n" + f"{row}\n" * 3 for name, row in blocks.items()))
    layout = site_layout(read_site_file(write(layout={"file": "layout.txt", "cameras": ["b", "x", "a"]}), {}))
    assert (layout.cameras, layout.dtmin[0, 1], layout.dtmax[1, 0]) == (("a", "b"), 1, 9)
    (found,) = problems_of(write(layout={"file": "layout.txt", "cameras": ["a", "x", "y"]}))
    assert found == "site.yaml: layout.file: layout.cameras lacks b; list every camera of the file, in its order"


def test_a_layout_file_on_another_host_need_not_exist_here(write: Write) -> None:
    path = write(layout={"file": "none.txt"})
    site = read_site_file(path, {}, check_files=False)
    assert site.layout is not None
    assert site.layout.file == path.parent / "none.txt"


def test_relative_paths_are_relative_to_the_site_file(write: Write, tmp_path: Path) -> None:
    site = read_site_file(write(), {})
    assert site.detector.model == tmp_path / "detector.onnx"
    assert site.cameras[1].source == str(tmp_path / "b.mp4")


def test_a_camera_with_a_model_of_its_own_has_its_own_head_and_size(write: Write, tmp_path: Path) -> None:
    cameras = [
        {**CAMERA, "detector": {"model": "detector.onnx", "size": [384, 640]}},
        {**CAMERA, "name": "b", "detector": {"min_score": 0.3}},
    ]
    site = read_site_file(
        write(detector={"model": "detector.onnx", "head": "yolov5", "size": 640}, cameras=cameras), {}
    )
    model = tmp_path / "detector.onnx"

    assert [site.detector_of(camera) for camera in site.cameras] == [
        (model, None, (384, 640)),
        (model, "yolov5", (640, 640)),
    ]
    assert SiteConfig.model_validate_json(site.model_dump_json()).detector == site.detector


def test_published_settings_without_a_head_are_those_that_earlier_versions_know(write: Write) -> None:
    site = read_site_file(write(cameras=[{**CAMERA, "detector": {"min_score": 0.3}}]), {})
    published = site.model_dump(mode="json")
    assert not {"head", "size"} & {*published["detector"], *published["cameras"][0]["detector"]}


@pytest.mark.parametrize("name", ["yolov8s", "yolov9c", "yolov10b", "yolo11x", "yolo12m", "yolo26n"])
def test_a_detector_may_be_the_name_of_published_weights(write: Write, name: str) -> None:
    site = read_site_file(write(detector={"model": name}, cameras=[{**CAMERA, "detector": {"model": "yolov8n"}}]), {})
    published = SiteConfig.model_validate_json(site.model_dump_json())

    assert published.detector.model == Path(name)
    assert is_published_detector(published.detector.model)
    assert published.cameras[0].detector is not None
    assert published.cameras[0].detector.model == Path("yolov8n")


@pytest.mark.parametrize("name", ["yolov8", "yolov8q", "yolov8s.pt", "yolov11n", "weights/yolov8s", "YOLOv8s", "osnet"])
def test_a_name_similar_to_a_published_one_is_a_path(write: Write, name: str) -> None:
    (found,) = problems_of(write(detector={"model": name}))

    assert found.startswith(f"site.yaml: detector.model = {name}: there is no file at {name}; use an absolute path")
    assert found.endswith("or the name of published Ultralytics weights, such as yolov8s")


def test_an_embedder_has_no_published_name(write: Write) -> None:
    assert problems_of(write(embedder={"model": "yolov8s"}))[0].startswith("site.yaml: embedder.model = yolov8s: there")


def test_files_need_not_exist_where_they_are_not_used(write: Write) -> None:
    path = write(detector={"model": "elsewhere.onnx"})
    assert read_site_file(path, {}, check_files=False).detector.model.name == "elsewhere.onnx"


class TestReferences:
    """`${VAR}`, `${VAR:-default}` and `${file:PATH}`."""

    @pytest.mark.parametrize(
        ("text", "environment", "expected"),
        [
            ("redis://${HOST}:6379", {"HOST": "box"}, "redis://box:6379"),
            ("redis://${HOST:-local}:6379", {}, "redis://local:6379"),
            ("redis://${HOST:-local}:6379", {"HOST": "box"}, "redis://box:6379"),
            ("redis://${HOST:-}:6379", {}, "redis://:6379"),
            ("redis://:${file:secret}@box", {}, f"redis://:{SECRET}@box"),
            ("redis://${A}${B}", {"A": "${B}", "B": "b"}, "redis://${B}b"),
        ],
    )
    def test_are_replaced(
        self, write: Write, tmp_path: Path, text: str, environment: dict[str, str], expected: str
    ) -> None:
        (tmp_path / "secret").write_text(f"{SECRET}\n")
        site = read_site_file(write(redis={"url": text}), environment)
        assert site.redis.url is not None
        assert site.redis.url.get_secret_value() == expected

    def test_become_numbers_where_a_number_is_wanted(self, write: Write) -> None:
        site = read_site_file(write(streamer={"port": "${PORT}"}), {"PORT": "8081"})
        assert site.streamer.port == 8081

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("${HOST}", "redis.url = ${HOST}: the environment variable HOST is not set; set it, or use ${HOST:-def"),
            ("${file:none}", "redis.url = ${file:none}: cannot read none (No such file or directory)"),
            (
                "${no such}",
                "redis.url = ${no such}: is not a valid reference; use ${VARIABLE}, ${VARIABLE:-default} or ${file:",
            ),
            ("${}", "redis.url = ${}: is not a valid reference; use ${VARIABLE}"),
        ],
    )
    def test_that_cannot_be_resolved_are_reported_once_among_the_other_problems(
        self, write: Write, text: str, expected: str
    ) -> None:
        found = problems_of(write(redis={"url": text}, clock={"target_fps": 0}))
        assert len(found) == 2
        assert found[0].startswith(f"site.yaml: {expected}")

    def test_of_cameras_are_not_needed_where_others_run_the_site(self, write: Write) -> None:
        def looked_at(path: Path) -> SiteConfig:
            return site_from(read_yaml(path, []), path, {}, all_secrets=False)

        path = write(cameras=[{"name": "gate", "source": "rtsp://${USER_}:${PASSWORD_}@192.0.2.1/1"}])
        assert len(problems_of(path)) == 2
        assert looked_at(path).camera_names == ("gate",)

        path = write(redis={"url": "redis://${REDIS_HOST}"})
        with pytest.raises(ConfigError, match="REDIS_HOST is not set"):
            looked_at(path)
        path = write(site="${SITE_}", streamer={"port": "${PORT_}"})
        with pytest.raises(ConfigError) as raised:
            looked_at(path)
        assert [problem.key for problem in raised.value.problems] == ["site", "streamer.port"]
        assert "SITE_ is not set" in str(raised.value)

    def test_the_default_of_a_malformed_one_is_not_shown(self, write: Write) -> None:
        (found,) = problems_of(write(redis={"password": f"${{MY PASSWORD:-{SECRET}}}"}))
        assert SECRET not in found


class TestOverrides:
    """`MTMC__…` variables."""

    def test_reach_nested_settings_lists_and_sections_that_the_file_leaves_out(self, write: Write) -> None:
        site = read_site_file(
            write(),
            {
                "MTMC__CLOCK__TARGET_FPS": "25",
                "MTMC__CAMERAS__1__SOURCE": "rtsp://box/b",
                "MTMC__CAMERAS__0__LABELS": "[gpu, roof]",
                "MTMC__DETECTOR__CLASSES": "[car, 3]",
                "MTMC__LAYOUT": "{overlaps: [[a, b]]}",
                "MTMC__REDIS__PASSWORD": "0123",
                "MTMC__WORKER__THREADS": "2",
                "OTHER": "x",
            },
        )
        assert site.clock.target_fps == 25
        assert site.cameras[1].source == "rtsp://box/b"
        assert site.cameras[0].labels == ("gpu", "roof")
        assert site.detector.classes == ("car", 3)
        assert site_layout(site).overlapping[0, 1]
        assert site.redis.password is not None
        assert site.redis.password.get_secret_value() == "0123"
        assert site.worker.threads == 2

    def test_may_refer_to_secrets_themselves(self, write: Write, tmp_path: Path) -> None:
        (tmp_path / "secret").write_text(SECRET)
        site = read_site_file(write(), {"MTMC__REDIS__PASSWORD": "${file:secret}"})
        assert site.redis.password is not None
        assert site.redis.password.get_secret_value() == SECRET

    def test_replace_a_reference_that_cannot_be_resolved(self, write: Write) -> None:
        site = read_site_file(write(redis={"url": "${HOST}"}), {"MTMC__REDIS__URL": "redis://box"})
        assert site.redis.url is not None

    def test_null_resets_a_setting(self, write: Write) -> None:
        assert read_site_file(write(layout={"overlaps": [["a", "b"]]}), {"MTMC__LAYOUT": "null"}).layout is None

    @pytest.mark.parametrize(
        ("name", "value", "expected"),
        [
            ("MTMC__CLOCK__TARGET_FPS", "0", "MTMC__CLOCK__TARGET_FPS: clock.target_fps = 0: Input should be greater"),
            ("MTMC__CLOK__TARGET_FPS", "5", "MTMC__CLOK__TARGET_FPS: clok: there is no such setting"),
            ("MTMC__CLOCK__FPS", "5", "MTMC__CLOCK__FPS: clock.fps: there is no such setting"),
            ("MTMC__CAMERAS__7__SOURCE", "x", "MTMC__CAMERAS__7__SOURCE: cameras.7.source: there is no such setting"),
            ("MTMC__SITE__NAME__X", "x", "MTMC__SITE__NAME__X: site"),
            ("MTMC__DETECTOR__MODEL", "x.onnx", "MTMC__DETECTOR__MODEL: detector.model = x.onnx: there is no file"),
            ("MTMC__REDIS__URL", "${NOPE}", "MTMC__REDIS__URL: redis.url = ${NOPE}: the environment variable NOPE is"),
        ],
    )
    def test_that_are_wrong_are_reported_by_their_own_name(
        self, write: Write, name: str, value: str, expected: str
    ) -> None:
        (found,) = problems_of(write(), {name: value})
        assert found.startswith(expected)


@pytest.mark.parametrize(
    "changes",
    [
        {"redis": {"url": f"redis://me:{SECRET}@box", "frames_url": 7, "password": [SECRET]}},
        {"redis": f"redis://me:{SECRET}@box"},
        {"redis": {"password": {"text": SECRET}}},
        {"cameras": [{"name": "a", "source": f"rtsp:/me:{SECRET}@box/a"}]},
        {"cameras": [{"name": "a", "source": f"me:{SECRET}@box/a"}]},
        {"cameras": [f"rtsp://me:{SECRET}@box/a"]},
        {"cameras": [{"name": f"http://me:{SECRET}@box", "source": f"rtsp://me:{SECRET}@box"}]},
        {"detector": {"model": f"http://me:{SECRET}@box/model.onnx"}},
    ],
)
def test_no_error_contains_a_secret(write: Write, changes: dict[str, Any]) -> None:
    path = write(**changes)
    assert SECRET in path.read_text()
    assert SECRET not in "\n".join(problems_of(path))


@pytest.mark.parametrize("text", [f"!{SECRET}", f"*{SECRET}", f'"{SECRET}', f"@{SECRET}", f"[{SECRET}"])
def test_an_error_of_yaml_does_not_quote_the_line(write: Write, text: str) -> None:
    path = write()
    path.write_text(f"redis:\n  password: {text}\n{path.read_text()}")
    (found,) = problems_of(path)
    assert "is not valid YAML: line " in found
    assert SECRET not in found


def test_a_loaded_site_hides_its_secrets_when_printed(write: Write) -> None:
    site = read_site_file(write(redis={"url": f"redis://me:{SECRET}@box", "password": SECRET}), {})
    assert SECRET not in repr(site)


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("rtsp://box/${file:token}/main", "rtsp://box/***/main"),
        ("rtsp://me:${PW}@box:554/${TOKEN}/main?x=${TOKEN}", "rtsp://***@box:554/***/main?x=***"),
        ("rtsp://${HOST}/${CHANNEL}", "rtsp://box.example/7"),
        ("${URL}", "rtsp://***@box/***"),
        ("${file:url}", "rtsp://***@box/***"),
        ("${FOLDER}/${file:token}.mp4", "/videos/***.mp4"),
        ("rtsp://${file:host}/main", "rtsp://***/main"),
    ],
)
def test_a_camera_knows_what_of_its_source_is_not_shown(write: Write, tmp_path: Path, written: str, shown: str) -> None:
    environment = {
        "PW": SECRET,
        "TOKEN": "T0ken",
        "HOST": "box.example",
        "CHANNEL": "7",
        "URL": "rtsp://me:pw@box/live/main?q=1",
        "FOLDER": "/videos",
    }
    (tmp_path / "token").write_text("T0ken\n")
    (tmp_path / "host").write_text("a.host")
    (tmp_path / "url").write_text(environment["URL"])
    path = write(cameras=[{"name": "a", "source": written}])
    (camera,) = read_site_file(path, environment, check_files=False).cameras
    assert camera.shown(camera.source) == shown


def test_no_error_about_a_camera_contains_what_a_reference_stands_for(write: Write, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(SECRET)
    cameras = [
        {"name": "a", "source": "rtsp:/box/${file:token}"},
        {"name": "b", "source": "none/${file:token}.mp4"},
        {"name": "c", "source": f"{'x' * 75}${{file:token}}"},
        {"name": "${file:token} d", "source": "rtsp://box/d"},
    ]
    found = "\n".join(problems_of(write(cameras=cameras)))
    assert found.count("cameras.") == 4
    assert "***" in found
    assert SECRET[:5] not in found
