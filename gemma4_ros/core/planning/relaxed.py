# SPDX-License-Identifier: Apache-2.0
"""What can never become true: tells at once that a search would fail.

Method: the delete relaxation (Bonet and Geffner, "Planning as heuristic search", 2001). Actions only add values to
variables and take none away; what cannot be reached so cannot be reached at all.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping

from gemma4_ros.core.facts import Pattern, State, Term, Variable
from gemma4_ros.core.tools import Tool
from gemma4_ros.core.world import PLACE_OF, World

Bound = tuple[Tool, Mapping[str, str]]


def out_of_reach(
    world: World, actions: Iterable[Bound], patterns: Iterable[Pattern], binding: Mapping[str, str], state: State
) -> tuple[Pattern, ...]:
    """Return the patterns that no sequence of the actions makes true; more may be impossible only together."""
    values = _Values(world, state)
    rest = list(actions)
    while True:
        size = values.size
        for tool, arguments in rest:
            if all(values.may_hold(need, arguments) for need in tool.needs):
                values.add(tool.gives, arguments)
        if values.size == size:
            return tuple(pattern for pattern in patterns if not values.may_hold(pattern, binding))


class _Values:
    """Every value that a variable had so far."""

    def __init__(self, world: World, state: State) -> None:
        self._world = world
        self._known: dict[Variable, set[str]] = {variable: {value} for variable, value in state.items()}
        self.size = len(self._known)

    def may_hold(self, pattern: Pattern, binding: Mapping[str, str]) -> bool:
        """Say whether a fact that the pattern may ask for was true at some time."""
        wanted = self._term(pattern.value, binding)
        return any(
            not wanted.isdisjoint(self._known.get(variable, ())) for variable in self._variables(pattern, binding)
        )

    def add(self, patterns: Iterable[Pattern], binding: Mapping[str, str]) -> None:
        """Make true what the patterns may give."""
        for pattern in patterns:
            given = self._term(pattern.value, binding)
            for variable in self._variables(pattern, binding) if given else ():
                known = self._known.setdefault(variable, set())
                self.size += len(given - known)
                known |= given

    def _variables(self, pattern: Pattern, binding: Mapping[str, str]) -> list[Variable]:
        choices = [self._term(term, binding) for term in pattern.args]
        return [(pattern.name, args) for args in itertools.product(*choices)]

    def _term(self, term: Term, binding: Mapping[str, str]) -> set[str]:
        if term.is_argument:
            value = binding.get(term.head[1:])
            return {value} if value is not None else set()
        if term.args is None:
            return {term.head}
        choices = [self._term(arg, binding) for arg in term.args]
        if term.head == PLACE_OF:
            return set().union(*(self._places(thing) for thing in choices[0]))
        return set().union(*(self._known.get((term.head, args), ()) for args in itertools.product(*choices)))

    def _places(self, thing: str) -> set[str]:
        """Return every place at which the thing may have been, through whatever carried it."""
        places, seen, pending = set[str](), set[str](), [thing]
        while pending:
            item = pending.pop()
            entity = self._world.entities.get(item)
            if entity is not None and entity.group == 'places':
                places.add(item)
            elif item not in seen:
                seen.add(item)
                pending += self._known.get(('at', (item,)), ())
        return places
