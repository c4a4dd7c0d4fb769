"""The triple view as a video and as a contact sheet, drawn without a window."""

from __future__ import annotations

import importlib
import math
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.font_manager import findfont
from PIL import Image, ImageDraw, ImageFont
from tqdm import tqdm

from g1_vq_retarget.errors import UserError
from g1_vq_retarget.files import replacing
from g1_vq_retarget.viewer.nodes import WORST_MM, Look, shade
from g1_vq_retarget.viewer.player import record
from g1_vq_retarget.viewer.scene import Scene, SceneState
from g1_vq_retarget.viewer.shapes import Shape
from g1_vq_retarget.viewer.stage import Stage
from g1_vq_retarget.viewer.timeline import cursor_share, draw_timeline

VIDEO_SUFFIXES = (".mp4", ".gif")
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg")
# Width and height that can be asked for: below, names hide the figures.
SMALLEST, LARGEST = (320, 240), (3840, 2160)
MAX_MOMENTS = 64
# The time line's part of a picture's height, at most, and its width in inches, at least: what sets its letters' size.
_TIMELINE_SHARE, _TIMELINE_INCHES = 0.34, 12.0
_INK, _CURSOR = "#333333", "#dd0000"


class Rendered(NamedTuple):
    """What was drawn: how many moments, in what size (pixels), by which OpenGL."""

    frames: int
    size: tuple[int, int]
    gl: str


def write_video(
    path: Path,
    scene: Scene,
    shape: Shape = "auto",
    look: Look | None = None,
    size: tuple[int, int] = (1280, 720),
    fps: float = 25.0,
    start: float = 0.0,
    end: float | None = None,
) -> Rendered:
    """Write an MP4 (H.264) or a GIF: the figures with their names, beneath them the time line with a cursor.

    Args:
        path: the file; its suffix tells which.
        scene: what to show.
        shape: what links look like.
        look: how the scene is shown.
        size: width and height, pixels, both even.
        fps: frames a second, at most the scene's.
        start: where to begin in the scene, s.
        end: where to end, s; by default with the scene.

    Raises:
        UserError: another suffix, a size or a rate that cannot be, nothing between start and end, a package or an
            OpenGL that is missing or draws nothing, or the file cannot be written.
    """
    if path.suffix.lower() not in VIDEO_SUFFIXES:
        raise UserError(f"--video {path}: the name must end in {' or '.join(VIDEO_SUFFIXES)}")
    _check_size("--size", size)
    if not (math.isfinite(fps) and fps > 0):
        raise UserError(f"--video-fps must be a positive number, it is {fps:g}")
    start, end = _span(scene, start, end)
    fps = min(fps, scene.fps)
    ffmpeg = _ffmpeg()
    with replacing(path) as temporary:
        with _Film(scene, shape, look or Look(), size) as film:
            frames = int((end - start) * fps + 1e-6) + 1
            with (
                _encoder(ffmpeg, temporary, size, fps) as film.encoder,
                tqdm(total=frames, unit="frame", desc="video", disable=None) as film.progress,
            ):
                record(scene, film, fps, start, end)
        written, _ = ffmpeg.count_frames_and_secs(str(temporary))
        if written != frames:
            raise UserError(f"{path}: ffmpeg wrote {written} of {frames} frames; is the disk full?")
    return Rendered(frames, size, film.stage.gl)


