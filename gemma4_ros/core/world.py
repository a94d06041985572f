# SPDX-License-Identifier: Apache-2.0
"""The world as a person wrote it down: places, objects, equipment, cameras, signals and the functions over them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from gemma4_ros.core.errors import WorldError
from gemma4_ros.core.facts import Fact, Pattern, State, Term
from gemma4_ros.core.nearest import suggest

# place_of(x): x where it is a place, else where x is, through whatever carries it.
PLACE_OF = 'place_of'


@dataclass(frozen=True, slots=True)
class Pose2D:
    """A pose in the world's frame: m, m, rad."""

    x_m: float
    y_m: float
    yaw_rad: float


@dataclass(frozen=True, slots=True)
class Entity:
    """The robot, a place, an object or a piece of equipment.

    ``group`` is robot, places, objects or equipment; ``attributes`` are the entry's other keys (unit, dial, mass_kg).
    """

    id: str
    group: str
    doc: str
    words: tuple[str, ...]
    kind: str = ''
    place: str | None = None
    pose: Pose2D | None = None
    attributes: Mapping[str, Any] | None = None

    def attribute(self, name: str) -> Any:
        """Return an attribute, or None."""
        return (self.attributes or {}).get(name)


@dataclass(frozen=True, slots=True)
class Camera:
    """An image topic."""

    id: str
    topic: str
    type: str
    max_age_s: float
    doc: str = ''


@dataclass(frozen=True, slots=True)
class Signal:
    """A live value of the robot: topic, type, field, unit, allowed values and the greatest age at which it counts."""

    id: str
    topic: str
    type: str
    field: str
    max_age_s: float
    unit: str = ''
    values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Function:
    """A symbolic function: which ids each argument and the value may be."""

    name: str
    of: tuple[frozenset[str], ...]
    value: frozenset[str]
    doc: str = ''


@dataclass(frozen=True, slots=True)
class World:
    """Everything that exists, by id."""

    name: str
    frame: str
    robot: str
    entities: Mapping[str, Entity]
    cameras: Mapping[str, Camera]
    signals: Mapping[str, Signal]
    functions: Mapping[str, Function]
    initial: State

    def group(self, name: str) -> tuple[str, ...]:
        """Return the ids of ``robot``, ``places``, ``objects``, ``equipment`` or ``equipment.KIND``, if any."""
        kind = name.removeprefix('equipment.') if name.startswith('equipment.') else ''
        group = 'equipment' if kind else name
        return tuple(e.id for e in self.entities.values() if e.group == group and (not kind or e.kind == kind))

    def is_group(self, name: str) -> bool:
        """Say whether ``name`` names a group."""
        return name in ('robot', 'places', 'objects', 'equipment') or name.startswith('equipment.')

    def expand(self, names: Iterable[str]) -> tuple[str, ...]:
        """Replace groups by their ids; other names stand for themselves."""
        result: dict[str, None] = {}
        for name in names:
            for item in self.group(name) if self.is_group(name) else (name,):
                result[item] = None
        return tuple(result)

    def place_of(self, state: State, thing: str) -> str | None:
        """Return the place at which ``thing`` is, through whatever carries it."""
        seen: set[str] = set()
        while thing not in seen:
            seen.add(thing)
            entity = self.entities.get(thing)
            if entity is not None and entity.group == 'places':
                return thing
            value = state.get(('at', (thing,)))
            if value is None:
                return None
            thing = value
        return None

    def evaluate(self, term: Term, state: State, binding: Mapping[str, str]) -> str | None:
        """Return the id that a term stands for now; None where it is unknown or an argument is not bound."""
        if term.is_argument:
            return binding.get(term.head[1:])
        if term.args is None:
            return term.head
        args = [self.evaluate(arg, state, binding) for arg in term.args]
        known = tuple(arg for arg in args if arg is not None)
        if len(known) != len(args):
            return None
        if term.head == PLACE_OF:
            return self.place_of(state, known[0])
        return state.get((term.head, known))

    def ground(self, pattern: Pattern, state: State, binding: Mapping[str, str]) -> Fact | None:
        """Return the fact that a pattern asks for now; None where a part of it is unknown."""
        args = tuple(self.evaluate(arg, state, binding) for arg in pattern.args)
        value = self.evaluate(pattern.value, state, binding)
        if value is None or any(arg is None for arg in args):
            return None
        return Fact(pattern.name, tuple(arg for arg in args if arg is not None), value)

    def check_fact(self, fact: Fact) -> None:
        """Raise WorldError where the fact names a function, argument or value that does not exist."""
        function = self.functions.get(fact.name)
        if function is None:
            raise WorldError(f'{fact}: unknown function {fact.name!r}{suggest(fact.name, list(self.functions))}')
        if len(fact.args) != len(function.of):
            raise WorldError(
                f'{fact}: {fact.name} takes {len(function.of)} arguments and a value, got {len(fact.args)}'
            )
        for arg, allowed in zip(fact.args, function.of, strict=True):
            if arg not in allowed:
                raise WorldError(f'{fact}: unknown {arg!r}{suggest(arg, sorted(allowed))}')
        if fact.value not in function.value:
            raise WorldError(f'{fact}: {fact.value!r} is no value of it{suggest(fact.value, sorted(function.value))}')
