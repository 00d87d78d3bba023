"""Every column of many rows against `schema.Record`, a column at a time.

The constraints are read from the validator that pydantic built for `Record`, so that a new field, or a new bound of an
old one, is checked here without a word. What this module could not check is refused on import.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from cspine_bench.anatomy.landmarks import NUM_LANDMARKS
from cspine_bench.schema import COLUMNS, Record

Bools = NDArray[np.bool_]

_IGNORED: Final = frozenset(("type", "metadata", "serialization", "ref", "strict"))
_KNOWN: Final = {
    "str": frozenset(("pattern", "min_length", "max_length")),
    "int": frozenset(("ge", "gt", "le", "lt")),
    "float": frozenset(("ge", "gt", "le", "lt", "allow_inf_nan")),
    "bool": frozenset[str](),
    "bytes": frozenset[str](),
    "literal": frozenset(("expected",)),
    "tuple": frozenset(("items_schema", "variadic_item_index")),
}
_BOUNDS: Final = {"ge": pc.less, "gt": pc.less_equal, "le": pc.greater, "lt": pc.greater_equal}
"""By name of a bound: the comparison that a value outside it satisfies."""
_BOUND_WORDS: Final = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}


@dataclass(frozen=True)
class Constraint:
    """What a field allows.

    Args:
        name: of the field.
        nullable: whether it may be null.
        kind: pydantic's name of its type.
        limits: its bounds, pattern or allowed values, by pydantic's names.
        num_items: of a field that holds numbers, how many; None for any other.
    """

    name: str
    nullable: bool
    kind: str
    limits: dict[str, Any]
    num_items: int | None = None

    def describe(self) -> str:
        """What is allowed, as text for a message."""
        if self.kind == "literal":
            text = ", ".join(map(str, self.limits["expected"]))
        elif "pattern" in self.limits:
            text = f"text that matches {self.limits['pattern']}"
        elif self.num_items is not None:
            text = f"{self.num_items} items"
        else:
            bounds = [f"{words} {self.limits[bound]}" for bound, words in _BOUND_WORDS.items() if bound in self.limits]
            kind = {"str": "text", "int": "a whole number", "float": "a finite number"}.get(self.kind, self.kind)
            text = " ".join([kind, " and ".join(bounds)]).strip()
            text += ", not empty" if self.limits.get("min_length") else ""
        return f"{text}{' or null' if self.nullable else ''}"


def _read_constraint(name: str, schema: dict[str, Any], *, nullable: bool = False) -> Constraint:
    kind = schema["type"]
    if kind in ("default", "nullable"):
        return _read_constraint(name, schema["schema"], nullable=nullable or kind == "nullable")
    if kind == "function-after" and COLUMNS[name].dtype == "points":
        # Its validator asks for NUM_LANDMARKS whole points: the count is checked here, the points by their own rule.
        return Constraint(name, nullable, "tuple", {}, NUM_LANDMARKS)
    if kind not in _KNOWN or (unknown := schema.keys() - _KNOWN[kind] - _IGNORED):
        what = kind if kind not in _KNOWN else ", ".join(sorted(unknown))
        raise TypeError(f"field {name} of Record is constrained by {what}, which no check of a release enforces yet")
    limits = {key: schema[key] for key in _KNOWN[kind] if key in schema}
    if kind != "tuple":
        return Constraint(name, nullable, kind, limits)
    items = [_read_constraint(name, item) for item in schema["items_schema"]]
    if "variadic_item_index" in schema or COLUMNS[name].dtype != "floats" or any(it.kind != "float" for it in items):
        raise TypeError(f"field {name} of Record is a tuple of a kind that no check of a release enforces yet")
    return Constraint(name, nullable, kind, {}, len(items))


def build_constraints() -> dict[str, Constraint]:
    """What each field of `Record` allows.

    Raises:
        TypeError: a field has a constraint that this module does not know.
    """
    schema = Record.__pydantic_core_schema__
    fields: dict[str, Any] = schema["schema"]["fields"]
    return {name: _read_constraint(name, field["schema"]) for name, field in fields.items()}


CONSTRAINTS: Final = build_constraints()


def find_value_faults(name: str, array: pa.Array) -> Iterator[tuple[Bools, str]]:
    """Rows whose value the schema does not allow.

    Args:
        name: the field.
        array: its values, of the type that `build_arrow_schema` gives it.

    Yields:
        bool (rows,), True where the value is at fault, with what is allowed. A row is in one of them at most.
    """
    constraint = CONSTRAINTS[name]
    nulls = array.null_count
    if constraint.nullable and nulls == len(array):
        return
    valid = _as_bools(array.is_valid()) if nulls else np.ones(len(array), np.bool_)
    if nulls and not constraint.nullable:
        yield ~valid, constraint.describe()
    if constraint.kind == "bytes" or nulls == len(array):
        return
    if constraint.num_items is not None:
        bad = valid & ~_hold_items(array, constraint.num_items, 2 if COLUMNS[name].dtype == "points" else None)
    else:
        bad = valid & _find_scalar_faults(constraint, array)
    if bad.any():
        yield bad, constraint.describe()


def _find_scalar_faults(constraint: Constraint, array: pa.Array) -> Bools:
    limits = constraint.limits
    bad = np.zeros(len(array), np.bool_)
    if COLUMNS[constraint.name].dtype == "class_label":
        names = len(COLUMNS[constraint.name].names)
        return _as_bools(pc.or_(pc.less(array, 0), pc.greater_equal(array, names)))
    if constraint.kind == "literal":
        bad |= ~_as_bools(pc.is_in(array, value_set=pa.array(limits["expected"], array.type)))
    if constraint.kind == "float":
        # A float without this limit may be NaN in the model, and would still be no JSON.
        bad |= ~_as_bools(pc.is_finite(array))
    if "pattern" in limits:
        bad |= ~_as_bools(pc.match_substring_regex(array, limits["pattern"]))
    if "min_length" in limits:
        bad |= _as_bools(pc.less(pc.utf8_length(array), limits["min_length"]))
    if "max_length" in limits:
        bad |= _as_bools(pc.greater(pc.utf8_length(array), limits["max_length"]))
    for bound, beyond in _BOUNDS.items():
        if bound in limits:
            bad |= _as_bools(beyond(array, pa.scalar(limits[bound], array.type)))
    return bad


def _hold_items(array: pa.Array, num_items: int, num_inner: int | None) -> Bools:
    """Whether each list has `num_items` items and no null: numbers that are finite, or lists of `num_inner` numbers."""
    good = _as_bools(pc.equal(pc.list_value_length(array), num_items))
    items = array.filter(pa.array(good)).flatten()
    if num_inner is None:
        sound = _as_bools(pc.is_finite(items))
    else:
        sound = _as_bools(pc.equal(pc.list_value_length(items), num_inner))
        inner = items.filter(pa.array(sound)).flatten()
        # Rows of another shape are at fault already; what is left has num_inner numbers for each item.
        sound[sound] = _as_bools(inner.is_valid()).reshape(-1, num_inner).all(axis=1)
    good[good] = sound.reshape(-1, num_items).all(axis=1)
    return good


def _as_bools(array: pa.Array) -> Bools:
    """As numpy; null is False."""
    filled = pc.fill_null(array, False) if array.null_count else array
    return np.array(filled.to_numpy(zero_copy_only=False), np.bool_)
