from __future__ import annotations

from pathlib import Path

import matplotlib.image
import numpy as np
import pytest

from g1_vq_retarget.data.folder import DataFolder
from g1_vq_retarget.errors import UserError
from g1_vq_retarget.evaluation.worst_windows import plot_worst_windows
from g1_vq_retarget.robot import load_robot
from synthetic import data_folder, started, tiny_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> DataFolder:
    return data_folder(tmp_path_factory.mktemp("worst") / "data")


def plot(folder: DataFolder, path: Path, errors: np.ndarray, count: int) -> list[dict]:
    config = tiny_model()
    spec = folder.spec(config.root)
    return plot_worst_windows(path, started(folder, config), folder.split("test"), spec, load_robot(), errors, count)


def test_the_worst_windows_are_drawn_and_named_worst_first(folder: DataFolder, tmp_path: Path) -> None:
    split = folder.split("test")
    errors = np.linspace(0, 0.1, len(split))
    first = split.clip_of_row.index("jump")
    errors[[first + 2, 1]] = 3.0, 2.0  # the third window of the second clip, the second of the first
    report = plot(folder, tmp_path / "new" / "worst.png", errors, count=2)
    # windows start every 8 frames at 50 fps
    assert report == [
        {"clip": "jump", "start_s": pytest.approx(2 * 8 / 50), "recon": 3.0},
        {"clip": "sit", "start_s": pytest.approx(8 / 50), "recon": 2.0},
    ]
    picture = matplotlib.image.imread(tmp_path / "new" / "worst.png")
    assert min(picture.shape[:2]) > 200
    assert picture.std() > 0.01  # not an empty page


def test_a_split_of_fewer_windows_is_drawn_whole(folder: DataFolder, tmp_path: Path) -> None:
    windows = len(folder.split("test"))
    report = plot(folder, tmp_path / "worst.png", np.arange(windows) * 1.0, count=2)
    assert len(report) == 2
    few = plot(folder, tmp_path / "few.png", np.array([1.0, 2.0, 3.0]), count=10)
    assert [entry["recon"] for entry in few] == [3.0, 2.0, 1.0]


def test_a_picture_that_cannot_be_written_is_told(folder: DataFolder, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(UserError, match=r"worst\.png cannot be written"):
        plot(folder, tmp_path / "file" / "worst.png", np.arange(len(folder.split("test"))) * 1.0, count=1)
