"""Play joint angles of a G1, (T, 29), on a page in the browser."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro

from g1_vq_retarget.errors import reporting
from g1_vq_retarget.motion import resample
from g1_vq_retarget.motion.formats.joint_npy import read_joint_npy
from g1_vq_retarget.robot import load_robot
from g1_vq_retarget.viewer.player import Player
from g1_vq_retarget.viewer.scene import robot_scene
from g1_vq_retarget.viewer.shapes import Shape


@dataclass
class Args:
    """One file, played until Ctrl-C."""

    input_file: Path
    """NPY of joint angles (rad, MuJoCo order), as export_motion.py writes it; a JSON beside it tells names and rate."""
    input_fps: float | None = None
    """Rate of a file without a JSON."""
    output_fps: float = 50.0
    """Rate to play at: the motion is resampled by time, its speed stays."""
    shape: Shape = "auto"
    """The robot as meshes (of mjlab's model, if installed) or as capsules of the link table."""
    host: str = "127.0.0.1"
    """Address to serve at: 0.0.0.0 is for all machines that can reach this one."""
    port: int = 8080
    """Port to serve at; if it is taken, the next free one."""


def main(args: Args) -> None:
    from g1_vq_retarget.viewer.web import WebPage, serve, start_server

    robot = load_robot()
    clip = read_joint_npy(args.input_file, robot, args.input_fps)
    scene = robot_scene(resample(clip, args.output_fps), robot, clip.name)
    print(f"{args.input_file}: {clip.duration:.2f} s at {clip.fps:g} fps, played at {args.output_fps:g}")
    print("the file tells nothing of the root: the robot stays upright in place, its lowest point on the floor")
    if scene.licence:
        print(f"licence of the motion: {scene.licence}")
    player = Player(scene)
    page = WebPage(start_server(args.host, args.port), player, args.shape)
    serve(page, player)


if __name__ == "__main__":
    with reporting():
        main(tyro.cli(Args, description=__doc__, use_underscores=True))
