# SPDX-License-Identifier: Apache-2.0
"""Every call that says just what one order says: nothing that it names is left out, nothing is added.

A small model takes the wrong one of two names more often than it understands the order; the calls that pass the checks
are few, often one. What is left to choose is the model's.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

from gemma4_ros.core.facts import Pattern, State
from gemma4_ros.core.planning import coverage, english, polarity, surface, vocabulary
from gemma4_ros.core.planning.clauses import Clauses
from gemma4_ros.core.planning.draft import Call, written
from gemma4_ros.core.planning.draft import calls as calls_of
from gemma4_ros.core.planning.mentions import Lexicon, Mention, Reading, stem
from gemma4_ros.core.planning.numbers import SHARE, Quantity
from gemma4_ros.core.planning.surface import Ways
from gemma4_ros.core.planning.symbolic import Symbolic
from gemma4_ros.core.tools import Intent, Tool
from gemma4_ros.core.world import World

MOST_CALLS = 200
MOST_PAIRED = 30
MOST_CHOICES = 40
_COUNTED = frozenset(('times', 'twice', 'thrice'))
_ASKED = frozenset(('tell', 'what', 'give', 'say', 'show', 'know', 'how', 'report', 'value', 'reading', 'look'))
_STAYING = frozenset(('wait', 'stay', 'stand', 'park'))
_ALL = frozenset(('all', 'both', 'every', 'each', 'two', 'three'))
_NOT = frozenset(('not', 'no', "isn't", "aren't", "doesn't", "don't", 'never'))
_INVERSE = {'>': '<=', '<': '>=', '>=': '<', '<=': '>', '==': '!='}


class Candidates:
    """Finds them for one world and toolset."""

    def __init__(self, symbolic: Symbolic, lexicon: Lexicon, clauses: Clauses) -> None:
        self._symbolic = symbolic
        self._world: World = symbolic.world
        self._toolset = symbolic.toolset
        self._lexicon = lexicon
        self._clauses = clauses
        self._items: dict[str, Tool | Intent] = {**symbolic.toolset.intents, **symbolic.toolset.tools}

    # Orders ----------------------------------------------------------------------------------------------------------
    def of(self, reading: Reading, ways: Ways, state: State, *, is_pointing: bool = False) -> tuple[str, ...]:
        """
        Return the drafts of one order: a call each, or a call for each of several things, or two calls.

        Parameters
        ----------
        reading : Reading
            The order.
        ways : Ways
            The names and numbers that it may be written with.
        state : State
            Before this order.
        is_pointing : bool
            A name stands for "it": one call then.

        """
        found = self.saying(reading, ways, state, is_pointing=is_pointing)
        fit = self._closest([text for text in found if not self._is_idle(text, state)], reading)
        return tuple(fit) if len(fit) <= MOST_CHOICES else ()

    def saying(self, reading: Reading, ways: Ways, state: State, *, is_pointing: bool) -> tuple[str, ...]:
        """Return the same with what is so already."""
        names = self._verbs(reading)
        if not names or ways.names is None:
            return ()
        calls = list(itertools.islice(self._calls(names, ways, reading.words), MOST_CALLS + 1))
        if len(calls) > MOST_CALLS:
            return ()
        fit = [text for text in self._shaped(calls, reading) if self._is_right(text, reading, state)]
        if not fit and len(calls) <= MOST_PAIRED and not is_pointing:
            fit = [text for text in self._pairs(calls, reading) if self._is_right(text, reading, state)]
        return tuple(dict.fromkeys(fit))

    def _closest(self, fit: list[str], reading: Reading) -> list[str]:
        """Return those that take the most names just as they were said; of two for the same, what is to be achieved."""
        named = reading.named()
        taken = {text: self._used(text) for text in fit}
        most = max((len(used & named) - len(used - named) for used in taken.values()), default=0)
        fit = [text for text in fit if len(taken[text] & named) - len(taken[text] - named) == most]
        if len({text.partition('(')[2] for text in fit}) == 1:
            fit = [text for text in fit if text.partition('(')[0] in self._toolset.intents] or fit
        return fit

    def _used(self, text: str) -> set[str]:
        draft = surface.parse(text, self._toolset, self._world)
        values = (value for call in calls_of(draft.items) for value in call.args.values())
        return {value for value in values if isinstance(value, str) and value in self._world.entities}

    def _pairs(self, calls: list[str], reading: Reading) -> Iterator[str]:
        """Yield two calls in the order of what they name."""
        starts = {item: mention.start for mention in reversed(reading.mentions) for item in mention.ids}
        first = {call: min((starts[item] for item in self._used(call) if item in starts), default=-1) for call in calls}
        times = _times(reading) if _COUNTED & set(reading.words) else ()
        for a, b in itertools.permutations(calls, 2):
            if first[a] <= first[b]:
                yield f'repeat {times[0]} {{\n{a}\n{b}\n}}' if times else f'{a}\n{b}'

    def _verbs(self, reading: Reading) -> frozenset[str]:
        """Return the calls whose words the order holds; those that bring a thing to a place where it has no verb."""
        found: set[str] = set()
        for clause in self._clauses.read(reading, self._lexicon.known):
            if clause.unknown_verb and clause.unknown_verb not in _STAYING:
                return frozenset()
            found |= set(clause.tools or clause.spoken or clause.partly)
        if found or not reading.mentions:
            return frozenset(found)
        instruments = {tool.name for tool in vocabulary.readings(self._toolset) if self._takes(tool, reading)}
        if instruments and len(reading.mentions) == 1 and _ASKED & set(reading.words):
            return frozenset(instruments)
        if len(reading.mentions) > 1:
            return frozenset(name for name, intent in self._toolset.intents.items() if len(intent.args) == 2)
        before = reading.words[max(0, reading.mentions[0].start - 2) : reading.mentions[0].start]
        return self._goes() if {'to', 'at', 'by'} & set(before) else frozenset()

    def _takes(self, item: Tool | Intent, reading: Reading) -> bool:
        named = reading.named()
        return any(named & set(arg.values) for arg in item.args.values() if arg.type == 'enum')

    def _goes(self) -> frozenset[str]:
        """Return the calls that do nothing but bring the robot to a place."""
        return frozenset(
            name
            for name, item in self._items.items()
            if len(item.args) == 1
            and [pattern.name for pattern in _gives(item)] == ['at']
            and _gives(item)[0].args[0].head == self._world.robot
        )

    def _calls(self, names: Iterable[str], ways: Ways, words: tuple[str, ...]) -> Iterator[str]:
        for name in sorted(names):
            item = self._items[name]
            if not ways.offers(item, self._world):
                continue
            choices = [
                ('true', 'false') if arg.type == 'boolean' else _said(ways.values(arg, self._world), words)
                for arg in item.args.values()
            ]
            for values in itertools.product(*choices):
                yield f'{name}({", ".join(values)})'

    def _shaped(self, calls: list[str], reading: Reading) -> list[str]:
        """Return the calls, each for all of several things or several times where the order says so."""
        many = [mention for mention in reading.mentions if len(mention.ids) > 1 and _is_all(mention, reading)]
        times = _times(reading)
        found: list[str] = []
        for call in calls:
            spread = {_for_each(call, mention) for mention in many} - {''}
            found += spread or ([] if times and _COUNTED & set(reading.words) else [call])
            found += [f'repeat {times[0]} {{\n{call}\n}}'] if times else []
        return list(dict.fromkeys(found))

    def _is_right(self, text: str, reading: Reading, state: State) -> bool:
        """Say whether a draft says just what the order says."""
        draft = surface.parse(text, self._toolset, self._world)
        named = reading.named()
        for call in calls_of(draft.items):
            for name, arg in self._items[call.name].args.items():
                if named & set(arg.values) and call.args[name] not in named:
                    return False  # something of that kind was named, and this is another one
        if coverage.gaps(draft, reading, self._world, self._toolset, state):
            return False
        used = self._used(text)
        if any(len(used & set(m.ids)) > 1 and not m.is_plural for m in reading.mentions):
            return False  # one was named, two are used
        return not self._clauses.gaps(draft, reading, self._lexicon.known, is_first=False)

    def _is_idle(self, text: str, state: State) -> bool:
        """Say whether an intent is achieved as things stand."""
        for item in surface.parse(text, self._toolset, self._world).items:
            intent = self._toolset.intents.get(item.name) if isinstance(item, Call) else None
            if not isinstance(item, Call) or intent is None:
                return False
            if self._symbolic.missing(intent.achieve, state, self._symbolic.binding(item.args)):
                return False
        return True

    def same_with(self, text: str, reading: Reading) -> tuple[str, ...]:
        """Return the call before with another thing, for an order that only names one: "then the tank pressure"."""
        rest = ' '.join(word for word in reading.words if word not in english.DETERMINERS)
        named = {mention.ids for mention in reading.mentions}
        if len(named) != 1 or rest != ' '.join(mention.text for mention in reading.mentions) or '\n' in text:
            return ()
        (call,) = calls_of(surface.parse(text, self._toolset, self._world).items)
        for name, arg in self._items[call.name].args.items():
            fit = [item for item in reading.mentions[0].ids if item in arg.values]
            if len(fit) == 1 and call.args[name] in arg.values:
                return (str(Call(call.name, {**call.args, name: fit[0]})),)
        return ()

    # Conditions ------------------------------------------------------------------------------------------------------
    def conditions(self, reading: Reading, *, is_unless: bool, asked: tuple[str, ...] = ()) -> tuple[str, ...]:
        """
        Return ``read_gauge(pressure_gauge) > 4`` for words like "it is over 4 bar".

        Parameters
        ----------
        reading : Reading
            The words of the condition.
        is_unless : bool
            It is to be turned round.
        asked : tuple of str
            Readings that were ordered just before, which "it" may stand for.

        """
        is_turned = is_unless != bool(_NOT & set(reading.words))
        if len(reading.quantities) == 1:
            return self._compared(reading, reading.quantities[0], is_turned, asked)
        return self._states(reading, is_turned) if not reading.quantities else ()

    def _compared(
        self, reading: Reading, quantity: Quantity, is_turned: bool, asked: tuple[str, ...]
    ) -> tuple[str, ...]:
        op = _op(reading.words)
        if not op:
            return ()
        op = _INVERSE[op] if is_turned else op
        named = reading.named()
        found = []
        for tool in vocabulary.readings(self._toolset):
            returned = vocabulary.main_return(tool)
            assert returned is not None
            if returned.type not in ('number', 'integer') or any(arg.type != 'enum' for arg in tool.args.values()):
                continue
            for values in itertools.product(*(arg.values for arg in tool.args.values())):
                call = f'{tool.name}({", ".join(values)})'
                if named & {v for arg in tool.args.values() for v in arg.values}:
                    if not named & set(values):
                        continue
                elif asked and call not in asked:
                    continue
                unit = self._unit(tool, values, returned.unit)
                number = _in_unit(quantity, unit)
                if number is not None:
                    found.append(f'{call} {op} {written(number).removesuffix(".0")}')
        return tuple(found)

    def _unit(self, tool: Tool, values: tuple[str, ...], unit: str) -> str:
        if not unit.startswith('$'):
            return unit
        name, _, attribute = unit[1:].partition('.')
        entity = self._world.entities.get(dict(zip(tool.args, values, strict=True)).get(name, ''))
        return entity.attribute(attribute) if entity is not None else ''

    def _states(self, reading: Reading, is_turned: bool) -> tuple[str, ...]:
        stems = {stem(word) for word in reading.words}
        named = reading.named()
        found = []
        for name, (things, values) in vocabulary.queries(self._world).items():
            for thing in sorted(named & things):
                known = (named - {thing}) | (stems - self._world.entities.keys())
                said = sorted(polarity.said_of(values, reading.words)) or sorted(values & known)
                for value in said:
                    others = sorted(values - {value})
                    if is_turned and len(others) != 1:
                        return ()
                    found.append(f'{name}({thing}) == {others[0] if is_turned else value}')
        return tuple(found)


def _gives(item: Tool | Intent) -> tuple[Pattern, ...]:
    return item.achieve if isinstance(item, Intent) else item.gives


def _times(reading: Reading) -> tuple[int, ...]:
    """Return the numbers that may say how often."""
    return tuple(int(q.value) for q in reading.quantities if not q.unit and q.value.is_integer() and 2 <= q.value <= 20)


def _said(values: tuple[str, ...], words: tuple[str, ...]) -> tuple[str, ...]:
    """Return the values, of opposed ones only those that are said."""
    said = polarity.said_of(values, words)
    return tuple(value for value in values if value in said) if said else values


def _op(words: tuple[str, ...]) -> str:
    """Return how a number is compared."""
    said = set(words)
    if 'least' in said or 'reaches' in said:
        return '>='
    if 'most' in said:
        return '<='
    is_above, is_below = bool(said & english.ABOVE), bool(said & english.BELOW)
    if is_above == is_below:
        return ''
    return '>' if is_above else '<'


def _in_unit(quantity: Quantity, unit: str) -> float | None:
    """Return the number in a unit; None where the unit that was said measures something else."""
    if quantity.unit == SHARE:
        return None
    return quantity.value if not quantity.unit else quantity.within(unit)


def _is_all(mention: Mention, reading: Reading) -> bool:
    before = reading.words[max(0, mention.start - 3) : mention.start]
    return bool(_ALL & set(before)) and mention.is_plural


def _for_each(call: str, mention: Mention) -> str:
    """Return the call for each thing of a mention; '' where it is about none of them."""
    name, _, inside = call.removesuffix(')').partition('(')
    values = inside.split(', ')
    at = next((index for index, value in enumerate(values) if value in mention.ids), None)
    if at is None:
        return ''
    return '\n'.join(f'{name}({", ".join((*values[:at], item, *values[at + 1 :]))})' for item in mention.ids)
