"""Other people's pickles, read without running them: plain pickles, joblib's files, torch's `.pt`.

A pickle is a program. This module does not run it with restrictions, it reads it: `pickletools` (Python's own) takes
the stream apart, and what follows builds numbers, strings, containers and arrays from it and knows no other values. A
class or function that the stream asks for is only ever a name here. The few names in `CALLS`, which numpy, joblib,
torch and Python's own containers write, stand for code of ours; any other is refused by its name. So is a size that the
file cannot hold, before anything is allocated: `pickle.Unpickler` and `torch.load` allocate what a header claims.

Sources: the opcodes in CPython's Lib/pickletools.py; `NumpyArrayWrapper` in joblib/numpy_pickle.py; `_legacy_load` and
`_load` in torch/serialization.py.
"""

from __future__ import annotations

import io
import pickletools
import re
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, Any, Protocol, cast

import numpy as np

from g1_vq_retarget.files import existing_file
from g1_vq_retarget.motion.clip import MotionError
from g1_vq_retarget.motion.formats.npz import refusing_damage, some_of
from g1_vq_retarget.motion.formats.pickle_stream import (
    EXPANSION,
    EXPANSION_FREE,
    Budget,
    Source,
    compression_of,
    source_of,
)
from g1_vq_retarget.motion.formats.pickle_values import (
    CALLS,
    STORAGES,
    Name,
    Placeholder,
    Storage,
    array_of,
    count_of,
    dtype_of,
    named,
    plain_dict,
    refused,
    resolved,
)

_TORCH_MAGIC = 0x1950A86A20F9469CFC6C


def is_pickle(head: bytes) -> bool:
    """Whether a file that begins with these bytes (16 are enough) may be a pickle, plain or compressed.

    torch's `.pt` files are ZIP archives, and told from NPZ by a member `data.pkl`: see `is_torch_archive`.
    """
    binary = len(head) > 1 and head[0] == 0x80 and head[1] <= 5
    # protocols 0 and 1 have no header, and all files read here hold a dict or a list
    return binary or head.startswith((b"(dp", b"(lp", b"}q", b"]q")) or compression_of(head) is not None


def is_torch_archive(members: Iterable[str]) -> bool:
    """Whether a ZIP archive of these members is a file of `torch.save`."""
    return any(name == "data.pkl" or name.endswith("/data.pkl") for name in members)


def read_pickle(path: str | Path) -> object:
    """The contents of a pickle, a joblib file (compressed or not) or a `.pt` file: no code in it is run.

    Returns:
        None, bool, int, float, str, bytes, list, tuple, dict (OrderedDict and defaultdict too; its keys are strings,
        bytes or small integers), and numpy arrays and scalars. Torch tensors come as arrays; bfloat16 as float32.
        Arrays may be read-only. An array of objects is a numpy array of the above.

    Raises:
        UserError: no file there, or it is empty.
        MotionError: it is damaged or cut short, or asks for anything else, which is named. Does not name the file: put
            it in `checks.naming`.
    """
    path = existing_file(path)
    with refusing_damage("a whole pickle"), path.open("rb") as file:
        size = path.stat().st_size
        if file.read(2) == b"PK":
            with zipfile.ZipFile(file) as archive:
                return _torch_archive(archive, Budget(size))
        return _stream(source_of(file, size))


class _PersistentLoad(Protocol):
    def __call__(self, identity: object, /) -> object: ...


def _refuse_persistent(identity: object) -> object:
    raise MotionError("refers to objects outside the pickle")


_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_PLAIN = re.compile("(SHORT_|LONG_)?(BIN)?(INT|LONG|FLOAT|STRING|UNICODE|BYTES)[1248]?")
_NUMBERS_AND_WORDS = frozenset(opcode.name for opcode in pickletools.opcodes if _PLAIN.fullmatch(opcode.name))


