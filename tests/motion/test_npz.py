"""What an NPZ or NPY may hold, and that nothing larger than the file can hold is ever made."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from g1_vq_retarget.motion import MotionError
from g1_vq_retarget.motion.formats.npz import (
    UNPACKED,
    read_array,
    read_arrays,
    read_keys,
    refusing_damage,
    some_of,
    word,
    words,
    write_arrays,
)

HEADER = "{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape}, }}\n"


def npy(text: str, data: bytes = b"") -> bytes:
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode() + data


def archive(path: Path, compression: int = zipfile.ZIP_STORED, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", compression) as file:
        for key, content in members.items():
            file.writestr(f"{key}.npy", content)
    return path


def read(content: bytes) -> np.ndarray:
    with refusing_damage("a whole NPY"):
        return read_array(io.BytesIO(content), len(content))


@pytest.mark.parametrize(
    "values",
    [
        np.arange(24.0).reshape(2, 3, 4),
        np.asfortranarray(np.arange(6).reshape(2, 3)),
        np.array(5.0),
        np.zeros((0, 3)),
        np.array(["hüfte", "knie"]),
        np.array([1.5, -2.0], dtype=">f4"),
    ],
)
def test_plain_arrays_are_read_as_numpy_writes_them(values: np.ndarray) -> None:
    buffer = io.BytesIO()
    np.save(buffer, values)
    again = read(buffer.getvalue())
    assert again.dtype == values.dtype
    np.testing.assert_array_equal(again, values)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "magic"),
        (npy(HEADER.format(descr="<f8", shape="(10**12,)")), "not a whole NPY"),
        (npy(HEADER.format(descr="<f8", shape="(1000000000000,)")), "float64 of shape .* 0 bytes follow"),
        (npy(HEADER.format(descr="<f8", shape="(2,)"), bytes(15)), "15 bytes follow"),
        (npy(HEADER.format(descr="<f8", shape="(2,)"), bytes(17)), "17 bytes follow"),
        (npy(HEADER.format(descr="<f8", shape="(-1,)"), bytes(8)), "shape"),
        (npy(HEADER.format(descr="|O", shape="()"), b"cos\nsystem\n"), "Python objects"),
        (npy(HEADER.format(descr="<U1", shape="(1,)"), b"\xff\xff\xff\x7f"), "letters that there are not"),
        (npy("-" * 9000 + "1"), "not a whole NPY"),
        (npy("(" * 5000), "not a whole NPY"),
        (npy("{"), "not a whole NPY"),
    ],
)
def test_a_header_that_does_not_fit_is_refused_in_a_short_line(content: bytes, told: str) -> None:
    with pytest.raises(MotionError, match=told) as refused:
        read(content)
    assert len(str(refused.value)) < 400
    assert "\n" not in str(refused.value)


def test_an_archive_that_unpacks_to_far_more_than_its_size_is_refused_before_it_is(tmp_path: Path) -> None:
    rows = (UNPACKED + 2**20) // 8
    large = npy(HEADER.format(descr="<f8", shape=f"({rows},)"), bytes(8 * rows))
    path = archive(
        tmp_path / "bomb.npz", zipfile.ZIP_DEFLATED, a=large, b=npy(HEADER.format(descr="<f8", shape="(0,)"))
    )
    assert path.stat().st_size < 2**20
    with pytest.raises(MotionError, match=r"unpacks to 33 MB, which is too much for its size: write it unpacked"):
        read_arrays(path, ("a",))
    assert read_arrays(path, ("b",))["b"].size == 0  # what is not wanted does not count
    # as large, but not packed
    assert read_arrays(archive(tmp_path / "large.npz", a=large), ("a",))["a"].shape == (rows,)


def test_keys_are_those_of_the_file_and_a_missing_one_is_named(tmp_path: Path) -> None:
    write_arrays(tmp_path / "a.npz", {"b": np.zeros(2), "a": np.array("word")})
    assert read_keys(tmp_path / "a.npz") == {"a", "b"}
    with pytest.raises(MotionError, match=r"lacks fps; it holds a, b"):
        read_arrays(tmp_path / "a.npz", ("a", "fps"))
    (tmp_path / "b.npz").write_bytes((tmp_path / "a.npz").read_bytes()[:-30])
    with pytest.raises(MotionError, match=r"not a readable NPZ"):
        read_keys(tmp_path / "b.npz")


def test_words_are_strings_and_nothing_else() -> None:
    arrays = {"one": np.array("a"), "list": np.array(["a", "b"]), "number": np.array(1.0)}
    assert word(arrays, "one") == "a"
    assert words(arrays, "list") == ("a", "b")
    for read_word, key in ((word, "list"), (word, "number"), (words, "one"), (words, "number")):
        with pytest.raises(MotionError, match=rf"^{key} holds "):
            read_word(arrays, key)


def test_names_in_messages_are_few_short_and_printable() -> None:
    assert some_of(["b", "a"]) == "a, b"
    assert some_of(map(str, range(30)), 2) == "'0', '1' and 28 more"
    assert some_of(["a\n" + "x" * 99]) == repr("a\n" + "x" * 38)
