from __future__ import annotations

import sys
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
import torch

from g1_vq_retarget.errors import UserError
from g1_vq_retarget.evaluation.latent_plot import (
    LatentView,
    Method,
    flat_map,
    measures_table,
    plot_before_after,
    plot_latent_space,
)
from g1_vq_retarget.evaluation.latent_space import PairedLatents, measure


def clusters() -> np.ndarray:
    """(60, 5) two heaps far apart, 30 points each."""
    return np.random.default_rng(0).normal(size=(60, 5)) + np.repeat([[0.0], [100.0]], 30, axis=0)


@pytest.mark.parametrize("method", ["t-sne", pytest.param("umap", marks=pytest.mark.slow)])
def test_a_map_keeps_heaps_apart_and_is_the_same_again(method: Method) -> None:
    mapped = flat_map(clusters(), method, seed=1)
    assert mapped.shape == (60, 2)
    one, other = np.split(mapped, 2)
    nearest = np.linalg.norm(one[:, None] - other, axis=-1).min()
    assert nearest > max(np.linalg.norm(np.diff(np.sort(heap[:, 0]))) for heap in (one, other)) / 2
    np.testing.assert_array_equal(mapped, flat_map(clusters(), method, seed=1))


def test_a_library_that_is_absent_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(UserError, match=r"needs umap: pip install -e '.\[analysis\]'"):
        flat_map(clusters(), "umap")


def test_pictures_and_table_tell_of_one_model_and_of_two(tmp_path: Path) -> None:
    points = clusters()
    clips, starts = np.repeat(["walk1", "run1"], 30), np.tile(16 * np.arange(30), 2)
    human = torch.tensor(points)[:, None]
    views = []
    for title, shift in (("shifted", 1000.0), ("same", 0.0)):
        latents = PairedLatents(human, human + shift, clips, starts, 16)
        # which map is drawn makes no difference to the drawing
        maps: dict[Method, np.ndarray] = {"t-sne": latents.points[:, :2], "umap": latents.points[:, 2:4]}
        views.append(LatentView(title, latents, measure(latents), maps))
    files = plot_latent_space(tmp_path / "new" / "one", views[1])
    files += plot_before_after(tmp_path / "new" / "two.0", *views)
    assert [path.name for path in files] == ["one.png", "one.pdf", "two.0.png", "two.0.pdf"]
    for path in files:
        assert path.read_bytes().startswith(b"%PDF" if path.suffix == ".pdf" else b"\x89PNG")
    assert matplotlib.image.imread(files[0]).std() > 0.01  # not an empty page
    rows = measures_table({view.title: view.measures for view in views}).splitlines()
    assert rows[0] == "| | shifted | same |"
    assert "| domain told, logistic (0.5: overlap) | 1.000 | 0.500 |" in rows
    assert any(row.startswith("| human → robot among 60, top 1 |") for row in rows)
    assert rows[-1].startswith("| silhouette by action, both |")
