from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from g1_vq_retarget.errors import UserError
from g1_vq_retarget.motion import MotionError, resampled_length
from g1_vq_retarget.motion.formats import load_motion, save_motion
from g1_vq_retarget.motion.formats.body_states import Keys
from g1_vq_retarget.motion.formats.npz import read_arrays, write_arrays
from g1_vq_retarget.retarget import Retargeter
from g1_vq_retarget.tasks.motion_source import load_library, robot_motion
from synthetic import data_folder, human_clip, robot_clip, save_started, write_bvh


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source")
    return save_started(folder / "run" / "best.safetensors", data_folder(folder / "data")).parent


def test_a_folder_gives_its_robot_motion_whatever_the_formats(tmp_path: Path) -> None:
    """Named by place, and at one rate; what is no motion is passed over and told."""
    save_motion(robot_clip(60, 0, 50.0, name="x"), tmp_path / "walk.npz")
    save_motion(robot_clip(60, 1, 30.0), tmp_path / "more" / "run.csv", "csv")
    save_motion(robot_clip(60, 2, 50.0), tmp_path / "more" / "walk.npz", "tracking-isaac")
    save_motion(robot_clip(60, 3, 50.0), tmp_path / "more" / "sonic", "sonic")
    (tmp_path / "README.txt").write_text("Of a summer's day.")
    (tmp_path / ".hidden.csv").write_text("nothing")
    with pytest.warns(UserWarning, match=r"1 files of no known format passed over, .*README\.txt first"):
        library = load_library(tmp_path, 50.0)
    assert dict(zip(library.names, library.length.tolist(), strict=True)) == {
        "more/run": resampled_length(60, 30.0, 50.0),
        "more/sonic": 60,
        "more/walk": 60,
        "walk": 60,
    }
    assert "1 from 30 fps" in library.summary()


def test_a_file_gives_its_clip(tmp_path: Path) -> None:
    save_motion(robot_clip(20, 0, 50.0), tmp_path / "walk.npz")
    assert load_library(tmp_path / "walk.npz", 50.0).names == ("walk",)


def test_a_run_decodes_what_it_is_given(run: Path, tmp_path: Path) -> None:
    """Human motion, robot motion and tokens, as the retargeter does."""
    retargeter = Retargeter(run)
    save_motion(robot_clip(60, 0, 50.0), tmp_path / "robot.npz")
    write_bvh(human_clip(60, 0), tmp_path / "human.bvh")
    tokens = retargeter.encode(robot_clip(60, 1, 50.0, name="other"))
    tokens.save(tmp_path / "tokens.npz")
    got = {clip.name: clip for clip in robot_motion(run, tmp_path)}
    assert sorted(got) == ["human", "robot", "tokens"]
    for name, want in (
        ("human", retargeter.retarget(load_motion(tmp_path / "human.bvh")).motion),
        ("robot", retargeter.retarget(load_motion(tmp_path / "robot.npz")).motion),
        ("tokens", retargeter.decode(tokens)[0]),
    ):
        np.testing.assert_allclose(got[name].joint_pos, want.joint_pos)
        np.testing.assert_allclose(got[name].root_pos_w, want.root_pos_w)
    assert "CC0 human; CC0 robot" in load_library(run, 50.0, from_tokens=tmp_path).licences


def test_several_files_and_folders_are_one_library(run: Path, tmp_path: Path) -> None:
    save_motion(robot_clip(20, 0, 50.0), tmp_path / "walk.npz")
    save_motion(robot_clip(30, 1, 50.0), tmp_path / "more" / "run.npz")
    given = [tmp_path / "walk.npz", tmp_path / "more"]
    assert load_library(given, 50.0).names == ("walk", "run")
    assert load_library([run], 50.0, from_tokens=given).names == ("walk", "run")
    with pytest.raises(MotionError, match="two clips are called 'walk'"):
        load_library([tmp_path / "walk.npz"] * 2, 50.0)
    with pytest.raises(UserError, match=r"--motion .*walk\.npz: with --from-tokens, --motion is one trained model"):
        load_library([run, tmp_path / "walk.npz"], 50.0, from_tokens=given)


