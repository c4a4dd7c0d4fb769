from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from g1_vq_retarget.motion import HumanClip, resample
from g1_vq_retarget.motion.formats import load_motion, save_motion
from g1_vq_retarget.retarget import Retargeter
from g1_vq_retarget.retarget.limits import JointLimiter
from g1_vq_retarget.retarget.live import HumanFrame
from g1_vq_retarget.robot import load_robot
from g1_vq_retarget.streaming.messages import LARGEST, HumanMessage, write_human
from redis_servers import RedisServer
from running import SCRIPTS, Outcome, run_script
from streams import causal_checkpoint
from synthetic import data_folder, human_clip, robot_clip, save_started, write_bvh

ROBOT = load_robot()
AT_ONCE = ("--safety.stand", 0, "--safety.blend", 0, "--safety.stand-down", 0.1)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return causal_checkpoint(tmp_path_factory.mktemp("stream"))


class Listener:
    """A UDP consumer that keeps what arrives."""

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**20)
        self.socket.bind(("127.0.0.1", 0))
        self.address = f"udp://127.0.0.1:{self.socket.getsockname()[1]}"

    def got(self) -> list[dict[str, Any]]:
        """What has arrived until now."""
        frames = []
        while select.select([self.socket], [], [], 0)[0]:
            frames.append(json.loads(self.socket.recv(LARGEST)))
        return frames


@pytest.fixture
def listener() -> Listener:
    return Listener()


def stream(capsys: pytest.CaptureFixture[str], *args: object) -> Outcome:
    capsys.readouterr()
    return run_script("stream", args, capsys)


