from __future__ import annotations

from copy import copy
from pathlib import Path

import numpy as np
import pytest

from g1_vq_retarget.data.folder import DataFolder, Split
from g1_vq_retarget.data.sequences import Sequence, paired_sequences, robot_sequences
from synthetic import data_folder


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> Split:
    return data_folder(tmp_path_factory.mktemp("sequences") / "data").split("train")


def test_a_frame_is_found_in_the_window_that_holds_it() -> None:
    sequence = Sequence(first=5, windows=3, window=8, stride=4)
    assert sequence.frames == 16
    assert sequence.rows.tolist() == [5, 6, 7]
    rows, offsets = sequence.locate(np.array([0, 3, 4, 11, 15]))
    assert rows.tolist() == [5, 5, 6, 7, 7]
    assert offsets.tolist() == [0, 3, 0, 3, 7]


def test_windows_are_cut_where_they_came_from() -> None:
    sequence = Sequence(first=0, windows=3, window=4, stride=2)
    assert sequence.cut(np.arange(8)).tolist() == [[0, 1, 2, 3], [2, 3, 4, 5], [4, 5, 6, 7]]


def test_joined_windows_are_the_windows(split: Split) -> None:
    spec = split.folder.spec(True)
    sequences = robot_sequences(split)
    assert sum(sequence.windows for sequence in sequences) == len(split)
    assert len(sequences) == len(set(split.clip_of_row)) > 1
    for sequence in sequences:
        rows, offsets = sequence.locate(np.arange(sequence.frames))
        whole = split.robot_features(rows, spec, offsets)
        np.testing.assert_array_equal(sequence.cut(whole), split.robot_features(sequence.rows, spec))


def test_human_sides_are_joined_where_their_robot_windows_follow_one_another(split: Split) -> None:
    spec = split.folder.spec(True)
    sequences = paired_sequences(split)
    assert sum(sequence.windows for sequence in sequences) == len(split.human) > 0
    for sequence in sequences:
        assert (np.diff(split.human_rows[sequence.rows]) == 1).all()
        assert len({split.clip_of_row[row] for row in split.human_rows[sequence.rows]}) == 1
        rows, offsets = sequence.locate(np.arange(sequence.frames))
        whole = split.human_features(rows, spec, offsets)
        np.testing.assert_array_equal(sequence.cut(whole), split.human_features(sequence.rows, spec))


def test_a_gap_ends_a_sequence(split: Split) -> None:
    some = copy(split)
    some.human_rows = np.delete(np.asarray(split.human_rows), 1)
    assert sorted(sequence.windows for sequence in paired_sequences(some))[0] == 1


def test_windows_that_do_not_touch_are_no_sequence(tmp_path: Path) -> None:
    folder = data_folder(tmp_path / "data")
    folder.manifest["stride"] = folder.window + 1
    assert {sequence.windows for sequence in robot_sequences(folder.split("train"))} == {1}


def test_an_empty_split_has_none(split: Split) -> None:
    some = copy(split)
    some.human_rows = np.zeros(0, int)
    assert paired_sequences(some) == []
    assert isinstance(some.folder, DataFolder)