class _Reader:
    """One pickle's stack machine."""

    def __init__(
        self, source: Source, persistent_load: _PersistentLoad = _refuse_persistent, *, nested: bool = False
    ) -> None:
        self.source = source
        self.nested = nested
        self._persistent_load = persistent_load
        self._stack: list[Any] = []
        self._marks: list[list[Any]] = []
        self._memo: dict[int, Any] = {}

    def read(self) -> object:
        """What the stream builds, still with placeholders; the source is left where the pickle ends."""
        try:
            for opcode, arg, _ in pickletools.genops(cast(IO[bytes], self.source)):
                self.source.budget.step()
                if opcode.name in _NUMBERS_AND_WORDS:
                    self._stack.append(arg)
                elif opcode.name != "STOP":
                    self._do(opcode.name, arg)
            return self._stack.pop()
        except IndexError:
            raise MotionError("is damaged: its stack is empty") from None

    def _do(self, opcode: str, arg: Any) -> None:
        stack = self._stack
        match opcode:
            case "PROTO" | "FRAME":
                pass
            case "NONE" | "NEWTRUE" | "NEWFALSE":
                stack.append(_CONSTANTS[opcode])
            case "BYTEARRAY8":
                stack.append(bytes(arg))
            case "MARK":
                self._marks.append(stack)
                self._stack = self._made([])
            case "POP":
                # an empty stack since the mark: the mark is what is popped
                if stack:
                    stack.pop()
                else:
                    self._since_mark()
            case "POP_MARK":
                self._since_mark()
            case "DUP":
                stack.append(stack[-1])
            case "EMPTY_TUPLE":
                stack.append(())
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                count = _TUPLES[opcode]
                if len(stack) < count:
                    raise IndexError
                stack[-count:] = [self._made(tuple(stack[-count:]))]
            case "TUPLE":
                items = self._since_mark()
                self._stack.append(self._made(tuple(items)))
            case "EMPTY_LIST":
                stack.append(self._made([]))
            case "LIST":
                items = self._since_mark()
                self._stack.append(self._made(items))
            case "APPEND":
                item = stack.pop()
                self._top(list).append(item)
            case "APPENDS":
                items = self._since_mark()
                self._top(list).extend(items)
            case "EMPTY_DICT":
                stack.append(self._made({}))
            case "DICT":
                items = self._since_mark()
                self._stack.append(self._made({}))
                self._set(items)
            case "SETITEM":
                items = [stack.pop(-2), stack.pop()]
                self._set(items)
            case "SETITEMS":
                self._set(self._since_mark())
            case "PUT" | "BINPUT" | "LONG_BINPUT":
                self._remember(arg)
            case "MEMOIZE":
                self._remember(len(self._memo))
            case "GET" | "BINGET" | "LONG_BINGET":
                if arg not in self._memo:
                    raise MotionError(f"is damaged: it refers to object {arg} before it is there")
                stack.append(self._memo[arg])
            case "GLOBAL":
                stack.append(named(*arg.split(" ", 1)))
            case "STACK_GLOBAL":
                name, module = stack.pop(), stack.pop()
                if not (isinstance(name, str) and isinstance(module, str)):
                    raise MotionError("is damaged: it asks for a class whose name is no string")
                stack.append(named(module, name))
            case "REDUCE" | "NEWOBJ":
                args, callee = stack.pop(), stack.pop()
                if not isinstance(callee, Name) or not isinstance(args, tuple):
                    raise MotionError("is damaged: it calls what is no class")
                stack.append(self._made(self._call(callee.name, args)))
            case "BUILD":
                state = stack.pop()
                self._build(self._top(Placeholder), state)
            case "BINPERSID":
                stack.append(self._persistent_load(stack.pop()))
            case "INST":
                raise refused(str(arg).replace(" ", "."))
            case _:
                raise MotionError(f"uses pickle's {opcode}, which no file of plain values and arrays needs: not read")

    def _made(self, value: Any) -> Any:
        """The value, which the budget has room for."""
        copied = 0
        if isinstance(value, (np.ndarray, np.generic)):
            copied = value.nbytes
        elif isinstance(value, (bytes, tuple, list, dict)):
            copied = 8 * len(value)
        self.source.budget.spend(copied)
        return value

    def _remember(self, index: int) -> None:
        if index not in self._memo:
            self.source.budget.spend()
        self._memo[index] = self._stack[-1]

    def _since_mark(self) -> list[Any]:
        items = self._stack
        self._stack = self._marks.pop()
        return items

    def _top(self, kind: type) -> Any:
        if type(self._stack[-1]) is not kind:
            raise MotionError(f"is damaged: it changes a {type(self._stack[-1]).__name__.strip('_').lower()}")
        return self._stack[-1]

    def _set(self, items: list[Any]) -> None:
        target = self._top(dict)
        if len(items) % 2:
            raise MotionError("is damaged: a dict has a key without a value")
        target.update(plain_dict(zip(items[::2], items[1::2], strict=True)))

    def _call(self, name: str, args: tuple[Any, ...]) -> Any:
        if name == "torch.storage._load_from_bytes":
            if self.nested or len(args) != 1 or not isinstance(args[0], bytes):
                raise MotionError("holds a torch storage that is none")
            return _torch_stream(Source(io.BytesIO(args[0]), len(args[0]), self.source.budget), nested=True)
        call = CALLS.get(name)
        if call is None:
            raise refused(name)
        try:
            return call(*args)
        except (TypeError, AttributeError) as error:
            raise MotionError(f"is damaged: {name} got what it does not take ({error})") from error

    def _build(self, target: Placeholder, state: Any) -> None:
        if target.kind == "dtype" and isinstance(state, tuple) and len(state) > 4:
            # version, byte order, subarray, names, fields, size, alignment, flags
            if any(part is not None for part in state[2:5]):
                raise MotionError("holds an array of records: not read")
            if state[1] not in ("<", ">", "|", "="):
                raise MotionError("holds an array in an unknown byte order")
            target.value = dtype_of(target).newbyteorder(state[1])
        elif target.kind == "ndarray" and isinstance(state, tuple) and len(state) in (4, 5):
            shape, dtype, fortran, data = cast(tuple[Any, Any, Any, Any], state[-4:])
            target.value = self._made(array_of(data, dtype_of(dtype), shape, "F" if fortran else "C"))
        elif target.kind == "joblib" and isinstance(state, dict) and not self.nested:
            target.value = self._joblib_array(state)
        else:
            raise MotionError(f"is damaged: the state of a {target.kind} is none")

    def _joblib_array(self, state: dict[Any, Any]) -> np.ndarray:
        """The array whose bytes stand in the stream behind the state of joblib's wrapper."""
        dtype, shape = dtype_of(state.get("dtype")), state.get("shape")
        if dtype.hasobject:
            inner = resolved(_Reader(self.source, nested=True).read(), self.source.budget)
            if not isinstance(inner, np.ndarray):
                raise MotionError("holds an array of objects that is none")
            return inner
        if state.get("numpy_array_alignment_bytes") is not None:
            self.source.read(self.source.read(1)[0])
        return array_of(self.source.read(count_of(shape) * dtype.itemsize), dtype, shape, state.get("order"))


