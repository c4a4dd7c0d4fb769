"""Damage to files: each kind a function of the files and a random generator, so that a seed number repeats it.

Files are a dict of name to contents; most formats have one. A damage that does not fit (no text, no archive) leaves
them as they are.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import pickle
import pickletools
import re
import struct
import tarfile
import zipfile
from collections.abc import Callable
from contextlib import suppress
from random import Random

import numpy as np

Files = dict[str, bytes]
Damage = Callable[[bytes, Random], bytes]

LENGTHS = [
    0,
    1,
    2,
    0x7F,
    0x80,
    0xFF,
    0x7FFF,
    0x8000,
    0xFFFF,
    0x7FFFFFFF,
    0x80000000,
    0xFFFFFFFF,
    2**40,
    2**63 - 1,
    2**64 - 1,
]
WORDS = [
    *("nan", "inf", "-inf", "1e308", "-1e308", "1e-320", "1e999", "1e-999999999", "0", "-0", "-1", "1", "999999999999"),
    *("1_000", "0x1F", "½", "٣", "", " ", "+", "--1", "1e", "1,5", "1.2.3", "true", "None", "'", '"', "#", "%s", "{}"),
    *(
        "\x00",
        "\x1b[2J",
        "\u2028",
        "9" * 400,
        "1e" + "9" * 50,
        "A" * 5000,
        "HIERARCHY",
        "MOTION",
        "{",
        "}",
        "\n",
        "\r",
        ",",
    ),
]
NUMBERS = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0, 1e-320, 1e3, 1e16, 1e38, 1e154, 1e308, -1e308]
DTYPES = ["<f2", "<f4", "<f8", ">f8", "<i1", "<i8", "<u8", "?", "<c16", "<U3", "<S4", "<M8[s]", "<m8[s]", "V5"]
EVIL_NAMES = [
    "../../escaped.npy",
    "/escaped.npy",
    "..\\escaped.npy",
    "C:escaped.npy",
    "a/../../b.npy",
    "",
    ".",
    "\x00.npy",
]
LFS_POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 123456\n"
HEADS = [
    b"PK\x03\x04",
    b"PK\x05\x06" + bytes(18),
    b"\x93NUMPY\x01\x00",
    b"\x80\x04",
    b"\x1f\x8b",
    b"BZh9",
    b"HIERARCHY\n",
]


# Bytes of any file


def _span(length: int, rng: Random) -> slice:
    """Some bytes, often few."""
    start = rng.randrange(length + 1)
    return slice(start, min(length, start + rng.choice([1, 2, 4, 8, 64, 512, length])))


def flip_bits(data: bytes, rng: Random) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice([1, 1, 2, 8, 64]) if data else 0):
        changed[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def overwrite(data: bytes, rng: Random) -> bytes:
    span = _span(len(data), rng)
    fill = rng.choice([b"\x00", b"\xff", b" ", rng.randbytes(1)])
    return data[: span.start] + fill * (span.stop - span.start) + data[span.stop :]


def truncate(data: bytes, rng: Random) -> bytes:
    return data[: rng.randrange(len(data) + 1)]


def behead(data: bytes, rng: Random) -> bytes:
    return data[rng.randrange(len(data) + 1) :]


def remove(data: bytes, rng: Random) -> bytes:
    span = _span(len(data), rng)
    return data[: span.start] + data[span.stop :]


def repeat(data: bytes, rng: Random) -> bytes:
    span = _span(len(data), rng)
    return data[: span.stop] + data[span] * rng.choice([1, 1, 2, 30]) + data[span.stop :]


def insert(data: bytes, rng: Random) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] + rng.randbytes(rng.choice([1, 4, 100])) + data[at:]


def change_length_field(data: bytes, rng: Random) -> bytes:
    """An absurd integer somewhere, where lengths, offsets and counts may stand."""
    code = rng.choice(["<H", "<I", "<Q", ">I"])
    size = struct.calcsize(code)
    # headers are at the beginnings of members and at the end of the file
    places = [match.start() for match in re.finditer(rb"PK..|\x93NUMPY", data)] or [0]
    at = rng.choice([rng.randrange(len(data) + 1), min(len(data), rng.choice(places) + rng.randrange(48))])
    return data[:at] + struct.pack(code, rng.choice(LENGTHS) % 256**size) + data[at + size :]


def change_head(data: bytes, rng: Random) -> bytes:
    head = rng.choice(HEADS)
    return head + data[len(head) if rng.random() < 0.5 else 0 :]


def become_pointer(data: bytes, rng: Random) -> bytes:
    return truncate(LFS_POINTER, rng) if rng.random() < 0.3 else LFS_POINTER


def compress(data: bytes, rng: Random) -> bytes:
    return gzip.compress(data, 1) if rng.random() < 0.7 else bz2.compress(data, 1)


ANY: list[Damage] = [
    *(flip_bits, overwrite, truncate, behead, remove, repeat, insert),
    *(change_length_field, change_head, become_pointer, compress),
]


# Text


def _lines(data: bytes) -> list[bytes]:
    return data.splitlines(keepends=True)


def change_word(data: bytes, rng: Random) -> bytes:
    words = list(re.finditer(rb"[^\s,{}]+", data))
    for word in sorted(rng.sample(words, min(len(words), rng.choice([1, 1, 3]))), key=lambda match: -match.start()):
        data = data[: word.start()] + rng.choice(WORDS).encode() + data[word.end() :]
    return data


def change_lines(data: bytes, rng: Random) -> bytes:
    lines = _lines(data)
    if not lines:
        return data
    one, other = rng.randrange(len(lines)), rng.randrange(len(lines))
    match rng.randrange(6):
        case 0:
            del lines[one]
        case 1:
            lines[one:one] = [lines[other]] * rng.choice([1, 2, 500])
        case 2:
            lines[one], lines[other] = lines[other], lines[one]
        case 3:
            del lines[min(one, other) : max(one, other)]
        case 4:
            lines[one] = lines[one].rstrip() + b" " + lines[other]
        case _:
            lines[one] = lines[one][: rng.randrange(len(lines[one]) + 1)]
    return b"".join(lines)


def change_columns(data: bytes, rng: Random) -> bytes:
    """A column more or less, or one in another's place, in every line."""
    separator = b"," if b"," in data[:4096] else b" "
    rows = [line.split(separator) for line in data.splitlines()]
    width = max(map(len, rows), default=1)
    one, other, kind = rng.randrange(width), rng.randrange(width), rng.randrange(3)
    for row in rows:
        if max(one, other) < len(row):
            if kind == 0:
                del row[one]
            elif kind == 1:
                row.insert(one, row[other])
            else:
                row[one], row[other] = row[other], row[one]
    return b"\n".join(map(separator.join, rows)) + b"\n"


