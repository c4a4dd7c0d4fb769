"""Pickles: what plain ones hold comes out as it went in, and no other runs code, hangs or fills the memory."""

from __future__ import annotations

import base64
import bz2
import collections
import contextlib
import copyreg
import gzip
import io
import lzma
import math
import os
import pickle
import struct
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from g1_vq_retarget.errors import UserError
from g1_vq_retarget.motion import MotionError
from g1_vq_retarget.motion.formats import pickle_stream
from g1_vq_retarget.motion.formats.plain_pickle import write_pickle
from g1_vq_retarget.motion.formats.safe_pickle import is_pickle, number_in, numbers_in, pickled_keys, read_pickle

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)
# joblib 1.6 wrote {"walk": {"dof": arange(6) / 4 as float32 (2, 3), "F": arange(6) in Fortran order (2, 3),
# "names": ["hip", None] as objects, "fps": 30}}
JOBLIB = base64.b64decode(
    "gASV5QAAAAAAAAB9lIwEd2Fsa5R9lCiMA2RvZpSME2pvYmxpYi5udW1weV9waWNrbGWUjBFOdW1weUFycmF5V3JhcHBlcpSTlCmBlH2UKIwIc3Vi"
    "Y2xhc3OUjAVudW1weZSMB25kYXJyYXmUk5SMBXNoYXBllEsCSwOGlIwFb3JkZXKUjAFDlIwFZHR5cGWUaAqMBWR0eXBllJOUjAJmNJSJiIeUUpQo"
    "SwOMATyUTk5OSv////9K/////0sAdJRijAphbGxvd19tbWFwlIiMG251bXB5X2FycmF5X2FsaWdubWVudF9ieXRlc5RLEHViD///////////////"
    "/////wAAAAAAAIA+AAAAPwAAQD8AAIA/AACgP5VLAAAAAAAAAIwBRpRoBimBlH2UKGgJaAxoDUsCSwOGlGgPaBtoEWgTjAJmOJSJiIeUUpQoSwNo"
    "F05OTkr/////Sv////9LAHSUYmgZiGgaSxB1YgP///8AAAAAAAAAAAAAAAAAAAhAAAAAAAAA8D8AAAAAAAAQQAAAAAAAAABAAAAAAAAAFECVTwAA"
    "AAAAAACMBW5hbWVzlGgGKYGUfZQoaAloDGgNSwKFlGgPaBBoEWgTjAJPOJSJiIeUUpQoSwOMAXyUTk5OSv////9K/////0s/dJRiaBmJaBpLEHVi"
    "gAWVkQAAAAAAAACMFm51bXB5Ll9jb3JlLm11bHRpYXJyYXmUjAxfcmVjb25zdHJ1Y3SUk5SMBW51bXB5lIwHbmRhcnJheZSTlEsAhZRDAWKUh5RS"
    "lChLAUsChZRoA4wFZHR5cGWUk5SMAk84lImIh5RSlChLA4wBfJROTk5K/////0r/////Sz90lGKJXZQojANoaXCUTmV0lGIulQsAAAAAAAAAjANm"
    "cHOUSx51cy4="
)
WRITERS: dict[str, Callable[[bytes], bytes]] = {
    "plain": lambda data: data,
    "zlib": zlib.compress,
    "gzip": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "lzma": lambda data: lzma.compress(data, lzma.FORMAT_ALONE),
}


def contents() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    return {
        "fps": 30,
        "rate": 29.97,
        "large": 2**70,
        "no": None,
        "yes": True,
        "words": ["pelvis", "骨盆", "x" * 300],
        "pairs": [(1, 2.5), (), ((1,), (2, 3), (4, 5, 6, 7))],
        "raw": b"\x00\xff" * 200,
        "inner": {"a": {1: "one"}, b"k": [[1.0, 2.0], [3.0, 4.0]]},
        "ordered": collections.OrderedDict(b=1, a=2),
        "default": collections.defaultdict(list, {"q": [1]}),
        "f8": rng.normal(size=(7, 3)),
        "f4": rng.normal(size=(7, 3, 1)).astype(np.float32),
        "fortran": np.asfortranarray(rng.normal(size=(4, 5))),
        "strided": rng.normal(size=(6, 6))[::2, 1::2],
        "empty": np.zeros((0, 3)),
        "point": np.array(2.0),
        "big-endian": np.arange(5, dtype=">i4"),
        "flags": np.array([True, False]),
        "names": np.array(["left", "right_hip"]),
        "objects": np.array(["hip", None, [1.5]], dtype=object),
        "float64": np.float64(1.5),
        "int64": np.int64(-3),
        "word": np.str_("word"),
    }


