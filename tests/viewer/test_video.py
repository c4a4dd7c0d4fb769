from __future__ import annotations

import importlib
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from g1_vq_retarget.errors import UserError
from g1_vq_retarget.retarget import Retargeter
from g1_vq_retarget.robot import load_robot
from g1_vq_retarget.viewer import offscreen
from g1_vq_retarget.viewer.nodes import Look
from g1_vq_retarget.viewer.offscreen import Canvas, find_gl, require_mujoco
from g1_vq_retarget.viewer.scene import Scene, build_scene, robot_scene
from g1_vq_retarget.viewer.stage import Stage
from g1_vq_retarget.viewer.video import write_contact_sheet, write_video
from synthetic import human_clip, robot_clip

SIZE = (320, 240)


@pytest.fixture(scope="module")
def gl() -> str:
    """An OpenGL that draws without a window; tests that draw are skipped where there is none."""
    try:
        return find_gl()
    except UserError as error:
        pytest.skip(str(error))


def frames_of(path: Path) -> tuple[list[np.ndarray], float]:
    """The pictures of a video, and its rate."""
    reader = importlib.import_module("imageio_ffmpeg").read_frames(str(path))
    about = next(reader)
    shape = (about["size"][1], about["size"][0], 3)
    return [np.frombuffer(frame, np.uint8).reshape(shape) for frame in reader], about["fps"]


def reddish(picture: np.ndarray) -> float:
    """Share of pixels of a saturated dark red, which only what is far off has."""
    red, green, blue = np.moveaxis(picture.astype(int), -1, 0)
    return float(((red > 70) & (green < 45) & (blue < 60)).mean())