def change_encoding(data: bytes, rng: Random) -> bytes:
    text = data.decode(errors="replace")
    encoded = [text.encode(code, errors="replace") for code in ("utf-16", "utf-32-le", "utf-7", "cp1252", "utf-8-sig")]
    lines = [text.replace("\n", end).encode() for end in ("\r", "\r\n", "\x0b", "\u2028", "\x00", " ", "")]
    return rng.choice(encoded + lines)


def change_separator(data: bytes, rng: Random) -> bytes:
    old, new = rng.sample([b",", b" ", b";", b"\t", b".", b"-", b"\n"], 2)
    return data.replace(old, new, rng.choice([-1, 1, 30]))


TEXT: list[Damage] = [change_word, change_lines, change_columns, change_encoding, change_separator]


def change_frames(data: bytes, rng: Random) -> bytes:
    count = rng.choice(["-1", "0", "1", "999999999999", "1e9", "nan", "", "9" * 5000])
    return re.sub(rb"Frames:.*", b"Frames: " + count.encode(), data)


def change_frame_time(data: bytes, rng: Random) -> bytes:
    time = rng.choice(
        [
            "0",
            "-0.03",
            "nan",
            "-inf",
            "1e-300",
            "1e300",
            "1e-999999",
            "1e-99999999",
            "1e-999999999999999999",
            "1e999999",
        ]
        + ["0." + "0" * 4000 + "1", "0.03e", "", "sNaN", "0.0333333" + "3" * 3000, "5e-6", "1" + "0" * 4000]
    )
    return re.sub(rb"Frame Time:.*", b"Frame Time: " + time.encode(), data)