def _stream(source: Source) -> object:
    """A pickle, or the first pickle of an old `.pt` file and the rest of that."""
    first = _Reader(source).read()
    value = _torch_stream(source, magic=first) if type(first) is int and first == _TORCH_MAGIC else first
    source.finish()
    return resolved(value, source.budget)


def _torch_stream(source: Source, magic: object = None, *, nested: bool = False) -> Any:
    """An old `.pt` file: magic number, version, system, object, keys of storages: a pickle each; then the storages."""
    if (_Reader(source, nested=True).read() if magic is None else magic) != _TORCH_MAGIC:
        raise MotionError("holds a torch storage that is none")
    storages: dict[str, Storage] = {}

    def storage(identity: object) -> Storage:
        key, made = _torch_storage(identity)
        return storages.setdefault(key, made)

    for _ in ("version", "system"):
        _Reader(source, nested=True).read()
    value = _Reader(source, storage, nested=nested).read()
    keys = _Reader(source, nested=True).read()
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys) or set(keys) != set(storages):
        raise MotionError("is damaged: its torch storages are not those of its tensors")
    for key in keys:
        held = storages[key]
        if int.from_bytes(source.read(8), "little") != held.count:
            raise MotionError("is damaged: a torch storage is not as long as told")
        held.data = source.read(held.count * _itemsize(held.dtype))
    return value