def write_contact_sheet(
    path: Path,
    scene: Scene,
    shape: Shape = "auto",
    look: Look | None = None,
    size: tuple[int, int] = (640, 360),
    moments: int = 6,
    start: float = 0.0,
    end: float | None = None,
) -> Rendered:
    """Write one picture of moments at equal intervals, the first and the last among them, over the time line.

    Args:
        path: a PNG or JPEG file.
        scene: what to show.
        shape: what links look like.
        look: how the scene is shown.
        size: width and height of each moment, pixels.
        moments: how many.
        start: the first, s.
        end: the last, s; by default the scene's.

    Returns:
        The number of moments, and the size of the whole.

    Raises:
        UserError: as `write_video`, or a number of moments that cannot be.
    """
    if path.suffix.lower() not in IMAGE_SUFFIXES:
        raise UserError(f"--image {path}: the name must end in {' or '.join(IMAGE_SUFFIXES)}")
    _check_size("--size", size)
    if not 1 <= moments <= MAX_MOMENTS:
        raise UserError(f"--moments {moments}: there can be 1 to {MAX_MOMENTS}")
    times = np.linspace(*_span(scene, start, end), moments)
    columns = math.ceil(math.sqrt(moments))
    rows = math.ceil(moments / columns)
    width = columns * size[0]
    title, strip = _letters(width) * 2, _timeline(scene, width, rows * size[1])
    sheet = Image.new("RGB", (width, title + rows * size[1] + strip.height), "white")
    with replacing(path) as temporary:
        with Stage(scene, shape, look or Look(), size) as stage:
            for number, time in enumerate(tqdm(times, unit="moment", desc="image", disable=None)):
                state = scene.at(float(time))
                stage.show(state)
                row, column = divmod(number, columns)
                sheet.paste(_labelled(stage, state), (column * size[0], title + row * size[1]))
        pen = ImageDraw.Draw(sheet)
        _write(pen, (title // 4, title // 2), scene.name, _letters(width), "lm")
        if scene.licence:
            _write(pen, (width - title // 4, title // 2), f"licence: {scene.licence}", _letters(width) * 3 // 4, "rm")
        sheet.paste(strip, (0, sheet.height - strip.height))
        for time in times:
            _draw_cursor(pen, scene, float(time), sheet.size, strip.height)
        sheet.save(temporary)
    return Rendered(moments, sheet.size, stage.gl)


class _Film:
    """Backend that sends a frame to an encoder for every moment."""

    encoder: Any
    progress: tqdm

    def __init__(self, scene: Scene, shape: Shape, look: Look, size: tuple[int, int]) -> None:
        self.scene = scene
        self.strip = _timeline(scene, *size)
        self.stage = Stage(scene, shape, look, (size[0], size[1] - self.strip.height))
        self.frame = Image.new("RGB", size, "white")

    def show(self, state: SceneState) -> None:
        self.stage.show(state)
        picture = _labelled(self.stage, state)
        pen = ImageDraw.Draw(picture)
        letters = _letters(picture.width)
        _write(pen, (letters // 2, letters // 2), self.scene.name, letters, "la")
        if self.scene.licence:
            place = (letters // 2, picture.height - letters // 2)
            _write(pen, place, f"licence: {self.scene.licence}", letters * 3 // 4, "ls")
        self.frame.paste(picture, (0, 0))
        self.frame.paste(self.strip, (0, picture.height))
        _draw_cursor(ImageDraw.Draw(self.frame), self.scene, state.time, self.frame.size, self.strip.height)
        self.encoder.send(self.frame.tobytes())
        self.progress.update()

    def __enter__(self) -> _Film:
        return self

    def __exit__(self, *_: object) -> None:
        self.stage.close()


def _labelled(stage: Stage, state: SceneState) -> Image.Image:
    """The stage's picture with the time, the figures' names and what the links' colours mean."""
    picture = Image.fromarray(stage.picture)
    pen = ImageDraw.Draw(picture)
    letters = _letters(picture.width)
    right, top = picture.width - letters // 2, letters // 2
    _write(pen, (right, top), f"{state.time:.2f} of {stage.scene.duration:.2f} s", letters, "ra")
    if stage.look.errors and any(now.error_mm is not None for now in state.figures.values()):
        _draw_grades(pen, stage.scene, (right, picture.height - 5 * letters // 4), letters)
    if stage.look.labels:
        (_list_labels if stage.look.overlay else _draw_labels)(pen, stage, state, letters)
    return picture


def _draw_labels(pen: ImageDraw.ImageDraw, stage: Stage, state: SceneState, letters: int) -> None:
    """Over each figure its name and how far off it is."""
    for figure in stage.scene.figures:
        now = state.figures[figure.name]
        lines = [f"{figure.label} (ended)" if now.ended else figure.label]
        if now.error_mm is not None:
            lines.append(f"{now.error_mm[1:].mean():.0f} mm off")
        x, y = stage.heads[figure.name]
        for number, line in enumerate(reversed(lines)):
            place = (x, max(y - number * 1.2 * letters, (2 - number) * 1.2 * letters))
            _write(pen, place, line, letters if number == len(lines) - 1 else letters * 3 // 4, "ms", figure.colour)


def _list_labels(pen: ImageDraw.ImageDraw, stage: Stage, state: SceneState, letters: int) -> None:
    """The same in a list, for figures that stand upon one another."""
    for number, figure in enumerate(stage.scene.figures):
        now = state.figures[figure.name]
        line = f"{figure.label} (ended)" if now.ended else figure.label
        if now.error_mm is not None:
            line += f", {now.error_mm[1:].mean():.0f} mm off"
        _write(pen, (letters // 2, (2.5 + 1.4 * number) * letters), line, letters, "la", figure.colour)


def _draw_grades(pen: ImageDraw.ImageDraw, scene: Scene, corner: tuple[int, int], letters: int) -> None:
    """What the colours of the first model's links mean, right-aligned at a corner."""
    right, top = corner
    small = letters * 3 // 4
    left = right - 6 * letters
    _write(pen, (right, top), f"{WORST_MM:.0f} mm off", small, "ra")
    right = left
    left -= 6 * letters
    for x in range(left, right - letters // 2):
        grade = WORST_MM * (x - left) / (right - letters // 2 - left)
        pen.line([(x, top), (x, top + small)], fill=shade(scene.models[0], grade))
    _write(pen, (left - letters // 2, top), "0", small, "ra")


def _draw_cursor(pen: ImageDraw.ImageDraw, scene: Scene, time: float, size: tuple[int, int], strip_height: int) -> None:
    x = cursor_share(scene, time) * size[0]
    pen.line([(x, size[1] - strip_height), (x, size[1])], fill=_CURSOR, width=max(2, size[0] // 640))


def _timeline(scene: Scene, width: int, height: int) -> Image.Image:
    """The time line as a picture of a width, at most its share of a height, pixels."""
    inches = _TIMELINE_INCHES
    tallest = _TIMELINE_SHARE * height / width
    drawn = draw_timeline(scene, inches)
    if drawn.get_figheight() > tallest * inches:  # the height does not depend on the width
        inches = drawn.get_figheight() / tallest
        drawn = draw_timeline(scene, inches)
    drawn.set_dpi(width / inches)
    canvas = FigureCanvasAgg(drawn)
    canvas.draw()
    picture = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    return picture.resize((width, round(picture.height * width / picture.width)))


def _letters(width: int) -> int:
    """Height of the letters in a picture of a width, pixels."""
    return max(11, width // 70)


def _write(
    pen: ImageDraw.ImageDraw, place: tuple[float, float], text: str, letters: int, anchor: str, colour: str = _INK
) -> None:
    pen.text(place, text, fill=colour, font=_font(letters), anchor=anchor, stroke_width=2, stroke_fill="white")


@cache
def _font(letters: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(findfont("DejaVu Sans"), letters)  # comes with matplotlib


def _check_size(flag: str, size: tuple[int, int]) -> None:
    told = f"{flag} {size[0]} {size[1]}"
    if not all(least <= side <= most for side, least, most in zip(size, SMALLEST, LARGEST, strict=True)):
        least, most = (f"{width} {height}" for width, height in (SMALLEST, LARGEST))
        raise UserError(f"{told}: width and height can be {least} to {most} pixels")
    if size[0] % 2 or size[1] % 2:
        raise UserError(f"{told}: width and height must be even, as H.264 wants them")


def _span(scene: Scene, start: float, end: float | None) -> tuple[float, float]:
    end = scene.duration if end is None else min(end, scene.duration)
    if not 0 <= start <= end:
        raise UserError(f"nothing lies from {start:g} s to {end:g} s: the scene lasts {scene.duration:.2f} s")
    return start, end


def _ffmpeg() -> Any:
    try:
        ffmpeg = importlib.import_module("imageio_ffmpeg")
    except ImportError as error:
        raise UserError("a video needs imageio-ffmpeg: pip install -e '.[viewer]'") from error
    try:
        ffmpeg.get_ffmpeg_exe()
    except RuntimeError as error:  # not every machine's package brings the program
        raise UserError("a video needs the program ffmpeg: apt-get install -y ffmpeg") from error
    return ffmpeg


@contextmanager
def _encoder(ffmpeg: Any, path: Path, size: tuple[int, int], fps: float) -> Iterator[Any]:
    """A generator that frames are sent to, as bytes."""
    if path.suffix.lower() == ".gif":
        # the 256 colours are chosen by what moves
        palette = "split[a][b];[a]palettegen=stats_mode=diff[p];[b][p]paletteuse=dither=bayer:bayer_scale=4"
        how: dict[str, Any] = {"codec": "gif", "pix_fmt_out": "pal8", "output_params": ["-vf", palette, "-loop", "0"]}
        how |= {"quality": None, "macro_block_size": 1}
    else:
        how = {"quality": 6, "macro_block_size": 2}
    encoder = ffmpeg.write_frames(str(path), size, fps=fps, ffmpeg_log_level="error", **how)
    encoder.send(None)
    try:
        yield encoder
    finally:
        encoder.close()