def test_what_arrives_of_a_file_is_the_clip_retargeted(
    checkpoint: Path, listener: Listener, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_bvh(human_clip(45, 3), tmp_path / "dance.bvh")
    outcome = stream(
        capsys, "--checkpoint", checkpoint, "--source", path, "--sink", listener.address, *AT_ONCE,
        "--json", tmp_path / "report.json",
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    frames = {frame["tick"]: frame for frame in listener.got()}
    clip = load_motion(path)
    assert isinstance(clip, HumanClip)
    expected = Retargeter(checkpoint).retarget(resample(clip, 50.0)).motion
    held = JointLimiter(ROBOT, expected.joint_names, 50.0, np.array(ROBOT.default_joint_pos))
    lookahead, compared = 3, 0
    for tick, joint_pos in enumerate(map(held, expected.joint_pos[:-lookahead]), lookahead):
        if tick in frames:
            joints = [frames[tick]["joint_pos"][name] for name in expected.joint_names]
            np.testing.assert_allclose(joints, joint_pos, atol=1e-4)
            compared += 1
    assert compared > 10
    report = json.loads((tmp_path / "report.json").read_text())
    counts = report["consumers"][listener.address]
    assert counts["given"] == report["ticks"] == counts["sent"] + counts["dropped"]
    assert report["frames"]["received"] == len(expected)
    assert report["latency_ms"]["p50"] >= 60
    last = frames[max(frames)]
    np.testing.assert_allclose([last["joint_pos"][name] for name in ROBOT.joint_names], ROBOT.default_joint_pos)
    assert f"{report['ticks']} robot frames in" in outcome.out


def test_an_actor_on_the_network_is_followed(
    checkpoint: Path, listener: Listener, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    clip, done = human_clip(600, fps=60.0), threading.Event()

    def act() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as way:
            for index in range(len(clip)):
                skeleton = clip.rest_offsets if index % 60 == 0 else None
                message = write_human(HumanMessage(time.time(), HumanFrame.of(clip, index), skeleton))
                way.sendto(message, ("127.0.0.1", port))  # not connected, it hears of no closed port
                if done.wait(1 / 60):
                    return

    actor = threading.Thread(target=act)
    actor.start()
    outcome = stream(
        capsys, "--checkpoint", checkpoint, "--source", f"udp://:{port}", "--sink", listener.address, *AT_ONCE,
        "--seconds", 1.5,
    )  # fmt: skip
    done.set()
    actor.join()
    assert outcome.code == 0, outcome.err
    assert "waiting for rest_offsets" in outcome.out
    frames = listener.got()
    assert len(frames) > 10
    assert all(one["tick"] < after["tick"] for one, after in pairwise(frames))
    moved = np.ptp([[frame["joint_pos"][name] for name in ROBOT.joint_names] for frame in frames], axis=0)
    assert moved.max() > 0.05


@pytest.mark.slow
def test_ctrl_c_leads_the_robot_of_twist_to_its_default_pose(
    checkpoint: Path, redis_server: RedisServer, tmp_path: Path
) -> None:
    path = write_bvh(human_clip(300, 3), tmp_path / "dance.bvh")
    command = [
        sys.executable, SCRIPTS / "stream.py", "--checkpoint", checkpoint, "--source", path, "--loop",
        "--sink", redis_server.address, "--safety.stand", "0.2", "--safety.blend", "0.2", "--safety.stand-down", "0.3",
    ]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ))
    default = [-0.2, 0, 0, 0.4, -0.2, 0]
    seen: list[list[float]] = []
    end = time.monotonic() + 120
    while not any(pose[8:14] != default for pose in seen):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        pose = redis_server.read("action_mimic_g1")
        seen += [pose] if pose else []
    assert seen[0][8:14] == default
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert " robot frames in " in out
    last = redis_server.read("action_mimic_g1")
    np.testing.assert_allclose(last[8:14], default)
    np.testing.assert_allclose(last[:3], [0.793, 0, 0], atol=1e-9)
    np.testing.assert_allclose(last[4:8], 0, atol=1e-9)  # at rest


def refused(capsys: pytest.CaptureFixture[str], *args: object) -> str:
    outcome = stream(capsys, *args)
    assert outcome.code == 2
    assert outcome.err.startswith("error: ")
    assert outcome.err.count("\n") == 1
    assert outcome.out == ""
    return outcome.err


def test_mistakes_are_told_in_a_line(checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_bvh(human_clip(10), tmp_path / "dance.bvh")
    robots = tmp_path / "robot.npz"
    save_motion(robot_clip(10), robots, "npz")
    ahead = save_started(tmp_path / "ahead.safetensors", data_folder(tmp_path / "data"))
    given = ("--checkpoint", checkpoint, "--source")
    assert "no such file" in refused(capsys, *given, tmp_path / "none.bvh")
    assert "a human's is needed" in refused(capsys, *given, robots)
    assert "looks ahead" in refused(capsys, "--checkpoint", ahead, "--source", path)
    # not only once an actor's skeleton has come
    assert "looks ahead" in refused(capsys, "--checkpoint", ahead, "--source", "udp://127.0.0.1:0")
    assert "expected the name of a file" in refused(capsys, *given, path, "--json", tmp_path)
    assert "--beam must be at least 1" in refused(capsys, *given, path, "--beam", 0)
    assert "--source http://x:1" in refused(capsys, *given, "http://x:1")
    assert "port is missing" in refused(capsys, *given, "udp://localhost")
    assert "--loop is for files" in refused(capsys, *given, "udp://:9", "--loop")
    assert "--sink 9000" in refused(capsys, *given, path, "--sink", "9000")
    assert "twice" in refused(capsys, *given, path, "--sink", "udp://:9", "udp://:9")
    assert "no path" in refused(capsys, *given, path, "--sink", "redis://localhost/key")
    assert "--seconds" in refused(capsys, *given, path, "--seconds", 0)
    assert "clock.gap" in refused(capsys, *given, path, "--clock.gap", -1)
    assert "speed" in refused(capsys, *given, path, "--safety.speed", 0)


def test_redis_without_its_client_says_what_to_install(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_bvh(human_clip(10), tmp_path / "dance.bvh")
    monkeypatch.setitem(sys.modules, "redis", None)
    said = refused(capsys, "--checkpoint", checkpoint, "--source", path, "--sink", "redis://localhost")
    assert "pip install 'g1_vq_retarget[streaming]'" in said
