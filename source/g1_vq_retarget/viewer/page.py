"""The triple view as one HTML file that plays from disk, without a server or a network."""

from __future__ import annotations

import html
import json
from importlib import resources
from pathlib import Path
from typing import Any

from tqdm import tqdm

from g1_vq_retarget.files import replacing
from g1_vq_retarget.viewer.nodes import Look, SceneNodes
from g1_vq_retarget.viewer.player import record
from g1_vq_retarget.viewer.scene import Scene, SceneState
from g1_vq_retarget.viewer.shapes import Shape, link_meshes
from g1_vq_retarget.viewer.timeline import LEFT, RIGHT, png_uri, timeline_svg, token_colours
from g1_vq_retarget.viewer.web import start_server

# Moments a second in the file: its size grows with them.
PAGE_FPS = 25.0


def write_page(
    path: Path, scene: Scene, shape: Shape = "auto", look: Look | None = None, fps: float = PAGE_FPS
) -> None:
    """Write the page: viser's recording of the scene in it, and around it names, error curves and tokens in step.

    Everything is in the file, viser's client too, so that it plays the same in years.

    Args:
        path: the HTML file.
        scene: what to show.
        shape: what links look like.
        look: how the scene is shown; it cannot be changed on the page.
        fps: moments a second, at most the scene's.

    Raises:
        UserError: viser is not installed, there are no meshes, or the file cannot be written.
    """
    with replacing(path) as temporary:
        temporary.write_text(_page(scene, shape, look or Look(), min(fps, scene.fps)), encoding="utf-8")


class _Recorder:
    """Backend that takes down a moment after the other, `fps` a second."""

    def __init__(self, nodes: SceneNodes, recording: Any, fps: float, progress: tqdm) -> None:
        self.nodes, self.recording, self.fps, self.progress = nodes, recording, fps, progress

    def show(self, state: SceneState) -> None:
        self.nodes.show(state)
        self.recording.insert_sleep(1 / self.fps)
        self.progress.update()


def _page(scene: Scene, shape: Shape, look: Look, fps: float) -> str:
    server = start_server("127.0.0.1", 0)
    try:
        nodes = SceneNodes(server, scene, link_meshes(scene.robot, shape), look)
        nodes.show(scene.at(0.0))
        recording = server.get_scene_serializer()
        with tqdm(total=int(scene.duration * fps) + 1, unit="moment", desc="page", disable=None) as progress:
            record(scene, _Recorder(nodes, recording, fps, progress), fps)
        player = recording.as_html()
    finally:
        server.stop()
    data = {
        "fps": scene.fps,
        "seconds": scene.frames / scene.fps,
        "left": LEFT,
        "right": RIGHT,
        "models": [
            {
                "name": figure.name,
                "label": figure.label,
                "seconds": figure.token_seconds,
                "steps": len(figure.tokens.tokens),
                "codes": figure.tokens.tokens.tolist(),
                "ribbon": png_uri(token_colours(figure.tokens.tokens)),
                "error_mm": None
                if figure.error_curve_mm is None
                else figure.error_curve_mm.round().astype(int).tolist(),
            }
            for figure in scene.models
            if figure.tokens is not None
        ],
    }
    legend = [
        f'<span class="dot" style="--colour:{figure.colour}">{html.escape(figure.label)} '
        f'<b id="{figure.name}"></b></span>'
        for figure in scene.figures
    ]
    parts = {
        "__TITLE__": html.escape(scene.name),
        "__LEGEND__": "".join(legend),
        "__NOTE__": html.escape(f"licence of the motion: {scene.licence}" if scene.licence else ""),
        "__TIMELINE__": timeline_svg(scene, width=16.0),
        "__DATA__": json.dumps(data, separators=(",", ":")).replace("<", "\\u003c"),
        "__SCENE__": html.escape(player),
    }
    page = resources.files("g1_vq_retarget.viewer").joinpath("page.html").read_text(encoding="utf-8")
    for mark, part in parts.items():
        page = page.replace(mark, part)
    return page
