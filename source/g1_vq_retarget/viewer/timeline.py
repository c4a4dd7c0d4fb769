"""A scene over its whole time in one drawing: error curves, foot contacts, tokens as coloured ribbons."""

from __future__ import annotations

import base64
import io

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import hsv_to_rgb
from matplotlib.figure import Figure as Drawing
from PIL import Image

from g1_vq_retarget.motion.time import runs
from g1_vq_retarget.viewer.scene import Figure, Scene

# Where the drawing's time axis begins and ends, as shares of its width: for whoever moves a cursor over it.
LEFT, RIGHT = 0.13, 0.98
# Inches: the curves, a robot's contacts, a level of tokens, the axis and the space between rows.
_CURVES, _CONTACT, _LEVEL, _AXIS, _GAP = 1.1, 0.17, 0.06, 0.32, 0.1


def cursor_share(scene: Scene, time: float) -> float:
    """Where a time, s, lies across the drawing, as a share of its width."""
    return LEFT + (RIGHT - LEFT) * time / _seconds(scene)


def token_colours(tokens: np.ndarray) -> np.ndarray:
    """(L, T', 3) a colour, 0 to 1, for each token (T', L): equal ones alike, neighbouring numbers far apart."""
    # multiples of the golden ratio spread evenly over the circle of hues
    hue = np.mod(tokens.T * (np.sqrt(5) - 1) / 2, 1.0)
    value = 0.65 + 0.3 * np.mod(tokens.T * np.sqrt(2), 1.0)
    return hsv_to_rgb(np.stack([hue, np.full_like(hue, 0.55), value], axis=-1))


def timeline_svg(scene: Scene, width: float = 9.0) -> str:
    """`draw_timeline` as an SVG element, without a cursor."""
    # text stays text: smaller, and of the page's own sharpness
    with matplotlib.rc_context({"svg.fonttype": "none", "font.family": "sans-serif", "svg.hashsalt": "timeline"}):
        file = io.StringIO()
        draw_timeline(scene, width).savefig(file, format="svg", metadata={"Date": None})
    text = file.getvalue()
    return text[text.index("<svg") :]


def draw_timeline(scene: Scene, width: float = 9.0) -> Drawing:
    """The drawing, `width` inches wide.

    Rows from the top, all over the same time: each model's mean distance of links from the truth's, mm (without truth
    left out); each robot's feet, left over right, coloured while they touch the floor; each model's tokens, a row a
    level of the quantizer, a column a step of tokens.
    """
    robots = [figure for figure in scene.figures if figure.is_robot]
    curves = [figure for figure in scene.models if figure.error_curve_mm is not None]
    heights = [_CURVES] * bool(curves) + [_CONTACT * len(robots)]
    heights += [_LEVEL * len(figure.tokens.codebook_sizes) for figure in scene.models if figure.tokens is not None]
    total = sum(heights) + _GAP * (len(heights) + 1) + _AXIS
    drawing = Drawing(figsize=(width, total))
    top, axes = total - _GAP, []
    for height in heights:
        axes.append(drawing.add_axes((LEFT, (top - height) / total, RIGHT - LEFT, height / total)))
        top -= height + _GAP
    rows = iter(axes)
    if curves:
        _draw_curves(next(rows), curves, scene.fps)
    _draw_contacts(next(rows), robots, scene.fps)
    for axis, figure in zip(rows, scene.models, strict=True):
        _draw_tokens(axis, figure)
    for axis in axes:
        axis.set_xlim(0, _seconds(scene))
        axis.tick_params(labelsize=7, length=2, labelbottom=axis is axes[-1])
        axis.spines[["top", "right"]].set_visible(False)
    axes[-1].set_xlabel("s", fontsize=8, labelpad=1)
    return drawing


def svg_aspect(svg: str) -> float:
    """Width over height of a drawing."""
    width, height = (float(value) for value in svg.split('viewBox="0 0 ', 1)[1].split('"', 1)[0].split())
    return width / height


def png_uri(colours: np.ndarray) -> str:
    """A picture (H, W, 3) of values 0 to 1 as a `data:` address."""
    file = io.BytesIO()
    Image.fromarray(np.round(255 * colours).astype(np.uint8)).save(file, format="png")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode('ascii')}"


def _seconds(scene: Scene) -> float:
    """Length of the time axis: each frame is shown until the next."""
    return scene.frames / scene.fps


def _draw_curves(axis: Axes, models: list[Figure], fps: float) -> None:
    for figure in models:
        curve = figure.error_curve_mm
        assert curve is not None
        label = f"{figure.label}: {curve.mean():.0f} mm"
        axis.plot(np.arange(len(curve)) / fps, curve, color=figure.colour, linewidth=0.9, label=label)
    axis.set_ylim(bottom=0)
    axis.set_ylabel("off, mm", fontsize=8)
    legend = axis.legend(fontsize=7, frameon=False, loc="upper right", ncols=2, borderaxespad=0)
    for text in legend.get_texts():
        text.set_parse_math(False)  # labels are names of folders


def _draw_contacts(axis: Axes, robots: list[Figure], fps: float) -> None:
    for row, figure in enumerate(robots):
        assert figure.contact is not None
        for foot, touching in enumerate(figure.contact.T):
            spans = [(first / fps, (end - first) / fps) for first, end in runs(touching)]
            axis.broken_barh(spans, (row + 0.08 + 0.44 * foot, 0.4), color=figure.colour, linewidth=0)
    axis.set_ylim(len(robots), 0)
    axis.set_yticks(np.arange(len(robots)) + 0.5, ["feet" if n == 0 else "" for n in range(len(robots))])


def _draw_tokens(axis: Axes, figure: Figure) -> None:
    assert figure.tokens is not None
    steps, levels = figure.tokens.tokens.shape
    extent = (0.0, steps * figure.token_seconds, float(levels), 0.0)
    axis.imshow(token_colours(figure.tokens.tokens), extent=extent, aspect="auto", interpolation="none")
    axis.set_yticks([levels / 2], ["tokens"], color=figure.colour)