@pytest.mark.parametrize("suffix", [".mp4", ".gif"])
def test_a_video_has_the_frames_asked_for_and_they_differ(gl: str, scene: Scene, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"dance{suffix}"
    made = write_video(path, scene, "capsules", size=SIZE, fps=5, start=0.5, end=1.3)
    frames, fps = frames_of(path)
    assert made == (5, SIZE, gl)  # 0.5, 0.7, … 1.3 s
    assert len(frames) == 5
    assert fps == pytest.approx(5)
    assert {frame.shape for frame in frames} == {(240, 320, 3)}
    for frame in frames:
        assert frame.mean() > 100  # a floor in daylight
        assert frame.std() > 20
    figures = [frame[:150] for frame in frames]
    assert all((np.abs(a.astype(int) - b) > 40).mean() > 0.003 for a, b in pairwise(figures))
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_a_video_is_no_quicker_than_its_scene(gl: str, scene: Scene, tmp_path: Path) -> None:
    made = write_video(tmp_path / "all.mp4", scene, "capsules", size=SIZE, fps=1000, start=1.0, end=1.1)
    assert made.frames == 0.1 * scene.fps + 1


def test_a_contact_sheet_has_all_moments_and_the_time_line(gl: str, scene: Scene, tmp_path: Path) -> None:
    made = write_contact_sheet(tmp_path / "sheet.png", scene, "capsules", size=SIZE, moments=3)
    picture = np.asarray(Image.open(tmp_path / "sheet.png"))
    assert made == (3, picture.shape[1::-1], gl)
    assert picture.shape[1] == 640  # two columns
    # two rows of moments, with a title above and the time line beneath
    assert picture.shape[0] > 2 * 240 + 80
    assert (picture[-1] == 255).any(axis=-1).mean() > 0.9
    first, second = picture[60:200, :320].astype(int), picture[60:200, 320:].astype(int)
    assert (np.abs(first - second) > 40).mean() > 0.003


def test_a_figure_is_drawn_where_it_is(gl: str, scene: Scene) -> None:
    """The human's head, as projected by us, has the human's colour in MuJoCo's picture."""
    with Stage(scene, "capsules", Look(labels=False), (640, 480)) as stage:
        for frame in (0, 20, 40):
            state = scene.at_frame(frame)
            stage.show(state)
            human = scene.figures[0]
            head = state.figures["human"].pos[human.parts.index("head")] + scene.offsets(frame)["human"]
            column, row = np.round(stage._canvas.project(head[None])[0]).astype(int)
            red, green, blue = stage.picture[row, column].astype(int)
            assert blue > green > red, (frame, stage.picture[row, column])
            assert stage.heads["human"][0] < stage.heads["truth"][0] < stage.heads["model_1"][0]
            assert all(0 < x < 640 and 0 < y < 480 for x, y in stage.heads.values())


def test_links_stand_where_the_scene_says_in_either_shape(gl: str, scene: Scene) -> None:
    with Stage(scene, "auto", Look(), SIZE) as stage:
        state = scene.at_frame(33)
        stage.show(state)
        for figure in scene.figures:
            for index, part in enumerate(figure.parts):
                body = stage._data.body(f"{figure.name}/{part}")
                want = state.figures[figure.name].pos[index] + scene.offsets(33)[figure.name]
                np.testing.assert_allclose(body.xpos, want, atol=1e-9)
                assert abs(body.xquat @ state.figures[figure.name].quat_wxyz[index]) == pytest.approx(1)


def test_bones_end_at_the_next_joint(gl: str, scene: Scene) -> None:
    mujoco = require_mujoco()
    with Stage(scene, "capsules", Look(), SIZE) as stage:
        state = scene.at_frame(71)
        stage.show(state)
        human, model, data = scene.figures[0], stage._model, stage._data
        joints = state.figures["human"].pos + scene.offsets(71)["human"]
        for index, part in enumerate(human.parts):
            body = model.body(f"human/{part}")
            geoms = range(body.geomadr[0], body.geomadr[0] + body.geomnum[0])
            ends = [
                data.geom_xpos[geom] + data.geom_xmat[geom].reshape(3, 3)[:, 2] * model.geom_size[geom, 1] * side
                for geom in geoms
                if model.geom_type[geom] == mujoco.mjtGeom.mjGEOM_CAPSULE
                for side in (-1, 1)
            ]
            for child in (child for child, parent in enumerate(human.parents) if parent == index):
                assert min(np.linalg.norm(end - joints[child]) for end in ends) < 1e-6, human.parts[child]


def test_what_is_far_off_is_red_where_it_is_asked_for(gl: str, scene: Scene) -> None:
    shown = {}
    for errors in (True, False):
        with Stage(scene, "capsules", Look(errors=errors, contacts=False), SIZE) as stage:
            stage.show(scene.at_frame(30))
            shown[errors] = reddish(stage.picture)
    assert shown[True] > 5 * shown[False] + 1e-4


def test_upon_one_another_they_take_one_lane_and_the_truth_is_seen_through(gl: str, scene: Scene) -> None:
    with Stage(scene, "capsules", Look(overlay=True), SIZE) as stage:
        stage.show(scene.at_frame(10))
        columns = [stage.heads[name][0] for name in ("truth", "model_1", "model_2")]
        assert max(columns) - min(columns) < 10
        alpha = {figure.name: stage._model.geom_rgba[stage._geoms[figure.name], 3].tolist() for figure in scene.figures}
        assert max(alpha["truth"]) < 1
        assert min(alpha["model_1"]) == 1


def test_the_camera_goes_along_or_stays(gl: str, scene: Scene) -> None:
    far = max(range(scene.frames), key=lambda frame: np.linalg.norm(scene.centre[frame]))
    assert np.linalg.norm(scene.centre[far]) > 0.2
    for follow in (True, False):
        with Stage(scene, "capsules", Look(follow=follow), SIZE) as stage:
            stage.show(scene.at_frame(far))
            middle = stage._canvas.project(np.array([[*scene.centre[far], 0.72]]))[0]
            assert bool(np.linalg.norm(middle - (160, 120)) < 2) == follow


def test_a_robot_alone_has_a_video_too(gl: str, tmp_path: Path) -> None:
    robot = load_robot()
    made = write_video(
        tmp_path / "alone.mp4", robot_scene(robot_clip(20), robot, "alone"), "capsules", size=SIZE, fps=5
    )
    assert made.frames == 4


def test_without_truth_nothing_is_graded(gl: str, retargeter: Retargeter, tmp_path: Path) -> None:
    scene = build_scene({"model": retargeter}, human_clip(20, 0))
    assert write_contact_sheet(tmp_path / "a.jpg", scene, "capsules", size=SIZE, moments=1).frames == 1


@pytest.mark.parametrize(
    ("name", "options", "told"),
    [
        ("a.avi", {}, "--video .*a.avi.*.mp4 or .gif"),
        ("a.mp4", {"size": (321, 240)}, "--size 321 240.*even"),
        ("a.mp4", {"size": (100, 100)}, "--size 100 100: .* 320 240 to 3840 2160"),
        ("a.mp4", {"fps": 0.0}, "--video-fps"),
        ("a.mp4", {"start": 90.0}, "nothing lies from 90 s"),
        ("a.mp4", {"start": float("nan")}, "nothing lies"),
    ],
)
def test_videos_that_cannot_be_are_told(scene: Scene, tmp_path: Path, name: str, options: dict, told: str) -> None:
    with pytest.raises(UserError, match=told):
        write_video(tmp_path / name, scene, "capsules", **options)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "options", "told"),
    [("a.bmp", {}, "--image .*a.bmp"), ("a.png", {"moments": 0}, "--moments 0"), ("a.png", {"end": -1.0}, "nothing")],
)
def test_sheets_that_cannot_be_are_told(scene: Scene, tmp_path: Path, name: str, options: dict, told: str) -> None:
    with pytest.raises(UserError, match=told):
        write_contact_sheet(tmp_path / name, scene, "capsules", **options)
    assert list(tmp_path.iterdir()) == []