def test_frames_have_the_latents_that_they_were_decoded_from(run: Path, tmp_path: Path) -> None:
    """50 fps in steps of 4 frames, at 30 fps: frame k lies in step floor(k / 30 * 50 / 4) = floor(5 k / 12)."""
    model = Retargeter(run)
    save_motion(robot_clip(30, 0, 50.0), tmp_path / "a.npz")
    tokens = model.encode(robot_clip(70, 1, 50.0))
    tokens.save(tmp_path / "b.npz")
    library = load_library(run, 30.0, from_tokens=[tmp_path / "a.npz", tmp_path / "b.npz"], embedding=True)
    assert library.embedding is not None
    assert library.tokenizer_sha256 == model.checkpoint.info["weights_sha256"]
    assert library.embedding.shape == (len(library.frames.joint_pos), 8)
    assert (tokens.fps, library.length.tolist()) == (50.0, [resampled_length(n, 50.0, 30.0) for n in (30, 70)])
    latent = model.model.quantizer.decode(torch.from_numpy(tokens.tokens)[None])[0]
    number = torch.arange(int(library.length[1]))
    want = latent[number * 5 // 12]
    torch.testing.assert_close(library.embedding[library.index(torch.tensor(1), number)], want)
    assert len(want.unique(dim=0)) > 1
    without = load_library(run, 50.0, from_tokens=tmp_path / "b.npz")
    assert (without.embedding, without.tokenizer_sha256) == (None, "")
    with pytest.raises(UserError, match="--observe tokens: the motion is not from tokens"):
        load_library(tmp_path / "a.npz", 50.0, embedding=True)


def test_mistakes_are_told_by_flag_or_file(run: Path, tmp_path: Path) -> None:
    walk, human, tokens = tmp_path / "walk.npz", tmp_path / "h.bvh", tmp_path / "t.npz"
    save_motion(robot_clip(40, 0, 50.0), walk)
    write_bvh(human_clip(20, 0), human)
    made = Retargeter(run).encode(robot_clip(20, 0, 50.0))
    made.save(tokens)
    replace(made, weights_sha256="0").save(tmp_path / "others.npz")
    (tmp_path / "damaged.npz").write_bytes(walk.read_bytes()[:300])
    table = np.loadtxt(_csv(tmp_path / "nan.csv"), delimiter=",")
    table[3, 10] = np.nan
    np.savetxt(tmp_path / "nan.csv", table, delimiter=",")
    arrays = read_arrays(_tracking(tmp_path / "rate.npz"), Keys().required)
    write_arrays(tmp_path / "slow.npz", arrays | {"fps": np.array([25.0])})
    write_arrays(tmp_path / "rate.npz", {key: arrays[key] for key in arrays if key != "fps"})
    (tmp_path / "empty").mkdir()
    for motion, from_tokens, message in (
        (human, None, r"h\.bvh: holds human motion; give a trained model as --motion"),
        (tokens, None, r"t\.npz: holds tokens; give the model that made them as --motion"),
        (run, None, r"--motion .*run: is a trained model; say with --from-tokens"),
        (run, tmp_path / "others.npz", "made by other weights"),
        (walk, human, r"walk\.json"),
        ([], None, "--motion is needed"),
        (tmp_path / "empty", None, "empty: no motion or token files in it"),
        (tmp_path / "absent", None, "absent: no such file"),
        (tmp_path / "damaged.npz", None, r"damaged\.npz"),
        (tmp_path / "nan.csv", None, r"nan\.csv: .*not a finite number at frame 3|nan\.csv: .*nan"),
        (tmp_path / "rate.npz", None, r"rate\.npz: lacks fps"),
        (tmp_path / "slow.npz", None, r"slow\.npz: .*fps"),
    ):
        with pytest.raises(UserError, match=message) as caught:
            load_library(motion, 50.0, from_tokens=from_tokens)
        assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="tells its own rate, 50 fps, and not 60"):
        load_library(walk, 50.0, options={"fps": 60.0})


def test_training_windows_are_no_motion_files(tmp_path: Path) -> None:
    folder = data_folder(tmp_path / "data", {"train": [(robot_clip(40, 0, name="walk"), None)]})
    with pytest.raises(UserError, match="holds training windows"):
        load_library(folder.path, 50.0)


def _csv(path: Path) -> Path:
    save_motion(robot_clip(40, 0), path, "csv")
    return path


def _tracking(path: Path) -> Path:
    save_motion(robot_clip(40, 0, 50.0), path, "tracking-mjlab")
    return path
