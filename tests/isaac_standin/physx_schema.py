"""pxr.PhysxSchema, which usd-core lacks: applied schemas and their attributes are written to real USD prims."""

from __future__ import annotations

import re
import sys
import types
from collections.abc import Callable
from typing import Any

import pxr
from pxr import Sdf, Usd

from isaac_standin.inert import Inert


class _ApiMeta(type):
    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return Inert


class _Attribute:
    """An attribute that gets its type from the first value written, since the schema's own types are not known here."""

    def __init__(self, prim: Usd.Prim, key: str) -> None:
        self.prim, self.key = prim, key

    def Get(self) -> Any:
        attribute = self.prim.GetAttribute(self.key)
        return attribute.Get() if attribute else None

    def Set(self, value: Any) -> Any:
        kind = next(
            (
                name
                for type_, name in ((bool, "Bool"), (int, "Int"), (float, "Float"), (str, "String"))
                if isinstance(value, type_)
            ),
            "Float3",
        )
        types_ = Sdf.ValueTypeNames
        attribute = self.prim.GetAttribute(self.key) or self.prim.CreateAttribute(self.key, getattr(types_, kind), True)
        return attribute.Set(float(value) if str(attribute.GetTypeName()) == "float" else value)

    def __bool__(self) -> bool:
        return bool(self.prim.GetAttribute(self.key))


class _Api(metaclass=_ApiMeta):
    """Any schema, by its class's name."""

    def __init__(self, prim: Any = None, *_: Any) -> None:
        self._prim = prim.GetPrim() if prim is not None and hasattr(prim, "GetPrim") else prim

    @classmethod
    def Apply(cls, prim: Usd.Prim, *_: Any) -> _Api:
        prim.AddAppliedSchema(cls.__name__)
        return cls(prim)

    @classmethod
    def Get(cls, stage: Usd.Stage, path: str) -> _Api:
        return cls(stage.GetPrimAtPath(path))

    def __bool__(self) -> bool:
        return bool(self._prim) and type(self).__name__ in applied(self._prim)

    def GetPrim(self) -> Any:
        return self._prim

    def __getattr__(self, name: str) -> Callable[..., _Attribute]:
        match = re.fullmatch(r"(Create|Get)(\w+)Attr", name)
        if not match:
            raise AttributeError(name)
        key = f"{type(self).__name__}:{match[2][0].lower()}{match[2][1:]}"

        def attribute(value: Any = None, *_: Any) -> _Attribute:
            made = _Attribute(self._prim, key)
            if match[1] == "Create" and value is not None:
                made.Set(value)
            return made

        return attribute


class _Module(types.ModuleType):
    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        made = Inert if name == "Tokens" else _ApiMeta(name, (_Api,), {})
        setattr(self, name, made)
        return made


def applied(prim: Usd.Prim) -> list[str]:
    """Names of a prim's schemas; `GetAppliedSchemas` drops those that no plugin defines."""
    items = prim.GetMetadata("apiSchemas")
    return list(items.GetAddedOrExplicitItems()) if items else []


def install() -> None:
    """Make `from pxr import PhysxSchema` work, and USD's own questions about schemas know of it."""
    module = _Module("pxr.PhysxSchema")
    sys.modules["pxr.PhysxSchema"] = pxr.PhysxSchema = module  # type: ignore[attr-defined]
    has, is_a, remove = Usd.Prim.HasAPI, Usd.Prim.IsA, Usd.Prim.RemoveAPI

    def ours(schema: Any) -> bool:
        return isinstance(schema, type) and issubclass(schema, _Api | Inert)

    Usd.Prim.HasAPI = lambda prim, schema, *rest: (  # type: ignore[method-assign]
        schema.__name__ in applied(prim) if ours(schema) else has(prim, schema, *rest)
    )
    Usd.Prim.IsA = lambda prim, schema: False if ours(schema) else is_a(prim, schema)  # type: ignore[method-assign]
    Usd.Prim.RemoveAPI = lambda prim, schema, *rest: (  # type: ignore[method-assign]
        prim.RemoveAppliedSchema(schema.__name__) if ours(schema) else remove(prim, schema, *rest)
    )
