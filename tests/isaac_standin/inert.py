"""Modules that are only there: whatever is asked of them is an inert class, which can be called, indexed, inherited."""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import sys
import types
import typing
from collections.abc import Iterator, Sequence
from typing import Any

# Isaac Sim's own, and two that Isaac Lab imports for teleoperation alone.
ROOTS = ("carb", "omni", "isaacsim", "usdrt", "Semantics", "hid", "cv2")


class InertMeta(type):
    """Makes classes on demand, so that annotations, base classes and decorators of Kit's can be read."""

    def __getattr__(cls, name: str) -> Any:
        return _made(cls, name, cls.__module__)

    def __or__(cls, other: object) -> Any:
        return typing.Any

    __ror__ = __or__

    def __iter__(cls) -> Iterator[Any]:
        return iter(())

    def __getitem__(cls, item: object) -> Any:
        return cls


class Inert(metaclass=InertMeta):
    """Does nothing, is false, empty and zero."""

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return Inert()

    def __call__(self, *_: Any, **__: Any) -> Any:
        return Inert()

    def __bool__(self) -> bool:
        return False

    def __iter__(self) -> Iterator[Any]:
        return iter(())

    def __int__(self) -> int:
        return 0

    def __float__(self) -> float:
        return 0.0


class InertModule(types.ModuleType):
    """A package of any modules."""

    __path__: Sequence[str] = []  # type: ignore[assignment]

    def __getattr__(self, name: str) -> Any:
        return _made(self, name, self.__name__)


def _made(owner: Any, name: str, module: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    made = InertMeta(name, (Inert,), {"__module__": module})
    setattr(owner, name, made)
    return made


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, fullname: str, path: object, target: object = None) -> importlib.machinery.ModuleSpec | None:
        if fullname.split(".")[0] not in ROOTS:
            return None
        return importlib.machinery.ModuleSpec(fullname, self, is_package=True)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        return InertModule(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        parent, _, leaf = module.__name__.rpartition(".")
        if parent:
            setattr(sys.modules[parent], leaf, module)


def install() -> None:
    """From here on, all modules below `ROOTS` can be imported; real ones come first nowhere."""
    sys.meta_path.insert(0, _Finder())