def change_hierarchy(data: bytes, rng: Random) -> bytes:
    """Braces, kinds of joints, names and channels that do not fit."""
    old, new = rng.choice(
        [(b"{", b""), (b"}", b""), (b"{", b"{{"), (b"}", b"}}"), (b"{", b"}"), (b"JOINT", b"ROOT"), (b"ROOT", b"JOINT")]
        + [
            (b"JOINT", b"End Site"),
            (b"End Site", b"JOINT End"),
            (b"OFFSET", b"CHANNELS"),
            (b"CHANNELS 3", b"CHANNELS 6"),
        ]
        + [(b"Xrotation", b"Yrotation"), (b"Zrotation", b"Zposition"), (b"CHANNELS 3", b"CHANNELS 99999999999")]
        + [(b"Left", b"Right"), (b"Hips", b"Spine"), (b"Spine", b"Spine2"), (b"rotation", b"position")]
    )
    places = [match.start() for match in re.finditer(re.escape(old), data)]
    for place in sorted(rng.sample(places, min(len(places), rng.choice([1, 1, 5, 99]))), reverse=True):
        data = data[:place] + new + data[place + len(old) :]
    return data


def nest(data: bytes, rng: Random) -> bytes:
    """Joints within joints, deeper than any stack of calls."""
    depth = rng.choice([10, 3000])
    opening = b"".join(b"JOINT j%d\n{\nOFFSET 0 1 0\nCHANNELS 0\n" % level for level in range(depth))
    return data.replace(b"JOINT", opening + b"}\n" * (depth if rng.random() < 0.5 else 0) + b"JOINT", 1)


def change_size(data: bytes, rng: Random) -> bytes:
    """Other units: every offset, or every value of the motion, times a number."""
    factor = rng.choice([0.0, 1e-300, 1e-6, 0.01, 10.0, 1e6, 1e150, 1e308, -1.0])

    def scaled(match: re.Match[bytes]) -> bytes:
        return match[1] + b" ".join(b"%r" % (factor * float(word)) for word in match[2].split()) + b"\n"

    try:
        return re.sub(rb"(OFFSET )(.*)\n", scaled, data)
    except ValueError:
        return data


BVH: list[Damage] = [change_frames, change_frame_time, change_hierarchy, nest, change_size]


# NPY and NPZ


def _npy(values: np.ndarray, *, objects: bool = False) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, values, allow_pickle=objects)
    return buffer.getvalue()


def _header(text: str, data: bytes = b"", version: tuple[int, int] = (1, 0)) -> bytes:
    length = struct.pack("<H" if version == (1, 0) else "<I", len(text))
    return b"\x93NUMPY" + bytes(version) + length + text.encode("latin1", errors="replace") + data


def change_values(data: bytes, rng: Random) -> bytes:
    values = np.array(_load(data))
    if values.dtype.kind not in "fiu" or not values.size:
        return data
    flat = values.reshape(-1)
    number = rng.choice(NUMBERS)
    with np.errstate(all="ignore"):
        match rng.randrange(4):
            case 0:
                flat[rng.randrange(len(flat))] = number if values.dtype.kind == "f" else 0
            case 1:
                flat[:] = number if values.dtype.kind == "f" else 2**62
            case 2:
                flat[rng.randrange(len(flat)) :] *= np.array(-1).astype(values.dtype)
            case _:
                flat[:] = flat * number if values.dtype.kind == "f" else 0
    return _npy(values)


def change_type(data: bytes, rng: Random) -> bytes:
    values = _load(data)
    with np.errstate(all="ignore"):
        return _npy(values.astype(rng.choice(DTYPES)))


