from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from g1_vq_retarget.data.contents import contents_of
from g1_vq_retarget.errors import UserError
from g1_vq_retarget.motion.formats import save_motion
from synthetic import human_clip, robot_clip, write_bvh


def told(path: Path) -> dict[str, tuple]:
    return {entry.key: (entry.shape, entry.dtype, entry.value) for entry in contents_of(path)}


def test_arrays_of_an_npz(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", fps=np.array([50.0]), joint_pos=np.zeros((7, 29), np.float32),
                        names=np.array(["left", "right"]), why=np.array("because"))  # fmt: skip
    assert told(tmp_path / "a.npz") == {
        "fps": ((1,), "float64", "50"),
        "joint_pos": ((7, 29), "float32", ""),
        "names": ((2,), "<U5", ""),
        "why": ((), "<U7", "because"),
    }


def test_an_array_of_objects_is_told_and_not_opened(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple:
            return (Path.touch, (tmp_path / "gone off",))

    np.savez(tmp_path / "a.npz", args=np.array(Bomb(), dtype=object), allow_pickle=True)
    assert told(tmp_path / "a.npz")["args"] == ((), "object", "")
    assert not (tmp_path / "gone off").exists()


def test_npy(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((4, 38)))
    assert told(tmp_path / "a.npy") == {"array": ((4, 38), "float64", "")}


def test_a_pickle_is_taken_apart(tmp_path: Path) -> None:
    clips = {"walk": {"dof": np.zeros((5, 23)), "fps": 30, "names": ["a", "b"], "more": {"deep": {"er": 1}}}}
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(clips))
    assert told(tmp_path / "a.pkl") == {
        "walk.dof": ((5, 23), "float64", ""),
        "walk.fps": ((), "int", "30"),
        "walk.names": ((2,), "list", ""),
        "walk.more.deep": ((1,), "dict", ""),
    }


def test_columns_with_and_without_a_header(tmp_path: Path) -> None:
    (tmp_path / "bare.csv").write_text("1,2,3\n4,5,6\n\n")
    assert told(tmp_path / "bare.csv") == {"columns": ((2, 3), "text", "no header")}
    (tmp_path / "named.csv").write_text("Frame, x,y\n0,1,2\n")
    assert told(tmp_path / "named.csv") == {"columns": ((1, 3), "text", "Frame, x, y")}


def test_skeleton_of_a_bvh(tmp_path: Path) -> None:
    entries = told(write_bvh(human_clip(12), tmp_path / "a.bvh"))
    assert entries["joints"][0] == (22,)
    assert entries["joints"][2].startswith("Hips, ")
    assert entries["channels"][0] == (3 + 22 * 3,)
    assert entries["Frames"][2] == "12"
    assert float(entries["Frame Time"][2]) == pytest.approx(1 / 30, rel=1e-6)


def test_files_of_a_folder(tmp_path: Path) -> None:
    np.save(tmp_path / "b.npy", np.zeros(3))
    (tmp_path / "a.csv").write_text("1,2\n")
    assert list(told(tmp_path)) == ["a.csv: columns", "b.npy: array"]


@pytest.mark.parametrize("size", [3, 60, 1000])
def test_what_is_cut_short_is_refused_or_told_as_far_as_it_goes(tmp_path: Path, size: int) -> None:
    save_motion(robot_clip(20), tmp_path / "a.npz", "tracking-mjlab")
    (tmp_path / "a.npz").write_bytes((tmp_path / "a.npz").read_bytes()[:size])
    try:
        contents_of(tmp_path / "a.npz")
    except UserError as error:
        assert "a.npz" in str(error)  # noqa: PT017
    np.save(tmp_path / "b.npy", np.zeros((4, 38)))
    (tmp_path / "b.npy").write_bytes((tmp_path / "b.npy").read_bytes()[:20])
    with pytest.raises(UserError, match=r"b\.npy is damaged"):
        contents_of(tmp_path / "b.npy")


def test_an_entry_is_a_line(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", fps=np.array([50.0]), joint_pos=np.zeros((7, 29)))
    lines = [str(entry).split() for entry in contents_of(tmp_path / "a.npz")]
    assert lines == [["fps", "(1,)", "float64", "50"], ["joint_pos", "(7,", "29)", "float64"]]