def assert_same(have: Any, want: Any) -> None:
    if isinstance(want, dict):
        assert type(have) is dict
        assert list(have) == list(want)
        for key, value in want.items():
            assert_same(have[key], value)
    elif isinstance(want, np.ndarray):
        assert isinstance(have, np.ndarray)
        assert (have.shape, have.dtype) == (want.shape, want.dtype.newbyteorder("="))
        assert have.tolist() == want.tolist()
    else:
        assert type(have) is type(want)
        assert have == want


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_plain_contents_come_out_as_they_went_in(tmp_path: Path, protocol: int) -> None:
    data = pickle.dumps(contents(), protocol)
    (tmp_path / "a.pkl").write_bytes(data)
    assert is_pickle(data[:16])
    assert_same(read_pickle(tmp_path / "a.pkl"), contents())


@pytest.mark.parametrize("protocol", [0, 1, 2, 3])
def test_the_names_of_older_numpy_and_of_python_2_are_known(tmp_path: Path, protocol: int) -> None:
    data = pickle.dumps(contents(), protocol).replace(b"numpy._core", b"numpy.core")
    data = data.replace(b"cbuiltins\n", b"c__builtin__\n").replace(b"ccopyreg\n", b"ccopy_reg\n")
    (tmp_path / "a.pkl").write_bytes(data)
    assert_same(read_pickle(tmp_path / "a.pkl"), contents())


