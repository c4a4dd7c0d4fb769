"""Pickles for other people's programs: of plain values and arrays, the same bytes for the same contents."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np

from g1_vq_retarget.files import replacing


class _Pickler(pickle.Pickler):
    """Arrays are written as calls of `numpy.ndarray`, whose name is the same in every numpy.

    As numpy 2 writes them itself they ask for `numpy._core`, which the numpy of Isaac Gym's Python does not have.
    """

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, np.ndarray):
            # a bytearray, so that the array can be written to
            return np.ndarray, (obj.shape, obj.dtype.str, bytearray(np.ascontiguousarray(obj).data))
        return NotImplemented


def write_pickle(path: str | Path, contents: dict[str, Any]) -> None:
    """Write dicts, lists, strings, numbers and arrays of numbers, for `pickle.load` and `joblib.load`.

    Raises:
        UserError: the file cannot be written.
    """
    with replacing(path) as temporary, temporary.open("wb") as file:
        _Pickler(file, protocol=4).dump(contents)
