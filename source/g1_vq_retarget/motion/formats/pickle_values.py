"""What a pickle may hold: numbers, words, containers and arrays, and the calls that numpy, joblib and torch make."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from g1_vq_retarget.motion.clip import MotionError
from g1_vq_retarget.motion.formats.npz import has_letters
from g1_vq_retarget.motion.formats.pickle_stream import Budget

# What it makes may unfold to so many numbers and words, and to so many more per byte of the file.
_LEAVES_FREE, _LEAVES_PER_BYTE = 1_000_000, 2
# Containers may be nested so deeply, and arrays have so many axes.
_DEPTH = 32
_DTYPE = re.compile(r"[<>|=]?([biufc]\d{1,2}|[SU]\d{1,5}|O8?)")
# numpy's name for what torch stores; bfloat16 is the upper half of a float32
STORAGES = {
    "DoubleStorage": "<f8",
    "FloatStorage": "<f4",
    "HalfStorage": "<f2",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "?",
}


@dataclass(frozen=True, slots=True)
class Name:
    """A class or function that the stream asked for by name."""

    name: str


@dataclass(slots=True)
class Placeholder:
    """A value that is known later, of the kind that a class's name says."""

    kind: str
    value: Any = None


@dataclass(slots=True)
class Storage:
    """The memory of torch tensors."""

    dtype: str
    count: int
    data: bytes | None = None