def test_an_array_that_python_2_wrote(tmp_path: Path) -> None:
    # raw bytes stand as a string there
    dtype = b"cnumpy\ndtype\n(U\x02f8K\x00K\x01tR(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    state = b"(K\x01K\x02K\x01\x86" + dtype + b"\x89"
    raw = struct.pack("<2d", 1.5, -2.25)
    head = b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
    (tmp_path / "a.pkl").write_bytes(head + state + b"U" + bytes([len(raw)]) + raw + b"tb.")
    assert read_pickle(tmp_path / "a.pkl").tolist() == [[1.5], [-2.25]]  # type: ignore[union-attr]


@pytest.mark.parametrize("kind", WRITERS)
def test_a_file_of_joblib(tmp_path: Path, kind: str) -> None:
    data = WRITERS[kind](JOBLIB)
    (tmp_path / "a.pkl").write_bytes(data)
    assert is_pickle(data[:16])
    want = {
        "dof": np.arange(6, dtype=np.float32).reshape(2, 3) / 4,
        "F": np.arange(6.0).reshape(2, 3),
        "names": np.array(["hip", None], dtype=object),
        "fps": 30,
    }
    assert_same(read_pickle(tmp_path / "a.pkl"), {"walk": want})
    assert pickled_keys(tmp_path / "a.pkl") == {"walk", "*/dof", "*/F", "*/names", "*/fps"}


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("compress", [0, ("zlib", 3), ("xz", 3)])
def test_what_the_installed_joblib_writes(tmp_path: Path, protocol: int, compress: Any) -> None:
    joblib = pytest.importorskip("joblib")
    joblib.dump(contents(), tmp_path / "a.pkl", compress=compress, protocol=protocol)
    assert_same(read_pickle(tmp_path / "a.pkl"), contents())


def tensors() -> dict[str, Any]:
    generator = torch.Generator().manual_seed(0)
    base = torch.randn(6, 4, generator=generator)
    return {
        "whole": base,
        "turned": base.T,
        "part": base[1:5:2, 1:],
        "double": base.double(),
        "half": base.half(),
        "brief": base.bfloat16(),
        "ints": torch.arange(4),
        "flags": torch.tensor([True, False]),
        "parameter": torch.nn.Parameter(base[0].clone()),
        "point": torch.tensor(2.5),
        "empty": torch.zeros(0, 3),
        "size": torch.Size([1, 2]),
        "inner": {"fps": 30},
    }


def _save_torch(value: object, path: Path) -> None:
    torch.save(value, path)


def _save_old_torch(value: object, path: Path) -> None:
    torch.save(value, path, _use_new_zipfile_serialization=False)


def _save_pickle(value: object, path: Path) -> None:
    path.write_bytes(pickle.dumps(value))


@pytest.mark.parametrize("save", [_save_torch, _save_old_torch, _save_pickle])
def test_tensors_come_as_arrays(tmp_path: Path, save: Callable[[object, Path], None]) -> None:
    save(tensors(), tmp_path / "a.pt")
    have = read_pickle(tmp_path / "a.pt")
    assert isinstance(have, dict)
    for key, tensor in tensors().items():
        if isinstance(tensor, torch.Tensor):
            want = tensor.detach().float() if tensor.dtype == torch.bfloat16 else tensor.detach()
            assert_same(have[key], want.numpy())
    assert have["size"] == (1, 2)
    assert have["inner"] == {"fps": 30}


def test_what_we_write_is_read_by_pickle_and_by_us_and_is_the_same_twice(tmp_path: Path) -> None:
    plain = {"fps": 30.0, "names": ["a", "b"], "turned": np.arange(6.0).reshape(2, 3).T, "empty": np.zeros((0, 3))}
    for name in ("one.pkl", "two.pkl"):
        write_pickle(tmp_path / name, plain)
    data = (tmp_path / "one.pkl").read_bytes()
    assert data == (tmp_path / "two.pkl").read_bytes()
    assert b"_core" not in data
    for have in (pickle.loads(data), read_pickle(tmp_path / "one.pkl")):
        assert_same(have, plain)
    pickle.loads(data)["turned"][0, 0] = 1  # may be written to


class Runs:
    """Pickled, a call."""

    def __init__(self, function: Callable[..., Any], *args: Any) -> None:
        self.call = function, args

    def __reduce__(self) -> Any:
        return self.call


def hostile(canary: Path) -> dict[str, bytes]:
    """Streams that would write the file if they were run."""
    command, code = f"touch {canary}", f"open({str(canary)!r}, 'w')"
    quoted = code.replace("'", "\\'").encode()
    call = b"cos\nsystem\n(S'" + command.encode() + b"'\ntR"
    numpy_object = np.empty(2, object)
    numpy_object[:] = [1.0, Runs(os.system, command)]
    text = code.encode()
    return {
        "system": pickle.dumps({"fps": Runs(os.system, command)}),
        "exec": pickle.dumps([Runs(exec, code)]),
        "eval": b"cbuiltins\neval\n(S'" + quoted + b"'\ntR.",
        "Python 2's eval": b"c__builtin__\neval\n(S'" + quoted + b"'\ntR.",
        "getattr": b"cbuiltins\ngetattr\n(cos\npath\nS'join'\ntR.",
        "a dotted name": b"\x80\x04\x8c\x08builtins\x8c\x0deval.__call__\x93.",
        "a name through an allowed module": b"\x80\x04\x8c\x05numpy\x8c\x10ndarray.__init__\x93)R.",
        "numpy's own exec": b"cnumpy.testing._private.utils\nrunstring\n(S'" + quoted + b"'\n}tR.",
        "torch.load": b"ctorch\nload\n(S'x'\ntR.",
        "an array of objects": pickle.dumps({"dof": numpy_object}),
        "a frame in a frame": pickle.dumps({"a": [{"b": (1, Runs(os.system, command))}]}, 5),
        "popped and remembered": b"\x80\x04]"
        + b"cos\nsystem\n"
        + b"q\x010"
        + b"h\x01(S'"
        + command.encode()
        + b"'\ntR.",
        "built by INST": b"(S'" + command.encode() + b"'\nios\nsystem\n.",
        "built by OBJ": b"(cos\nsystem\nS'" + command.encode() + b"'\no.",
        "a class by NEWOBJ_EX": b"\x80\x04cbuiltins\neval\n(S'" + quoted + b"'\nt}\x92.",
        "setstate": b"ccollections\nOrderedDict\n)R}S'__setstate__'\n" + call + b"sb.",
        "state of a dict": b"}}S'__class__'\ncos\nsystem\nsb.",
        "state of a class": b"cnumpy\nndarray\n}S'__reduce__'\ncos\nsystem\nsb.",
        "a factory": b"ccollections\ndefaultdict\n(cos\nsystem\ntR.",
        "reconstructed": b"ccopyreg\n_reconstructor\n(csubprocess\nPopen\ncbuiltins\nobject\nNtR.",
        "a persistent object": b"Pos.system\n.",
        "a persistent object on the stack": b"cos\nsystem\nQ.",
        "a name alone": b"}S'fps'\ncos\nsystem\ns.",
        "an allowed class alone": b"}S'fps'\ncnumpy\nndarray\ns.",
        "in a torch storage": pickle.dumps(
            Runs(torch.storage._load_from_bytes, pickle.dumps(Runs(os.system, command)))
        ),
        "behind joblib's array": JOBLIB[:-1] + call + b"0.",
        "code as text": b"cbuiltins\ncompile\n(S'" + text.replace(b"'", b"\\'") + b"'\nS'x'\nS'exec'\ntR.",
    }


@pytest.mark.parametrize("name", hostile(Path("canary")))
@pytest.mark.parametrize("compress", ["plain", "zlib"])
def test_no_code_is_run(tmp_path: Path, name: str, compress: str) -> None:
    canary = tmp_path / "canary"
    (tmp_path / "bad.pkl").write_bytes(WRITERS[compress](hostile(canary)[name]))
    with pytest.raises(MotionError) as error:
        read_pickle(tmp_path / "bad.pkl")
    assert not canary.exists()
    assert "\n" not in str(error.value)


def test_the_canary_would_sing(tmp_path: Path) -> None:
    pickle.loads(hostile(tmp_path / "canary")["system"])
    assert (tmp_path / "canary").exists()


@pytest.mark.parametrize(
    ("value", "asked"),
    [
        (Runs(os.system, "true"), "posix.system"),
        (Runs(eval, "1"), "builtins.eval"),
        (io.StringIO, "io.StringIO"),
        ({"set": {1, 2}}, "EMPTY_SET"),
        (np.zeros(2, [("x", "f8")]), "V8"),
        (np.array(["2020-01-01"], "M8[D]"), "M8"),
        (Path("x"), "pathlib"),
        (1j, "builtins.complex"),
        ({(1, 2): 3}, "keys that are neither strings nor small numbers"),
        ({2.5: 3}, "keys that are neither"),
    ],
)
def test_what_is_not_plain_is_refused_by_its_name(tmp_path: Path, value: object, asked: str) -> None:
    (tmp_path / "bad.pkl").write_bytes(pickle.dumps(value))
    with pytest.raises(MotionError, match=asked):
        read_pickle(tmp_path / "bad.pkl")


def test_a_registered_extension_is_not_made(tmp_path: Path) -> None:
    copyreg.add_extension("os", "getcwd", 240)
    try:
        (tmp_path / "bad.pkl").write_bytes(b"\x80\x02\x82\xf0)R.")
        assert pickle.loads((tmp_path / "bad.pkl").read_bytes()) == os.getcwd()
        with pytest.raises(MotionError, match="EXT1"):
            read_pickle(tmp_path / "bad.pkl")
    finally:
        copyreg.remove_extension("os", "getcwd", 240)


def nested(depth: int) -> bytes:
    """A list of a list of … , each holding the one before it twice."""
    return (
        b"\x80\x02]q\x00K\x01a"
        + b"".join(
            b"]q" + bytes([level + 1]) + b"h" + bytes([level]) + b"ah" + bytes([level]) + b"a" for level in range(depth)
        )
        + b"."
    )


def claims(shape: str, data: bytes) -> bytes:
    head = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR(I1\n" + shape.encode()
    return head + b"cnumpy\ndtype\n(S'f8'\nI0\nI1\ntR(I3\nS'<'\nNNNI-1\nI-1\nI0\ntbI00\n" + data + b"tb."


def bombs() -> dict[str, bytes]:
    """Small streams that take much memory or time if they are believed."""
    storage = pickle.dumps(torch.zeros(1000).expand(10**9, 1000))
    copies = b"c_codecs\nencode\n(h\x00S'latin1'\ntR" * 3000
    return {
        "bytes that are not there": b"\x80\x04\x8e" + struct.pack("<Q", 2**40) + b"x.",
        "a bytearray that is not there": b"\x80\x05\x96" + struct.pack("<Q", 2**40) + b"x.",
        "a word that is not there": b"\x80\x04\x8d" + struct.pack("<Q", 2**40) + b"x.",
        "a frame that is not there": b"\x80\x04\x95" + struct.pack("<Q", 2**60) + b"\x8e" + struct.pack("<Q", 2**50),
        "a place in the memo": b"]r\xff\xff\xff\xff\x8e.",
        "a long integer": b"\x80\x02\x8b" + struct.pack("<i", 2**31 - 1) + b"x.",
        "a long integer in text": b"I" + b"9" * 1_000_000 + b"\n.",
        "an array": claims("(I1000000000000\nt", b"S'x'\n"),
        "an array of no bytes": claims("(I1000000\nI1000000\nt", b"S''\n"),
        "an array of negative size": claims("(I-8\nt", b"S''\n"),
        "an array of many axes": claims("(" + "I1\n" * 200 + "t", b"S'xxxxxxxx'\n"),
        "joblib's array": JOBLIB.replace(b"shape\x94K\x02K\x03\x86", b"shape\x94K\x02J\xff\xff\xff\x7f\x86"),
        "a list of itself": b"]q\x00h\x00a.",
        "a dict of itself": b"}q\x00S'a'\nh\x00s.",
        "lists that double": nested(30),
        "tuples that double, as a key": b"}" + b"K\x01" + b"2\x86" * 60 + b"K\x01s.",
        "lists in lists": b"]" * 100_000 + b"a" * 99_999 + b".",
        "marks": b"(" * 30_000 + b".",
        "objects": b"]" * 30_000 + b".",
        "remembered": b"\x80\x04]" + b"\x94" * 30_000 + b".",
        "words in a list": b"]" + b"S'" + b"x" * 100_000 + b"'\nq\x00a" + b"h\x00a" * 10_000 + b".",
        "copies of bytes": b"\x80\x02X" + struct.pack("<I", 200_000) + b"x" * 200_000 + b"q\x000]("[:2] + copies + b".",
        "an expanded tensor": storage,
    }


@pytest.mark.parametrize("name", bombs())
def test_what_a_file_claims_is_not_allocated(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pickle_stream, "_OBJECTS_FREE", 10_000)
    (tmp_path / "bad.pkl").write_bytes(bombs()[name])
    tracemalloc.start()
    try:
        with pytest.raises(MotionError):
            numbers_in({"a": read_pickle(tmp_path / "bad.pkl")}, "a")
        assert tracemalloc.get_traced_memory()[1] < 200e6
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("kind", ["zlib", "gzip", "bz2", "xz", "lzma"])
def test_a_file_that_expands_without_end_is_refused(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pickle_stream, "EXPANSION_FREE", 2**20)
    data = b"\x80\x04\x8e" + struct.pack("<Q", 3 * 10**7) + bytes(3 * 10**7) + b"."
    (tmp_path / "bad.pkl").write_bytes(WRITERS[kind](data))
    tracemalloc.start()
    try:
        with pytest.raises(MotionError, match="cut short or damaged"):
            read_pickle(tmp_path / "bad.pkl")
        assert tracemalloc.get_traced_memory()[1] < 10e6  # xz keeps 8 MiB
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("step", [b"N", b"N0", b"\x8c\x02ab"])
def test_a_small_file_of_endless_steps_is_refused(tmp_path: Path, step: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pickle_stream, "_STEPS_FREE", 10_000)
    (tmp_path / "bad.pkl").write_bytes(WRITERS["zlib"](b"\x80\x04" + step * 100_000 + b"."))
    with pytest.raises(MotionError, match="unfolds to more"):
        read_pickle(tmp_path / "bad.pkl")


def test_a_compressed_archive_of_torch_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bad.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", b"N.")
    with pytest.raises(MotionError, match="compressed"):
        read_pickle(tmp_path / "bad.pt")


def whole_files(folder: Path) -> list[bytes]:
    torch.save({"pose": torch.arange(12.0).reshape(3, 4)}, folder / "a.pt")
    plain = {"fps": 30, "dof": np.arange(12.0).reshape(3, 4), "names": ["a", "b"]}
    return [
        pickle.dumps(plain, 2),
        pickle.dumps(plain, 5),
        JOBLIB,
        zlib.compress(JOBLIB),
        (folder / "a.pt").read_bytes(),
    ]


@pytest.mark.parametrize("kind", range(5))
def test_a_file_cut_anywhere_is_refused(tmp_path: Path, kind: int) -> None:
    data = whole_files(tmp_path)[kind]
    for length in range(1, len(data), math.ceil(len(data) / 60)):
        (tmp_path / "cut.pkl").write_bytes(data[:length])
        with pytest.raises(MotionError):
            read_pickle(tmp_path / "cut.pkl")


@pytest.mark.parametrize("kind", range(5))
def test_a_damaged_file_is_read_or_refused(tmp_path: Path, kind: int) -> None:
    data = whole_files(tmp_path)[kind]
    rng = np.random.default_rng(kind)
    for _ in range(60):
        damaged = bytearray(data)
        for place in rng.integers(len(data), size=rng.integers(1, 4)):
            damaged[place] = rng.integers(256)
        (tmp_path / "bad.pkl").write_bytes(damaged)
        with contextlib.suppress(MotionError):  # and nothing else
            read_pickle(tmp_path / "bad.pkl")


def test_no_file_and_an_empty_one_are_told(tmp_path: Path) -> None:
    (tmp_path / "empty.pkl").touch()
    with pytest.raises(UserError, match="no such file"):
        read_pickle(tmp_path / "none.pkl")
    with pytest.raises(UserError, match="is empty"):
        read_pickle(tmp_path / "empty.pkl")


@pytest.mark.parametrize(
    "head", [b"x,y,z,qx\n1,2,3", b"HIERARCHY\nROOT", b"\x93NUMPY\x01\x00", b"PK\x03\x04", b"0.1,0.2", b""]
)
def test_other_files_are_no_pickles(head: bytes) -> None:
    assert not is_pickle(head)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (None, "a holds NoneType"),
        ("x", "a holds str"),
        ([1.0, "x"], "a holds list"),
        ([[1.0], [1.0, 2.0]], "rows of different lengths"),
        (np.array(["x"]), "a holds ndarray"),
        (np.array([1.0], object), "a holds ndarray"),
        ([True], "a holds list"),
        ([10**400], "integer too large"),
    ],
)
def test_what_is_no_array_of_numbers_is_told_with_its_key(value: object, told: str) -> None:
    with pytest.raises(MotionError, match=told):
        numbers_in({"a": value}, "a")


def test_numbers_are_found_by_key() -> None:
    held = {"list": [[1, 2.5], [3, np.float32(4)]], "one": np.array([30])}
    assert numbers_in(held, "list").tolist() == [[1, 2.5], [3, 4]]
    assert number_in(held, "one") == 30
    with pytest.raises(MotionError, match="lacks fps; it holds list, one"):
        number_in(held, "fps")
    with pytest.raises(MotionError, match=r"list has shape \(2, 2\), expected one number"):
        number_in(held, "list")