def change_shape(data: bytes, rng: Random) -> bytes:
    values = _load(data)
    changes: list[Callable[[], np.ndarray]] = [
        *(lambda: values.T, lambda: values[None], lambda: values[..., None], lambda: values.reshape(-1)),
        *(
            lambda: values[:0],
            lambda: values[:1],
            lambda: values[:-1],
            lambda: values[..., :-1],
            lambda: values[..., :0],
        ),
        lambda: np.repeat(values, rng.choice([2, 40]), axis=0),
        lambda: np.concatenate([values, values], axis=-1),
        lambda: values.reshape(values.shape + (1,) * (30 - values.ndim)),
        lambda: values.reshape(-1)[0],
        lambda: np.asfortranarray(values),
    ]
    return _npy(np.array(rng.choice(changes)()))


def change_letters(data: bytes, rng: Random) -> bytes:
    """Letters that there are not, where there are words."""
    values = _load(data)
    if values.dtype.kind != "U":
        return data
    codes = np.frombuffer(values.tobytes(), "<u4").copy()
    codes[rng.randrange(len(codes))] = rng.choice([0xD800, 0x110000, 0x7FFFFFFF, 0xFFFFFFFF, 0, 0x1B])
    return _header(
        f"{{'descr': {values.dtype.str!r}, 'fortran_order': False, 'shape': {values.shape}, }}\n", codes.tobytes()
    )


def hold_objects(data: bytes, rng: Random) -> bytes:
    """An array of Python objects, which only a pickle can hold: one that runs code."""
    values = np.empty(1, dtype=object)
    values[0] = Payload()
    return rng.choice(
        [_npy(values, objects=True), _header("{'descr': '|O', 'fortran_order': False, 'shape': (), }\n", PICKLED)]
    )


def lie_in_header(data: bytes, rng: Random) -> bytes:
    """A header that does not fit what follows, or that is none."""
    shape = rng.choice(
        ["(10**9,)", "(1000000000000,)", "(1000000000, 36)", "(-1,)", "(0, 0)", "()", "('a',)", "(1.5,)", "[3]"]
    )
    shape = rng.choice([shape, shape, f"({2**63},)", f"({2**31}, {2**31}, {2**31})", "(True,)", "((1,),)", "(1," * 50])
    kind = rng.choice(
        ["'<f8'", "'<f4'", "'|O'", "'<U99999999'", "'V0'", "'<f8,<f8'", "[('a', '<f8')]", "'junk'", "'|S0'", "8"]
    )
    text = f"{{'descr': {kind}, 'fortran_order': {rng.choice(['False', 'True', '1'])}, 'shape': {shape}, }}"
    text = rng.choice(
        [text] * 6 + ["-" * 9000 + "1", "(" * 5000, "{", "", "[" * 90 + "]" * 90, "'\\x", text + " " * 9000]
    )
    start = data.find(b"\n") + 1
    return _header(text + "\n", data[start:], rng.choice([(1, 0), (1, 0), (2, 0), (3, 0), (9, 9)]))


NPY: list[Damage] = [
    change_values,
    change_values,
    change_type,
    change_shape,
    change_letters,
    hold_objects,
    lie_in_header,
]


def _load(data: bytes) -> np.ndarray:
    return np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)


def _unzip(data: bytes) -> list[tuple[str, bytes]]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return [(info.filename, archive.read(info)) for info in archive.infolist()]