def _torch_archive(archive: zipfile.ZipFile, budget: Budget) -> object:
    """A `.pt` file: a ZIP archive with `<name>/data.pkl`, and each storage in `<name>/data/<key>`."""
    names = set(archive.namelist())
    main = next((name for name in sorted(names, key=len) if is_torch_archive([name])), None)
    if main is None:
        raise MotionError("is a ZIP archive without data.pkl, expected a file of torch.save")
    folder = main.removesuffix("data.pkl")
    room = EXPANSION_FREE + EXPANSION * budget.size

    def member(name: str) -> bytes:
        nonlocal room
        if name not in names:
            raise MotionError(f"is damaged: it lacks {name}")
        told = archive.getinfo(name)
        room -= told.file_size
        if told.compress_type != zipfile.ZIP_STORED or room < 0:
            raise MotionError("is compressed, which torch.save does not do: not read")
        with archive.open(told) as file:
            return file.read()

    if f"{folder}byteorder" in names and member(f"{folder}byteorder") != b"little":
        raise MotionError("was written by a big-endian machine: not read")
    storages: dict[str, Storage] = {}

    def storage(identity: object) -> Storage:
        key, made = _torch_storage(identity)
        if key not in storages:
            made.data = member(f"{folder}data/{key}")
            if len(made.data) != made.count * _itemsize(made.dtype):
                raise MotionError("is damaged: a torch storage is not as long as told")
            storages[key] = made
        return storages[key]

    data = member(main)
    return resolved(_Reader(Source(io.BytesIO(data), len(data), budget), storage).read(), budget)


def _torch_storage(identity: Any) -> tuple[str, Storage]:
    """Key and storage of torch's persistent id ("storage", type, key, place, count, view)."""
    if not isinstance(identity, tuple) or len(identity) < 5 or identity[0] != "storage":
        raise MotionError("refers to objects outside the pickle")
    kind, key, count = identity[1], identity[2], identity[4]
    known = isinstance(kind, Name) and kind.name.startswith("torch.")
    dtype = STORAGES.get(kind.name.removeprefix("torch.")) if known else None
    views = any(part is not None for part in identity[5:])
    if dtype is None or not isinstance(key, str) or type(count) is not int or count < 0 or views:
        raise MotionError("holds a torch storage that is none")
    return key, Storage(dtype, count)


def _itemsize(dtype: str) -> int:
    return 2 if dtype == "bfloat16" else np.dtype(dtype).itemsize


def pickled_keys(path: str | Path) -> frozenset[str]:
    """The keys of the dict in a pickle, and "*/<key>" for those of the first dict in it. Raises as `read_pickle`."""
    contents = read_pickle(path)
    if not isinstance(contents, dict):
        return frozenset()
    inner = next((value for value in contents.values() if isinstance(value, dict)), {})
    return frozenset([*map(str, contents), *(f"*/{key}" for key in inner)])


def numbers_in(contents: Mapping[Any, Any], key: str) -> np.ndarray:
    """The array or nested list under a key, as finite or infinite float64. Raises MotionError if it is none."""
    if key not in contents:
        raise MotionError(f"lacks {key}; it holds {some_of(map(str, contents))}")
    if not _all_numbers(contents[key]):
        raise MotionError(f"{key} holds {type(contents[key]).__name__}, expected numbers")
    try:
        values = np.asarray(contents[key])
    except ValueError:
        raise MotionError(f"{key} holds rows of different lengths, expected an array of numbers") from None
    if values.dtype.kind not in "fiu":
        raise MotionError(f"{key} holds an integer too large, expected numbers")
    with np.errstate(over="ignore"):  # infinite then, which clips refuse
        return values.astype(float)


def _all_numbers(values: Any) -> bool:
    """Whether nested lists hold only numbers: what numpy would make of words among them takes any amount of memory."""
    if isinstance(values, (list, tuple)):
        return all(map(_all_numbers, values))
    if isinstance(values, (np.ndarray, np.generic)):
        return values.dtype.kind in "fiu"
    return type(values) in (int, float)


def number_in(contents: Mapping[Any, Any], key: str) -> float:
    """The one number under a key, in an array or not. Raises MotionError if it is not one number."""
    values = numbers_in(contents, key)
    if values.size != 1:
        raise MotionError(f"{key} has shape {values.shape}, expected one number")
    return values.item()
