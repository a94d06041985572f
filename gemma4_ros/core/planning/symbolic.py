# SPDX-License-Identifier: Apache-2.0
"""The symbolic model: which step can run in which state, what it changes, and the cheapest way to a goal.

Method: uniform-cost search (Dijkstra 1959) over state-variable assignments, restricted to actions that are relevant to
the goal by backward closure over facts (the relevance analysis of Bonet and Geffner, "Planning as heuristic search",
2001).
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from gemma4_ros.core.errors import CompletionError
from gemma4_ros.core.facts import Fact, Pattern, State, Term, Variable
from gemma4_ros.core.plan import Ref
from gemma4_ros.core.planning import relaxed
from gemma4_ros.core.tools import Tool, Toolset
from gemma4_ros.core.world import World

MAX_EXPANSIONS = 20_000
# A search that has not ended after so many states is first asked whether it can: most end sooner.
CHECKED_AFTER = 50
# Seconds added to an irreversible step's cost, so that it is inserted only where nothing else leads to the goal.
IRREVERSIBLE_COST_S = 120.0


@dataclass(frozen=True, slots=True)
class Action:
    """A tool with every symbolic argument bound."""

    tool: Tool
    binding: Mapping[str, str]

    @property
    def cost_s(self) -> float:
        """Return the typical duration in s, dearer where it cannot be undone."""
        return self.tool.typical_s + (IRREVERSIBLE_COST_S if self.tool.risk == 'irreversible' else 0.0)


@dataclass(frozen=True, slots=True)
class Missing:
    """A need that does not hold: the pattern, the fact it asks for now, and what is the case instead."""

    need: Pattern
    fact: Fact | None
    is_now: str | None

    def __str__(self) -> str:
        if self.fact is None:
            return f'{self.need} (not known)'
        return f'{self.fact}' + (f' (it is {self.is_now})' if self.is_now is not None else ' (not known)')


class _Watched(State):
    """A state that remembers which variables were looked at."""

    __slots__ = ('seen',)

    def __init__(self, values: Mapping[Variable, str]) -> None:
        super().__init__(values)
        self.seen: set[Variable] = set()

    def __getitem__(self, key: Variable) -> str:
        self.seen.add(key)
        return super().__getitem__(key)


def merged(
    values: Mapping[Variable, str], changed: Iterable[Variable], reached: Mapping[Variable, str]
) -> dict[Variable, str]:
    """Return ``values`` with the changed variables as in ``reached``; one that is not known there is not known."""
    result = dict(values)
    for variable in changed:
        if variable in reached:
            result[variable] = reached[variable]
        else:
            result.pop(variable, None)
    return result


class Symbolic:
    """The symbolic model of one world and toolset."""

    def __init__(self, world: World, toolset: Toolset) -> None:
        self.world = world
        self.toolset = toolset
        self._actions: dict[tuple[str, ...], tuple[Action, ...]] = {}

    def binding(self, args: Mapping[str, object]) -> dict[str, str]:
        """Return the symbolic arguments: numbers and references take no part."""
        return {name: value for name, value in args.items() if isinstance(value, str) and not isinstance(value, Ref)}

    def missing(self, patterns: Iterable[Pattern], state: State, binding: Mapping[str, str]) -> tuple[Missing, ...]:
        """Return the patterns that do not hold in ``state``."""
        result = []
        for pattern in patterns:
            fact = self.world.ground(pattern, state, binding)
            if fact is None or not state.holds(fact):
                result.append(Missing(pattern, fact, state.get(fact.variable) if fact is not None else None))
        return tuple(result)

    def looked_at(self, patterns: Iterable[Pattern], state: State, binding: Mapping[str, str]) -> set[Variable]:
        """Return the variables on which it depends in ``state`` whether the patterns hold."""
        watched = _Watched(state)
        facts = [self.world.ground(pattern, watched, binding) for pattern in patterns]
        return watched.seen | {fact.variable for fact in facts if fact is not None}

    def apply(self, tool: Tool, binding: Mapping[str, str], state: State) -> State:
        """Return the state after the tool; the tool's needs are not checked here."""
        facts = [self.world.ground(pattern, state, binding) for pattern in tool.gives]
        return state.with_facts(fact for fact in facts if fact is not None)

    def reach(
        self, patterns: tuple[Pattern, ...], binding: Mapping[str, str], state: State
    ) -> tuple[tuple[Action, ...], State]:
        """Find the cheapest actions after which every pattern holds.

        Raises
        ------
        CompletionError
            Naming the first pattern that cannot be made true.

        """
        if not self.missing(patterns, state, binding):
            return (), state
        near = self._objects_of_interest(patterns, binding, state)
        for objects in (near, self.world.group('objects')):
            found = self._search(patterns, binding, state, tuple(objects))
            if found is not None:
                return found
        first = self._first_unreachable(patterns, binding, state)
        raise CompletionError(f'nothing leads to {first}')

    # Search ----------------------------------------------------------------------------------------------------------
    def _search(
        self, patterns: tuple[Pattern, ...], binding: Mapping[str, str], state: State, objects: tuple[str, ...]
    ) -> tuple[tuple[Action, ...], State] | None:
        actions = self._relevant(patterns, binding, objects)
        counter = itertools.count()
        frontier: list[tuple[float, int, State, tuple[Action, ...]]] = [(0.0, next(counter), state, ())]
        done: set[State] = set()
        while frontier and len(done) < MAX_EXPANSIONS:
            cost, _, current, path = heapq.heappop(frontier)
            if current in done:
                continue
            if not self.missing(patterns, current, binding):
                return path, current
            done.add(current)
            if len(done) == CHECKED_AFTER and self._out_of_reach(actions, patterns, binding, state):
                return None
            for action in actions:
                if self.missing(action.tool.needs, current, action.binding):
                    continue
                following = self.apply(action.tool, action.binding, current)
                if following not in done:
                    heapq.heappush(frontier, (cost + action.cost_s, next(counter), following, (*path, action)))
        return None

    def _out_of_reach(
        self, actions: Iterable[Action], patterns: Iterable[Pattern], binding: Mapping[str, str], state: State
    ) -> tuple[Pattern, ...]:
        bound = [(action.tool, action.binding) for action in actions]
        return relaxed.out_of_reach(self.world, bound, patterns, binding, state)

    def _objects_of_interest(
        self, patterns: tuple[Pattern, ...], binding: Mapping[str, str], state: State
    ) -> tuple[str, ...]:
        """Return the objects that the goal names and those that the robot carries now."""
        named = set(binding.values()) | {term.head for p in patterns for term in (*p.args, p.value)}
        carried = {value for (_, args), value in state.items() if self.world.robot in args}
        carried |= {args[0] for (_, args), value in state.items() if value == self.world.robot and args}
        return tuple(item for item in self.world.group('objects') if item in named | carried)

    def _ground_actions(self, objects: tuple[str, ...]) -> tuple[Action, ...]:
        if objects not in self._actions:
            allowed = set(objects)
            all_objects = set(self.world.group('objects'))
            actions = []
            for tool in self.toolset.tools.values():
                if not tool.gives or not tool.inserted or any(arg.type != 'enum' for arg in tool.args.values()):
                    continue
                choices = [
                    [v for v in arg.values if v not in all_objects or v in allowed] for arg in tool.args.values()
                ]
                actions += [
                    Action(tool, dict(zip(tool.args, values, strict=True))) for values in itertools.product(*choices)
                ]
            self._actions[objects] = tuple(actions)
        return self._actions[objects]

    def _relevant(
        self, patterns: tuple[Pattern, ...], binding: Mapping[str, str], objects: tuple[str, ...]
    ) -> tuple[Action, ...]:
        """Return the actions that give a fact which the goal, or a need of a relevant action, may ask for."""
        wanted: set[Fact] = set()
        for pattern in patterns:
            wanted |= self._possible(pattern, binding)
        actions = [
            (action, self._all_possible(action.tool.gives, action.binding)) for action in self._ground_actions(objects)
        ]
        relevant: list[Action] = []
        rest = actions
        while True:
            chosen = [action for action, gives in rest if gives & wanted]
            if not chosen:
                return tuple(relevant)
            rest = [(action, gives) for action, gives in rest if not gives & wanted]
            relevant += chosen
            for action in chosen:
                wanted |= self._all_possible(action.tool.needs, action.binding)

    def _all_possible(self, patterns: Iterable[Pattern], binding: Mapping[str, str]) -> set[Fact]:
        return set().union(*(self._possible(pattern, binding) for pattern in patterns))

    def _possible(self, pattern: Pattern, binding: Mapping[str, str]) -> set[Fact]:
        """Return every fact that the pattern may stand for in any state."""
        choices = [self._term_values(term, binding) for term in (*pattern.args, pattern.value)]
        return {Fact(pattern.name, values[:-1], values[-1]) for values in itertools.product(*choices)}

    def _term_values(self, term: Term, binding: Mapping[str, str]) -> tuple[str, ...]:
        if term.is_argument:
            value = binding.get(term.head[1:])
            return (value,) if value is not None else ()
        if term.args is None:
            return (term.head,)
        function = self.world.functions.get(term.head)
        return tuple(sorted(function.value)) if function is not None else self.world.group('places')

    def _first_unreachable(self, patterns: tuple[Pattern, ...], binding: Mapping[str, str], state: State) -> str:
        objects = self.world.group('objects')
        actions = self._relevant(patterns, binding, objects)
        never = self._out_of_reach(actions, patterns, binding, state)
        for pattern in never[:1] or (patterns if len(patterns) > 1 else ()):
            if never or self._search((pattern,), binding, state, objects) is None:
                return str(self.missing((pattern,), state, binding)[0])
        return ' and '.join(str(item) for item in self.missing(patterns, state, binding))