def _zip(members: list[tuple[str, bytes]], method: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in members:
            info = zipfile.ZipInfo("x")
            info.filename, info.compress_type = name, method  # as it is, unchecked
            archive.writestr(info, content)
    return buffer.getvalue()


def change_member(data: bytes, rng: Random) -> bytes:
    """Damage to one array of an archive."""
    members = _unzip(data)
    index = rng.randrange(len(members))
    name, content = members[index]
    members[index] = name, rng.choice([*NPY, *NPY, *ANY])(content, rng)
    return _zip(members)


def change_members(data: bytes, rng: Random) -> bytes:
    members = _unzip(data)
    one, other = rng.randrange(len(members)), rng.randrange(len(members))
    match rng.randrange(7):
        case 0:
            del members[one]
        case 1:
            swapped = members[one][0], members[other][1]
            members[other] = members[other][0], members[one][1]
            members[one] = swapped
        case 2:
            members.append((members[one][0], members[other][1]))
        case 3:
            members[one] = rng.choice([*EVIL_NAMES, "ö.npy", "a" * 60000, members[one][0].upper()]), members[one][1]
        case 4:
            members.append((rng.choice(EVIL_NAMES), members[one][1]))
        case 5:
            copies = min(3000, 4_000_000 // (len(members[one][1]) + 1))  # a bomb copied would fill this machine
            members = [(f"key{number}.npy", members[one][1]) for number in range(copies)] + members
        case _:
            members[one] = members[one][0].removesuffix(".npy"), members[one][1]
    return _zip(members)


def change_compression(data: bytes, rng: Random) -> bytes:
    """Another method, then perhaps damage to what is compressed; or flags that promise a password."""
    packed = _zip(_unzip(data), rng.choice([zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]))
    if rng.random() < 0.3:
        field = rng.choice([6, 8])  # flags, method; they stand at the same distance in the directory, two further on
        value = struct.pack("<H", rng.choice([1, 8, 9, 12, 14, 97, 99, 0x800, 0xFFFF]))
        for mark, at in ((b"PK\x03\x04", field), (b"PK\x01\x02", field + 2)):
            packed = re.sub(rb"(?s)" + re.escape(mark) + b"." * (at - 4) + b"..", lambda m: m[0][:-2] + value, packed)
        return packed
    return flip_bits(packed, rng) if rng.random() < 0.5 else packed


def bomb(data: bytes, rng: Random) -> bytes:
    """An array of zeros that is small in the archive and large outside."""
    members = _unzip(data)
    index = rng.randrange(len(members))
    rows = rng.choice([2_000, 40_000, 120_000])
    width = rng.choice(["", "29, ", "30, 3, "])
    header = _header(f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {width}), }}\n")
    size = 4 * rows * int(np.prod([int(word) for word in re.findall(r"\d+", width)] or [1]))
    members[index] = members[index][0], header + bytes(size)
    return _zip(members, zipfile.ZIP_DEFLATED)


NPZ: list[Damage] = [*[change_member] * 4, change_members, change_members, change_compression, bomb]


# Pickles


class Payload:
    """Something whose pickle runs code where it is loaded: it leaves a file."""

    def __reduce__(self) -> tuple:
        return open, (CANARY, "w")


CANARY = "canary"
PICKLED = pickle.dumps(Payload())
EVIL_OPCODES = [
    PICKLED[:-1],
    b"cposix\nsystem\n(S'touch canary'\ntR",
    b'cbuiltins\nexec\n(S\'open("canary", "w")\'\ntR',
    b'cbuiltins\neval\n(S\'open("canary", "w")\'\ntR',
    b"(S'touch canary'\nios\nsystem\n",
    b"c__main__\n__builtins__\n",
    b"cnumpy\nload\n(S'x'\ntR",
    b"cnumpy.lib.npyio\nDataSource\n)R",
    b"cpathlib\nPosixPath.touch\n(cpathlib\nPosixPath\n(S'canary'\ntRtR",
    b"\x80\x04\x8c\x08builtins\x8c\x04open\x93\x8c\x06canary\x8c\x01w\x86R",
    b"\x8e\xff\xff\xff\xff\xff\xff\xff\x7f",  # BINBYTES8 of 2**63 bytes
    b"\x8b\xff\xff\xff\x7f",  # LONG4 of 2**31 bytes
    b"\x96\x00\x00\x00\x00\x01\x00\x00\x00",  # BYTEARRAY8 of 2**32 bytes
    b"\x95\xff\xff\xff\xff\xff\xff\xff\x7f",  # a frame of 2**63 bytes
    b"r\xff\xff\xff\x7f",  # a memo place of 2**31
    b"(" * 2000,
    b"]" * 100_000,
    b"\x80\xff",
    b"P1\n",
    b"\x82\x01",
]


def run_code(data: bytes, rng: Random) -> bytes:
    evil = rng.choice(EVIL_OPCODES)
    at = rng.choice([0, 2, 11, rng.randrange(len(data) + 1), max(0, len(data) - 1)])
    return data[:at] + evil + rng.choice([b"", b"0", b"."]) + data[at:]


