"""TOML to frozen dataclasses, checked against their annotations.

Understands what the specs use: bool, int, float, str, Literal, Annotated with Range, NonEmpty or
Distinct, tuple[T, ...], dict[str, T], T | None and nested dataclasses. Everything else in a file
is an error: an unknown key is named together with the keys that exist.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

T = TypeVar("T")


class StudyError(ValueError):
    """A study that cannot be used: file, key, what was expected and what was found."""

    def __init__(self, file: Path, key: str, expected: str, found: object) -> None:
        super().__init__(f"{file}: {key} must be {expected}, found {_show(found)}")
        self.file, self.key = file, key


@dataclass(frozen=True)
class Range:
    """Bounds of a number, both included."""

    low: float | None = None
    high: float | None = None

    def problem(self, value: float) -> str | None:
        if self.low is not None and not value >= self.low:  # not >=: refuses nan
            return f"at least {self.low}"
        if self.high is not None and not value <= self.high:
            return f"at most {self.high}"
        return None


@dataclass(frozen=True)
class NonEmpty:
    """A string that says something, or a list or table that holds something."""

    def problem(self, value: str | tuple[object, ...] | dict[str, object]) -> str | None:
        if isinstance(value, str):
            return None if value.strip() else "a non-empty string"
        kind = "table" if isinstance(value, dict) else "list"
        return None if value else f"a non-empty {kind}"


@dataclass(frozen=True)
class Distinct:
    """A list that holds nothing twice."""

    def problem(self, value: tuple[object, ...]) -> str | None:
        return None if len(set(value)) == len(value) else "a list without repeats"


def read_toml(file: Path) -> dict[str, object]:
    """The tables of a TOML file. Raises StudyError where it cannot be read."""
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise StudyError(file, "file", "readable", error.strerror) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise StudyError(file, "file", "valid TOML in UTF-8", str(error)) from error


def to_dataclass(
    kind: type[T],
    table: dict[str, object],
    file: Path,
    prefix: str = "",
    given: Mapping[str, object] | None = None,
) -> T:
    """A frozen dataclass from a TOML table. Raises StudyError.

    given: fields that do not come from the table; there they are unknown keys.
    """
    hints = get_type_hints(kind, include_extras=True)
    values = dict(given or {})
    every = fields(kind)  # type: ignore[arg-type]  # T is a dataclass
    known = {f.name: f for f in every if f.name not in values}
    for key in table:
        if key not in known:
            raise StudyError(file, f"{prefix}{key}", f"one of the keys {sorted(known)}", key)
    for name, spec in known.items():
        if name in table:
            values[name] = converted(hints[name], table[name], file, f"{prefix}{name}")
        elif spec.default is MISSING and spec.default_factory is MISSING:
            raise StudyError(file, f"{prefix}{name}", "given", None)
    return kind(**values)


def converted(hint: object, value: object, file: Path, key: str) -> object:
    """A value of TOML as its annotation has it. Raises StudyError."""
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated:
        result = converted(args[0], value, file, key)
        for rule in args[1:]:
            if problem := rule.problem(result):
                raise StudyError(file, key, problem, value)
        return result
    if origin in (Union, UnionType):  # T | None; TOML has no null, so a value is a T
        (inner,) = (a for a in args if a is not NoneType)
        return converted(inner, value, file, key)
    if origin is Literal:
        if value not in args or isinstance(value, bool):
            raise StudyError(file, key, f"one of {list(args)}", value)
        return value
    if origin is tuple:
        if not isinstance(value, list):
            raise StudyError(file, key, "a list", value)
        return tuple(converted(args[0], v, file, f"{key}[{i}]") for i, v in enumerate(value))
    if origin is dict:
        table = _table(value, file, key)
        return {k: converted(args[1], v, file, f"{key}.{k}") for k, v in table.items()}
    if is_dataclass(hint):
        return to_dataclass(cast(type, hint), _table(value, file, key), file, f"{key}.")
    return _scalar(cast(type, hint), value, file, key)


_NAMES = {bool: "true or false", int: "an integer", float: "a number", str: "a string"}


def _scalar(kind: type, value: object, file: Path, key: str) -> object:
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is not kind:  # type(): True is no integer here
        raise StudyError(file, key, _NAMES[kind], value)
    return value


def _table(value: object, file: Path, key: str) -> dict[str, object]:
    if not isinstance(value, dict):
        raise StudyError(file, key, "a table", value)
    return value


def _show(value: object) -> str:
    return "nothing" if value is None else f'"{value}"' if isinstance(value, str) else repr(value)
