"""Human, true robot and models' robots side by side: in a browser, a page to pass on, a video or a picture."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro

from g1_vq_retarget.errors import UserError, reporting
from g1_vq_retarget.retarget import Retargeter
from g1_vq_retarget.viewer.nodes import Look
from g1_vq_retarget.viewer.player import Player
from g1_vq_retarget.viewer.scene import Scene
from g1_vq_retarget.viewer.shapes import Shape
from g1_vq_retarget.viewer.sources import FileOptions, find_clips, load_clip, load_models, load_scene


@dataclass
class Args:
    """Up to four models and a motion, or a folder of motions, on one time line.

    Without --html, --video and --image a page is served until Ctrl-C.
    """

    checkpoint: Annotated[list[Path], tyro.conf.UseAppendAction] = field(default_factory=list)
    """Run folder (its best checkpoint) or .safetensors file; give the flag once for each of up to four."""
    input: Path | None = None
    """Motion file: a human's, read by the human encoder, or a robot's, read by the robot encoder."""
    reference: Path | None = None
    """The robot's true motion for the input; without it a human's scene has no truth and no errors."""
    data: Path | None = None
    """Folder of motion files to choose from in place of --input; files of the same name are the same motion."""
    clip: str | None = None
    """Clip of --data to begin with, by its files' name; the first by default."""
    shape: Shape = "auto"
    """Robots as meshes (of mjlab's model, if installed) or as capsules of the link table."""
    overlay: bool = False
    """All figures upon one another, human and truth seen through, instead of side by side."""
    host: str = "127.0.0.1"
    """Address to serve at: 0.0.0.0 is for all machines that can reach this one."""
    port: int = 8080
    """Port to serve at; if it is taken, the next free one."""
    html: Path | None = None
    """Write a page that plays from disk, offline, to this file."""
    video: Path | None = None
    """Write a video to this file, .mp4 or .gif."""
    image: Path | None = None
    """Write a contact sheet to this file, .png."""
    size: tuple[int, int] = (1280, 720)
    """Width and height of the video, pixels."""
    video_fps: float = 25.0
    """Frames a second of the video."""
    moments: int = 6
    """Moments on the contact sheet."""
    sim: Literal["isaaclab"] | None = None
    """Show it in a simulator in place of a page, by articulations that are moved frame by frame: Isaac Lab's, run by
    isaaclab.sh -p. It needs the robot's truth; of several models it shows the first."""
    num_envs: int = 1
    """With --sim and --data, clips side by side, from the first on."""
    urdf: Path | None = None
    """With --sim, of the G1 with 29 joints; by default the simulator's own."""
    headless: bool = False
    """With --sim, without a window, and once."""
    read: tyro.conf.OmitArgPrefixes[FileOptions] = field(default_factory=FileOptions)


def main(args: Args) -> None:
    if not args.checkpoint:
        raise UserError("--checkpoint is needed: a run folder or .safetensors file; `make demo` makes outputs/demo/run")
    if (args.input is None) == (args.data is None):
        raise UserError("give a motion file with --input or a folder of them with --data, one of the two")
    if args.data is not None and args.reference is not None:
        raise UserError("--reference belongs to --input; in a --data folder, files of the same name belong together")
    if args.clip is not None and args.data is None:
        raise UserError("--clip is a name in --data; give the folder, too")
    models = load_models(args.checkpoint)
    clips = {} if args.data is None else find_clips(args.data)
    if args.clip is not None and args.clip not in clips:
        raise UserError(f"--clip {args.clip}: not among the {len(clips)} of {args.data}: {', '.join(clips)}")

    def load(name: str) -> Scene:
        return load_clip(models, clips[name], args.read)

    if args.sim is not None:
        _simulate(args, models, clips, load)
        return
    name = args.clip or next(iter(clips), "")
    scene = load(name) if args.input is None else load_scene(models, args.input, args.reference, args.read)
    if scene.licence:
        print(f"licence of the motion: {scene.licence}")
    look = Look(overlay=args.overlay)
    # each brings along what it draws with, so each is imported where it is wanted
    if args.html is not None:
        from g1_vq_retarget.viewer.page import write_page

        write_page(args.html, scene, args.shape, look)
        print(f"wrote {args.html}: {scene.duration:.1f} s, plays in a browser without a network")
    if args.video is not None:
        from g1_vq_retarget.viewer.video import write_video

        made = write_video(args.video, scene, args.shape, look, size=args.size, fps=args.video_fps)
        print(f"wrote {args.video}: {made.frames} frames of {made.size[0]} × {made.size[1]}, drawn by {made.gl}")
    if args.image is not None:
        from g1_vq_retarget.viewer.video import write_contact_sheet

        made = write_contact_sheet(args.image, scene, args.shape, look, moments=args.moments)
        print(f"wrote {args.image}: {args.moments} moments, drawn by {made.gl}")
    if args.html is args.video is args.image is None:
        _serve(args, scene, look, sorted(clips, key=lambda clip: clip != name), load)


def _simulate(
    args: Args, models: Mapping[str, Retargeter], clips: Mapping[str, list[Path]], load: Callable[[str], Scene]
) -> None:
    import torch

    from g1_vq_retarget.tasks.isaaclab.launch import running
    from g1_vq_retarget.tasks.isaaclab.show import show
    from g1_vq_retarget.tasks.isaaclab.urdf import checked_urdf
    from g1_vq_retarget.tasks.playback import playback_of

    if args.input is not None:
        scenes = [load_scene(models, args.input, args.reference, args.read)]
    else:
        first = list(clips).index(args.clip) if args.clip else 0
        scenes = [load(name) for name in list(clips)[first : first + max(1, args.num_envs)]]
    playbacks = [playback_of(scene) for scene in scenes]
    urdf = None if args.urdf is None else str(checked_urdf(args.urdf))
    device = "cuda:0" if torch.cuda.is_available() else "cpu"
    with running(Namespace(headless=args.headless, device=device)) as launcher:
        shown = show(playbacks, launcher.app, device=device, urdf=urdf, headless=args.headless)
        print(f"showed {shown} frames of {len(playbacks)} clips")


def _serve(args: Args, scene: Scene, look: Look, clips: list[str], load: Callable[[str], Scene]) -> None:
    from g1_vq_retarget.viewer.web import WebPage, serve, start_server

    player = Player(scene)
    page = WebPage(start_server(args.host, args.port), player, args.shape, look, clips, load if clips else None)
    serve(page, player)


if __name__ == "__main__":
    with reporting():
        main(tyro.cli(Args, description=__doc__))
