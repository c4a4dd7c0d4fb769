from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import numpy as np
import pytest

from g1_vq_retarget.robot import load_robot
from g1_vq_retarget.tasks.playback import Playback
from running import SCRIPTS, Script, World


def test_the_original_export_command_writes_its_files(world: World, script: Script, tmp_path: Path) -> None:
    out = tmp_path / "motions"
    done = script(
        "deployment/export_motion", "--exp_id", "resnet_hybrid", "--ckpt", world.run.with_name("run.pth"),
        "--data_dir", world.data, "--output_dir", out, "--sample_idx", 2,
    )  # fmt: skip
    assert done.code == 0, done.err
    names = {f"demo_{kind}_resnet_hybrid_idx2" for kind in ("gt", "recon", "cross")}
    assert {file.name for file in out.iterdir()} == {name + end for name in names for end in (".npy", ".json")}
    for name in names:
        assert np.load(out / f"{name}.npy").shape == (16, 29)
        card = json.loads((out / f"{name}.json").read_text())
        assert card["joint_names"] == list(load_robot().joint_names)
        assert card["fps"] == 50
    gt, recon, cross = (np.load(out / f"demo_{kind}_resnet_hybrid_idx2.npy") for kind in ("gt", "recon", "cross"))
    assert len({array.tobytes() for array in (gt, recon, cross)}) == 3


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"--exp_id": "a/b"}, "--exp_id 'a/b'"),
        ({"--ckpt": "checkpoints/none.pth"}, "none.pth: no run of that name"),
        ({"--data_dir": "absent"}, "absent"),
        ({"--sample_idx": 10000}, "--sample_idx 10000"),
    ],
)
def test_export_tells_mistakes_in_a_line(
    world: World, script: Script, tmp_path: Path, changes: dict, told: str
) -> None:
    flags = {"--exp_id": "x", "--ckpt": world.run, "--data_dir": world.data, "--output_dir": tmp_path / "out"} | changes
    done = script("deployment/export_motion", *(part for flag in flags.items() for part in flag))
    assert done.code == 2
    assert told in done.err
    assert done.err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_simulator_gets_both_robots_and_the_human(world: World, script: Script, tmp_path: Path) -> None:
    flags = ("--checkpoint", world.run, "--input", world.motion / "bvh" / "jump.bvh", "--output", tmp_path / "p.npz")
    done = script("deployment/export_playback", *flags, "--reference", world.motion / "g1" / "jump.csv")
    assert done.code == 0, done.err
    playback = Playback.load(tmp_path / "p.npz")
    assert playback.human_pos_w.shape == (len(playback), 22, 3)
    assert playback.truth.joint_pos.shape == playback.model.joint_pos.shape == (len(playback), 29)
    done = script("deployment/export_playback", *flags)
    assert done.code == 2
    assert "--reference" in done.err


def test_playing_tells_mistakes_in_a_line(script: Script, tmp_path: Path) -> None:
    pytest.importorskip("viser")
    np.save(tmp_path / "bare.npy", np.zeros((5, 29)))
    for flags, told in (
        (("--input_file", tmp_path / "absent.npy"), "absent.npy"),
        (("--input_file", tmp_path / "bare.npy"), "--input_fps"),
        (("--input_file", tmp_path / "bare.npy", "--input_fps", 30, "--output_fps", 0), "fps"),
        (("--input_file", tmp_path / "bare.npy", "--input_fps", 30, "--port", 99999), "--port 99999"),
    ):
        done = script("deployment/play_g1_npy", *flags)
        assert done.code == 2
        assert told in done.err
        assert done.err.count("\n") == 1


@pytest.mark.slow
def test_a_file_is_played_on_a_page_until_ctrl_c(tmp_path: Path) -> None:
    pytest.importorskip("viser")
    np.save(tmp_path / "bare.npy", np.zeros((30, 29)))
    command = [sys.executable, SCRIPTS / "deployment" / "play_g1_npy.py", "--input_file", tmp_path / "bare.npy"]
    flags = ["--input_fps", "30", "--output_fps", "50", "--shape", "capsules", "--port", "8340"]
    run = subprocess.Popen([*map(str, command), *flags], stdout=subprocess.PIPE, text=True)
    try:
        assert run.stdout is not None
        said = ""
        for line in run.stdout:
            said += line
            if "http://" in line:
                break
        assert "0.97 s at 30 fps, played at 50" in said
        assert "lowest point on the floor" in said
        address = next(word for word in said.split() if word.startswith("http://"))
        assert urllib.request.urlopen(address, timeout=60).status == 200
        run.send_signal(signal.SIGINT)
        assert run.wait(60) == 0
    finally:
        run.kill()