def test_a_blank_picture_is_an_error_with_the_fix(
    gl: str, scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(require_mujoco(), "mjr_render", lambda *_: None)  # as a driver that draws nothing
        with pytest.raises(UserError, match=r"blank pictures: apt-get install -y libegl1 .*libosmesa6"):
            write_video(tmp_path / "a.mp4", scene, "capsules", size=SIZE, fps=5)
    assert list(tmp_path.iterdir()) == []


def test_where_egl_is_missing_osmesa_is_taken_and_where_both_are_a_line_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    require_mujoco()
    monkeypatch.delenv("MUJOCO_GL", raising=False)
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.setattr(offscreen.platform, "system", lambda: "Linux")
    monkeypatch.setattr(offscreen, "_failure", lambda name: "no driver" if name == "egl" else "")
    assert find_gl() == "osmesa"
    monkeypatch.setenv("MUJOCO_GL", "EGL")
    with pytest.raises(UserError, match=r"egl: no driver\): apt-get .* let MUJOCO_GL name another"):
        find_gl()
    monkeypatch.delenv("MUJOCO_GL")
    monkeypatch.setattr(offscreen, "_failure", lambda name: "no driver")
    with pytest.raises(UserError, match=r"^no OpenGL .*\(egl: no driver; osmesa: no driver\): apt-get [^\n]*$"):
        find_gl()


@pytest.mark.slow
def test_a_machine_without_a_driver_gets_one_line(tmp_path: Path) -> None:
    """For real: EGL is told to look for its drivers where there are none."""
    env = {**os.environ, "MUJOCO_GL": "egl", "__EGL_VENDOR_LIBRARY_DIRS": str(tmp_path)}
    code = (
        "from g1_vq_retarget.errors import reporting\nfrom g1_vq_retarget.viewer.offscreen import find_gl\n"
        "with reporting():\n    find_gl()"
    )
    run = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    assert run.returncode == 2
    assert run.stderr.count("\n") == 1
    assert "libosmesa6" in run.stderr


@pytest.mark.slow
@pytest.mark.parametrize("name", ["egl", "osmesa"])
def test_each_opengl_draws(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a process of its own, since a process can have one of them."""
    monkeypatch.delenv("PYOPENGL_PLATFORM", raising=False)  # mujoco sets it once it has one
    offscreen._failure.cache_clear()
    if offscreen._failure(name):
        pytest.skip(f"{name}: {offscreen._failure(name)}")
    code = (
        "import numpy as np, mujoco\nfrom g1_vq_retarget.viewer.offscreen import Canvas\n"
        'model = mujoco.MjModel.from_xml_string(\'<mujoco><worldbody><light pos="2 0 3"/>'
        '<geom size=".3" rgba="1 0 0 1"/></worldbody></mujoco>\')\n'
        "data = mujoco.MjData(model)\nmujoco.mj_forward(model, data)\n"
        "with Canvas(model, (64, 48)) as canvas:\n"
        "    picture = canvas.draw(data, np.zeros(3), 2.0, 10.0)\n"
        "    print(canvas.gl, *picture[24, 32], *picture[2, 2])"
    )
    env = {**os.environ, "MUJOCO_GL": name}
    run = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    gl, *values = run.stdout.split()
    red, green, blue, *corner = map(int, values)
    assert gl == name
    assert red > 2 * max(green, blue)
    assert corner == [0, 0, 0]


def test_points_are_projected_as_mujoco_draws_them(gl: str) -> None:
    mujoco = require_mujoco()
    spheres = np.array([[0.0, 0.5, 0.3], [-1.0, -0.7, 0.1], [0.4, 0.0, -0.4]])
    geoms = "".join(f'<geom size=".04" pos="{x} {y} {z}" rgba="1 1 1 1"/>' for x, y, z in spheres)
    model = mujoco.MjModel.from_xml_string(f"<mujoco><worldbody>{geoms}</worldbody></mujoco>")
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    with Canvas(model, (320, 240)) as canvas:
        picture = canvas.draw(data, np.array([0.1, 0.0, 0.0]), 3.0, 12.0)
        for column, row in np.round(canvas.project(spheres)).astype(int):
            patch = picture[row - 14 : row + 15, column - 14 : column + 15, 0] > 60
            middle = np.argwhere(patch).mean(axis=0)
            np.testing.assert_allclose(middle, (14, 14), atol=1.5)
