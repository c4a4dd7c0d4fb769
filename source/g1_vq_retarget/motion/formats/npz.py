"""NPZ files of plain arrays: no pickles, keys asked for by name."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from g1_vq_retarget.files import replacing
from g1_vq_retarget.motion.clip import MotionError


def read_arrays(path: Path, required: Sequence[str], optional: Sequence[str] = ()) -> dict[str, np.ndarray]:
    """The arrays under the wanted keys; keys that are not wanted are not read.

    Raises:
        MotionError: not an NPZ of plain arrays, or a required key is missing. Does not name the file.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            missing = [key for key in required if key not in file]
            if missing:
                raise MotionError(f"lacks {', '.join(missing)}; it holds {', '.join(sorted(file))}")
            return {key: file[key] for key in (*required, *optional) if key in file}
    # AttributeError: an NPY, which is an array and no context manager
    except (ValueError, OSError, EOFError, AttributeError, TypeError, zipfile.BadZipFile, zlib.error) as error:
        raise MotionError(f"not a readable NPZ of plain arrays ({error})") from error


def write_arrays(path: str | Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays under their keys, the same bytes for the same arrays.

    Raises:
        UserError: the file cannot be written.
        ValueError: an array of objects, which only a pickle could hold.
    """
    with replacing(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for key, values in arrays.items():
            # not np.savez, which pickles objects unasked
            with archive.open(f"{key}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, values, allow_pickle=False)


def numbers(arrays: Mapping[str, np.ndarray], key: str) -> np.ndarray:
    """The array under a key, as finite or infinite float64. Raises MotionError if it holds anything but numbers."""
    if arrays[key].dtype.kind not in "fiu":
        raise MotionError(f"{key} holds {arrays[key].dtype}, expected numbers")
    return arrays[key].astype(float)


def number(arrays: Mapping[str, np.ndarray], key: str) -> float:
    """The one number under a key, whatever the number of dimensions. Raises MotionError if it is not one number."""
    values = numbers(arrays, key)
    if values.size != 1:
        raise MotionError(f"{key} has shape {values.shape}, expected one number")
    return values.item()


def words(arrays: Mapping[str, np.ndarray], key: str) -> tuple[str, ...]:
    """The strings under a key. Raises MotionError if it does not hold a list of strings."""
    if arrays[key].dtype.kind != "U" or arrays[key].ndim != 1:
        raise MotionError(f"{key} holds {arrays[key].dtype} of shape {arrays[key].shape}, expected a list of strings")
    return tuple(arrays[key].tolist())