class _Tame(pickle.Unpickler):
    """Loads our own pickles, and no damaged one that would run code here."""

    def find_class(self, module: str, name: str) -> object:
        if module.startswith("numpy") and name in ("_reconstruct", "ndarray", "dtype", "scalar", "_frombuffer"):
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"{module}.{name}")


def _unpickle(data: bytes) -> object:
    for opcode, argument, _ in pickletools.genops(data):  # raises where a length is more than there is
        if "PUT" in opcode.name and isinstance(argument, int) and argument > 1e5:
            raise ValueError("a memo that takes gigabytes")
    return _Tame(io.BytesIO(data)).load()


def change_pickled(data: bytes, rng: Random) -> bytes:
    """A value of the pickled containers in place of another."""
    thing = _unpickle(data)
    places: list[tuple[dict, object]] = []

    def walk(value: object) -> None:
        if isinstance(value, dict):
            for key, below in value.items():
                places.append((value, key))
                walk(below)

    walk(thing)
    if not places:
        return data
    owner, key = rng.choice(places)
    value = owner[key]
    others: list[object] = [
        None,
        -1,
        0,
        "",
        "x",
        [],
        {},
        [[1, [2]]],
        np.nan,
        10**400,
        1e308,
        b"\xff",
        Payload(),
        set(),
        1j,
        {"a": 1},
    ]
    if isinstance(value, np.ndarray):
        damaged = rng.choice(NPY)(_npy(value), rng)
        try:
            owner[key] = _load(damaged)
        except ValueError:
            owner[key] = rng.choice(others)
    elif rng.random() < 0.3:
        del owner[key]
    else:
        owner[key] = rng.choice(others)
    return pickle.dumps(thing, rng.choice([0, 1, 2, 3, 4, 5]))


PICKLE: list[Damage] = [run_code, run_code, change_pickled, change_pickled]


def change_torch_member(data: bytes, rng: Random) -> bytes:
    """Damage to the pickle in a torch archive, or to what it stores beside."""
    members = _unzip(data)
    pickles = [index for index, (name, _) in enumerate(members) if name.endswith(".pkl")]
    index = rng.choice([*pickles * len(members), *range(len(members))])
    name, content = members[index]
    damages = [run_code, *ANY] if index in pickles else ANY
    members[index] = name, rng.choice(damages)(content, rng)
    return _zip(members)


TORCH: list[Damage] = [*[change_torch_member] * 3, change_members, change_compression]


# Archives

OUTSIDE = [
    "../escaped",
    "/tmp/escaped",
    "set/../../escaped",
    "..\\escaped",
    "./../escaped",
    "set/..",
    "C:escaped",
    "//escaped",
]