@dataclass(frozen=True, slots=True)
class _Tensor:
    """A view of a storage, which in old files follows the tensors."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]

    def array(self) -> np.ndarray:
        storage = self.storage
        if storage.data is None:
            raise MotionError("holds a torch tensor without its numbers")
        brief = storage.dtype == "bfloat16"
        flat = np.frombuffer(storage.data, "<u2" if brief else storage.dtype)
        count = count_of(self.shape)
        last = self.offset + sum((size - 1) * step for size, step in zip(self.shape, self.stride, strict=True))
        # an expanded tensor is larger than its storage: what it would take is not allocated
        if count and not (min(self.stride, default=0) >= 0 and 0 <= self.offset <= last < len(flat) >= count):
            raise MotionError(f"holds a torch tensor of shape {self.shape} in a storage of {len(flat)} numbers")
        steps = tuple(step * flat.itemsize for step in self.stride)
        view = np.lib.stride_tricks.as_strided(flat[self.offset :], self.shape, steps) if count else flat[:0]
        values = np.ascontiguousarray(view).reshape(self.shape)
        return (values.astype("<u4") << 16).view("<f4") if brief else values


def resolved(value: Any, budget: Budget) -> Any:
    """A tree of plain values without placeholders. The budget bounds how much it may unfold to.

    Shared parts stand for as many copies as there are references to them, as they would in an array made of the tree.
    """
    done: dict[int, tuple[Any, int]] = {}
    most = _LEAVES_FREE + _LEAVES_PER_BYTE * budget.size

    def resolve(value: Any, depth: int) -> tuple[Any, int]:
        if isinstance(value, (str, bytes)):
            return value, 1 + len(value) // 8
        if isinstance(value, (int, float, np.generic, type(None))):
            return value, 1
        if id(value) in done:
            return done[id(value)]
        if depth > _DEPTH:
            raise MotionError(f"nests its containers more than {_DEPTH} deep: not read")
        # found again below, it is inside itself
        done[id(value)] = value, most + 1
        weight = 1
        if isinstance(value, _Tensor):
            made = value.array()
            budget.spend(made.nbytes)
            weight = made.size
        elif isinstance(value, Placeholder):
            if value.kind == "dtype" or value.value is None:
                raise MotionError(f"holds a {value.kind} that is no array")
            made, weight = resolve(value.value, depth + 1)
        elif isinstance(value, np.ndarray):
            made, weight = value, value.size
            if value.dtype.hasobject:
                made = np.empty(value.shape, object)
                for index, item in enumerate(value.flat):
                    made.flat[index], more = resolve(item, depth + 1)
                    weight += more
        elif isinstance(value, dict):
            made = {}
            for key, item in value.items():
                made[key], more = resolve(item, depth + 1)
                weight += more
        elif isinstance(value, (list, tuple)):
            items = [resolve(item, depth + 1) for item in value]
            made = type(value)(item for item, _ in items)
            weight += sum(more for _, more in items)
        elif isinstance(value, Name):
            raise refused(value.name)
        else:
            raise MotionError("holds a torch storage outside a tensor: not read")
        if weight > most:
            raise MotionError("holds itself, or unfolds to far more than its size: not read")
        done[id(value)] = made, weight
        return made, weight

    return resolve(value, 0)[0]


def refused(name: str) -> MotionError:
    return MotionError(
        f"holds {name[:100]!r}: not read, since only numbers, strings, lists, dicts and arrays are taken from a pickle"
    )


def named(module: str, name: str) -> Name:
    full = f"{module}.{name}"
    for old, new in _RENAMED.items():
        if full.startswith(old):
            full = new + full[len(old) :]
    if full not in _KNOWN:
        raise refused(f"{module}.{name}")
    return Name(full)


def plain_dict(pairs: Any) -> dict[Any, Any]:
    made = {}
    for key, value in pairs:
        # other keys may be slow to hash, or made to collide
        if not isinstance(key, (str, bytes)) and not (type(key) is int and abs(key) < 2**31):
            raise MotionError("holds a dict with keys that are neither strings nor small numbers: not read")
        made[key] = value
    return made


def count_of(shape: Any) -> int:
    sizes = isinstance(shape, tuple) and len(shape) <= _DEPTH
    if not sizes or not all(type(size) is int and 0 <= size < 2**48 for size in shape):
        raise MotionError("holds an array whose shape is no tuple of sizes")
    return math.prod(shape)


def dtype_of(value: Any) -> np.dtype:
    if not isinstance(value, Placeholder) or value.kind != "dtype":
        raise MotionError("holds an array whose type is none")
    return value.value


def array_of(data: Any, dtype: np.dtype, shape: Any, order: Any) -> np.ndarray:
    """An array over bytes that must be exactly its own, or over a list of objects."""
    count = count_of(shape)
    if order not in ("C", "F"):
        raise MotionError("holds an array in an order that is neither C nor F")
    if dtype.hasobject:
        if not isinstance(data, list) or len(data) != count:
            raise MotionError(f"holds an array of objects of shape {shape} without as many objects")
        flat = np.empty(count, object)
        for index, item in enumerate(data):
            flat[index] = item
    else:
        # Python 2 wrote bytes as strings of Latin-1
        data = data.encode("latin-1") if isinstance(data, str) else data
        if not isinstance(data, bytes) or len(data) != count * dtype.itemsize:
            held = len(data) if isinstance(data, bytes) else "no"
            raise MotionError(f"holds {held} bytes for an array of shape {shape} of {dtype}: is damaged")
        if not has_letters(data, dtype):
            raise MotionError("holds words of letters that there are not: is damaged")
        flat = np.frombuffer(data, dtype)
        if not dtype.isnative:  # torch takes no other
            flat = flat.astype(dtype.newbyteorder("="))
    return flat.reshape(shape, order=order)


def _make_dtype(code: Any, align: Any = False, copy: Any = False) -> Placeholder:
    if not isinstance(code, str) or not _DTYPE.fullmatch(code):
        # a value that is no string is not told: nested containers may be endless to print
        told = repr(code[:20]) if isinstance(code, str) else "an unknown type"
        raise MotionError(f"holds an array of {told}: not read")
    dtype = np.dtype(code)
    if dtype.itemsize == 0:
        raise MotionError("holds an array of words without letters: not read")
    return Placeholder("dtype", dtype)


def _scalar(dtype: Any, data: Any) -> Any:
    if dtype_of(dtype).hasobject:
        raise MotionError("holds a numpy scalar that is an object: not read")
    return array_of(data, dtype_of(dtype), (), "C")[()]


def _from_buffer(data: Any, dtype: Any, shape: Any, order: Any) -> np.ndarray:
    if dtype_of(dtype).hasobject:
        raise MotionError("holds an array of objects in a buffer: is damaged")
    return array_of(data, dtype_of(dtype), shape, order)


def _encode(text: Any, encoding: Any) -> bytes:
    # how Python 3 writes bytes for Python 2
    if encoding not in ("latin1", "latin-1") or not isinstance(text, str):
        raise MotionError("holds bytes in an unknown encoding")
    return text.encode("latin-1")


def _bytes(data: Any = b"") -> bytes:
    if not isinstance(data, bytes):
        raise MotionError("holds bytes that are none")
    return data


def _ndarray(shape: Any, code: Any, data: Any) -> np.ndarray:
    # how `plain_pickle` writes arrays
    return _from_buffer(data, _make_dtype(code), shape, "C")


def _reconstructed(kind: Any, base: Any, state: Any) -> Placeholder:
    # protocols 0 and 1 make joblib's wrapper so
    if not isinstance(kind, Name) or kind.name != "joblib.numpy_pickle.NumpyArrayWrapper":
        raise MotionError("makes an object that is no array: not read")
    return Placeholder("joblib")


def _tensor(storage: Any, offset: Any, shape: Any, stride: Any, *unused: Any) -> _Tensor:
    """`torch._utils._rebuild_tensor` and `_rebuild_tensor_v2`; gradients and hooks are left away."""
    count_of(shape)
    if not isinstance(storage, Storage) or type(offset) is not int or not isinstance(stride, tuple):
        raise MotionError("holds a torch tensor that is none")
    if len(stride) != len(shape) or not all(type(step) is int for step in stride):
        raise MotionError("holds a torch tensor that is none")
    return _Tensor(storage, offset, shape, stride)


def _size(sizes: Any = ()) -> tuple[int, ...]:
    count_of(sizes)
    return sizes


CALLS: dict[str, Callable[..., Any]] = {
    "numpy.core.multiarray._reconstruct": lambda kind, shape, code: Placeholder("ndarray"),
    "numpy.core.multiarray.scalar": _scalar,
    "numpy.core.numeric._frombuffer": _from_buffer,
    "numpy.dtype": _make_dtype,
    "numpy.ndarray": _ndarray,
    "joblib.numpy_pickle.NumpyArrayWrapper": lambda: Placeholder("joblib"),
    "copyreg._reconstructor": _reconstructed,
    "_codecs.encode": _encode,
    "builtins.bytes": _bytes,
    "builtins.bytearray": _bytes,
    "collections.OrderedDict": lambda pairs=(): plain_dict(pairs),
    "collections.defaultdict": lambda factory=None, pairs=(): plain_dict(pairs),
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": lambda data, requires_grad, hooks: data,
    "torch.Size": _size,
}
# What stands as an argument of these and is never called.
_KNOWN = {
    *CALLS,
    "torch.storage._load_from_bytes",
    "numpy.memmap",
    "builtins.object",
    *(f"builtins.{kind}" for kind in ("dict", "list", "int", "float", "str", "tuple")),
    *(f"torch.{storage}" for storage in STORAGES),
}
_RENAMED = {
    "numpy._core.": "numpy.core.",
    "numpy.core.memmap.memmap": "numpy.memmap",
    "__builtin__.": "builtins.",
    "copy_reg.": "copyreg.",
    "sklearn.externals.joblib.": "joblib.",
}
