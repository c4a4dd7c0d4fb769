from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from g1_vq_retarget.retarget import Retargeter
from g1_vq_retarget.viewer.scene import Scene, build_scene
from g1_vq_retarget.viewer.timeline import (
    LEFT,
    RIGHT,
    cursor_share,
    draw_timeline,
    png_uri,
    svg_aspect,
    timeline_svg,
    token_colours,
)
from synthetic import human_clip


def test_all_rows_and_the_cursor_share_one_time(scene: Scene) -> None:
    curves, feet, *tokens = draw_timeline(scene).axes
    assert len(tokens) == 2
    seconds = scene.frames / scene.fps
    for axis in (curves, feet, *tokens):
        assert axis.get_xlim() == (0.0, seconds)
        box = axis.get_position()
        assert (box.x0, box.x1) == pytest.approx((LEFT, RIGHT))
    model = scene.models[0]
    drawn = curves.lines[0].get_xydata()
    assert drawn is not None
    assert model.error_curve_mm is not None
    times = np.arange(len(scene.figures[1])) / scene.fps
    np.testing.assert_allclose(np.asarray(drawn), np.stack([times, model.error_curve_mm], axis=1))
    left, right, bottom, top = tokens[0].images[0].get_extent()
    assert model.tokens is not None
    # column k of the strip begins at k steps of tokens
    assert (left, right) == (0.0, pytest.approx(len(model.tokens.tokens) * model.token_seconds))
    assert (bottom, top) == (len(model.tokens.codebook_sizes), 0.0)
    assert cursor_share(scene, 0.0) == LEFT
    assert cursor_share(scene, seconds) == pytest.approx(RIGHT)
    assert cursor_share(scene, seconds / 2) == pytest.approx((LEFT + RIGHT) / 2)


def test_contacts_are_drawn_while_feet_touch(scene: Scene) -> None:
    feet = draw_timeline(scene).axes[1]
    for row, figure in enumerate(figure for figure in scene.figures if figure.is_robot):
        assert figure.contact is not None
        for foot in range(2):
            drawn = feet.collections[2 * row + foot]
            spans = [np.asarray(path.vertices)[:, 0] for path in drawn.get_paths()]
            seconds = sum(np.ptp(span) for span in spans)
            assert seconds == pytest.approx(figure.contact[:, foot].sum() / scene.fps)


def test_without_truth_there_is_no_curve(retargeter: Retargeter) -> None:
    scene = build_scene({"model": retargeter}, human_clip(40, 0))
    assert len(draw_timeline(scene).axes) == 2


def test_equal_tokens_have_equal_colours_and_others_do_not() -> None:
    tokens = np.array([[0, 7], [1, 7], [0, 8], [4095, 9]])
    colours = token_colours(tokens)
    assert colours.shape == (2, 4, 3)
    np.testing.assert_array_equal(colours[0, 0], colours[0, 2])
    np.testing.assert_array_equal(colours[1, 0], colours[1, 1])
    assert np.abs(colours[0, 0] - colours[0, 1]).max() > 0.2
    many = np.round(255 * token_colours(np.arange(1000)[:, None])[0]).astype(int)
    assert len(np.unique(many, axis=0)) > 950
    assert 0 <= colours.min() <= colours.max() <= 1


def test_the_drawing_is_one_svg_element_of_text(scene: Scene) -> None:
    svg = timeline_svg(scene)
    assert svg.startswith("<svg")
    assert svg.rstrip().endswith("</svg>")
    assert "off, mm" in svg
    assert 1.0 < svg_aspect(svg) < 20.0
    assert svg == timeline_svg(scene)


def test_a_picture_goes_into_an_address_and_out() -> None:
    colours = np.array([[[0.0, 0.5, 1.0], [1.0, 0.0, 0.2]]])
    head, data = png_uri(colours).split(",")
    assert head == "data:image/png;base64"
    picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))
    np.testing.assert_array_equal(picture, np.round(255 * colours))