def add_members(data: bytes, rng: Random) -> bytes:
    """Members behind those that are there: outside, through links, devices, over others, larger than they are."""
    buffer = io.BytesIO()
    form = rng.choice([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
    with (
        tarfile.open(fileobj=io.BytesIO(data)) as tar,
        tarfile.open(fileobj=buffer, mode="w:", format=form) as out,
    ):
        members = [(info, tar.extractfile(info)) for info in tar]
        evil = []
        for _ in range(rng.choice([1, 2, 3])):
            name = rng.choice(
                [*OUTSIDE, "set/new", "set/a.npz", "set/inner", "set/a.npz/b", "set", ".", "a\nb", "x" * 300]
            )
            info = tarfile.TarInfo(name)
            info.type = rng.choice(
                [*[tarfile.REGTYPE] * 4, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE]
                + [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, tarfile.CONTTYPE, tarfile.GNUTYPE_SPARSE, b"Z"]
            )
            info.linkname = rng.choice([*OUTSIDE, "set", "a.npz", "set/a.npz", "/etc/passwd", "."])
            info.mode = rng.choice([0o644, 0o7777, 0])
            info.uid = info.gid = rng.choice([0, 2**31, 65534])
            if rng.random() < 0.3:
                info.pax_headers = {
                    rng.choice(["path", "linkpath", "size", "GNU.sparse.name", "GNU.sparse.realsize"]): name
                }
            body = rng.randbytes(64) if info.type == tarfile.REGTYPE else b""
            info.size = len(body)
            evil.append((info, io.BytesIO(body)))
            if info.type == tarfile.SYMTYPE and rng.random() < 0.7:  # a file behind the link
                behind = tarfile.TarInfo(f"{name}/escaped" if rng.random() < 0.7 else name)
                behind.size = 64
                evil.append((behind, io.BytesIO(bytes(64))))
        at = rng.randrange(len(members) + 1)
        for info, content in [*members[:at], *evil, *members[at:]]:
            out.addfile(info, content)
    return rng.choice([bytes, gzip.compress, bz2.compress, lzma.compress])(buffer.getvalue())


def change_tar_header(data: bytes, rng: Random) -> bytes:
    """A field of a header, with the checksum made good."""
    blocks = bytearray(_unpacked(data))
    heads = [at for at in range(0, len(blocks) - 511, 512) if blocks[at + 257 : at + 262] == b"ustar"]
    if not heads:
        return data
    at = rng.choice(heads)
    start, length = rng.choice(
        [(0, 100), (100, 8), (108, 8), (116, 8), (124, 12), (136, 12), (156, 1), (157, 100), (345, 155)]
    )
    value = rng.choice(
        [
            b"7" * length,
            b"\x80" + b"\xff" * (length - 1),
            b"\xff" * length,
            b"-1",
            b"../../escaped",
            b"/escaped",
            b"",
            b" ",
        ]
        + [b"\x80" + bytes(length - 5) + b"\x7f\xff\xff\xff", bytes([rng.randrange(256)]), b"77777777777"]
    )
    blocks[at + start : at + start + length] = value[:length].ljust(length, b"\x00")
    blocks[at + 148 : at + 156] = b" " * 8
    blocks[at + 148 : at + 156] = b"%06o\x00 " % sum(blocks[at : at + 512])
    return bytes(blocks)


def _unpacked(data: bytes) -> bytes:
    for unpack in (gzip.decompress, bz2.decompress, lzma.decompress):
        try:
            return unpack(data)
        except (OSError, ValueError, EOFError, lzma.LZMAError):
            continue
    return data


def tar_bomb(data: bytes, rng: Random) -> bytes:
    """A file that is small in the archive and large outside."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        info = tarfile.TarInfo("set/large")
        info.size = rng.choice([10**6, 3 * 10**7, 10**15])
        with suppress(OSError):  # where it holds less than it promises
            tar.addfile(info, io.BytesIO(bytes(min(info.size, 3 * 10**7))))
    return buffer.getvalue()


TAR: list[Damage] = [add_members, add_members, add_members, change_tar_header, change_tar_header, tar_bomb]


# JSON


def change_json(data: bytes, rng: Random) -> bytes:
    word = rng.choice(["null", "-1", "1e999", "NaN", '"x"', "[]", "{}", "[" * 100_000, "9" * 5000, "true"])
    values = list(re.finditer(rb'(?<=:)\s*("[^"]*"|[-\d.eE]+|\[|\{|null|true|false)', data))
    if not values:
        return data
    value = rng.choice(values)
    return data[: value.start()] + word.encode() + data[value.end() :]


JSON: list[Damage] = [change_json]

BY_KIND: dict[str, list[Damage]] = {
    "text": TEXT,
    "bvh": [*TEXT, *BVH],
    "npy": NPY,
    "npz": NPZ,
    "pickle": PICKLE,
    "torch": TORCH,
    "tar": TAR,
    "json": [*TEXT, *JSON],
}


# A folder of files


def drop_file(files: Files, rng: Random) -> None:
    del files[rng.choice(sorted(files))]


def swap_files(files: Files, rng: Random) -> None:
    one, other = rng.choice(sorted(files)), rng.choice(sorted(files))
    files[one], files[other] = files[other], files[one]


def empty_file(files: Files, rng: Random) -> None:
    files[rng.choice(sorted(files))] = b""


FOLDER: list[Callable[[Files, Random], None]] = [drop_file, swap_files, empty_file]
