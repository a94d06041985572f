# SPDX-License-Identifier: Apache-2.0
"""What each clause of a command asks to be done, by the tools' own words: holds a draft against dropped clauses."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from gemma4_ros.core.facts import Pattern
from gemma4_ros.core.planning import english, polarity
from gemma4_ros.core.planning.coverage import Gap
from gemma4_ros.core.planning.draft import Branch, Call, Draft, Item, Loop, Together, calls
from gemma4_ros.core.planning.mentions import Reading, negated_words, stem
from gemma4_ros.core.planning.numbers import Quantity
from gemma4_ros.core.tools import Arg, Intent, Tool, Toolset

_PARTICLES = frozenset(('on', 'off', 'up', 'down', 'out', 'away'))
Effect = tuple[str, str, str]
"""Function, kind of its first argument (``robot`` or ``$``), value where it is constant."""


@dataclass(frozen=True, slots=True)
class Clause:
    """Words ``start`` to ``end``: tools with whole phrases in it that its names fit (``spoken``:
    whether they fit or not), tools of which only a part is there, and a verb nobody knows."""

    start: int
    end: int
    tools: tuple[str, ...]
    spoken: tuple[str, ...]
    partly: tuple[str, ...]
    unknown_verb: str
    text: str


class Clauses:
    """The words of one toolset, compared by their verb stems."""

    def __init__(self, toolset: Toolset) -> None:
        self._items: dict[str, Tool | Intent] = {**toolset.intents, **toolset.tools}
        self._phrases = {
            name: tuple({_verbs(text.split()) for text in (*item.words, name.replace('_', ' '))})
            for name, item in self._items.items()
        }

    def read(self, reading: Reading, known: frozenset[str] = frozenset()) -> tuple[Clause, ...]:
        """Take a command apart; ``known`` are words that are no unknown verb."""
        negated = {i for mention in reading.mentions if mention.is_negated for i in range(mention.start, mention.end)}
        negated |= negated_words(reading.words)
        found = []
        start = 0
        for index in range(len(reading.words) + 1):
            if index < len(reading.words) and reading.words[index] not in english.CLAUSES:
                continue
            is_condition = start > 0 and reading.words[start - 1] in english.FORKS
            is_condition = is_condition or bool(english.TELLING & set(reading.words[start:index]))  # "the lid is open"
            if index > start and not is_condition and not negated & set(range(start, index)):
                found.append(self._clause(reading, start, index, known))
            start = index + 1
        return tuple(found)

    def starts(self, words: tuple[str, ...]) -> bool:
        """Say whether the words start with a phrase of a tool."""
        stems = tuple(_verb(word) for word in words[:4])
        return any(stems[: len(phrase)] == phrase for phrases in self._phrases.values() for phrase in phrases if phrase)

    def values_said(self, reading: Reading) -> frozenset[str]:
        """Return the values of arguments whose words stand in the command: "stowed" for "stow the arm"."""
        stems = tuple(_verb(word) for word in reading.words)
        args = [arg for item in self._items.values() for arg in item.args.values() if arg.type == 'enum']
        return frozenset(value for arg in args for value in arg.values if _contains(stems, _verbs(value.split('_'))))

    def _clause(self, reading: Reading, start: int, end: int, known: frozenset[str]) -> Clause:
        words = reading.words[start:end]
        stems = tuple(_verb(word) for word in words if word not in english.DETERMINERS)
        lengths = {name: self._longest(name, stems) for name in self._items}
        longest = max(lengths.values(), default=0)
        tools = [name for name, length in lengths.items() if length and length == longest]
        tools = (
            tools
            if any(self._takes(name, reading, start, end) for name in tools)
            else (self._setting(reading, start, end) or tools)
        )
        partly = [name for name in self._items if not longest and self._starts(name, stems)]
        covered = {i for mention in reading.mentions for i in range(mention.start, mention.end)}
        first = next((i for i in range(start, end) if reading.words[i] not in english.POLITE), end)
        verb = reading.words[first] if first < end else ''
        is_unknown = (
            bool(verb)
            and verb.isalpha()
            and first not in covered
            and stem(verb) not in known
            and not tools
            and not partly
        )
        return Clause(
            start,
            end,
            self._sayable(tools, reading, start, end),
            tuple(tools),
            tuple(partly),
            verb if is_unknown else '',
            ' '.join(words),
        )

    def _takes(self, name: str, reading: Reading, start: int, end: int) -> bool:
        named = {item for m in reading.mentions if start <= m.start < end for item in m.ids}
        return any(named & set(arg.values) for arg in self._items[name].args.values() if arg.type == 'enum')

    def _setting(self, reading: Reading, start: int, end: int) -> list[str]:
        """Return the tools of "light on" and "pump to 900 rpm": they take what is named and what it is to be."""
        words = reading.words[start:end]
        said = [q for q in reading.quantities if start <= q.start < end and (q.unit or q.of_most)]
        return [
            name
            for name, item in self._items.items()
            if self._takes(name, reading, start, end) and any(_is_said(arg, words, said) for arg in item.args.values())
        ]

    def _sayable(self, tools: list[str], reading: Reading, start: int, end: int) -> tuple[str, ...]:
        """Return the tools that take most of the clause's names, and those that take none."""
        inside = [set(mention.ids) for mention in reading.mentions if start <= mention.start < end]
        said = set(reading.words[start:end])  # "ready" of a posture
        fit: dict[str, int] = {}
        for name in tools:
            enums = [set(arg.values) for arg in self._items[name].args.values() if arg.type == 'enum']
            taken = sum(any(ids & values for values in enums) for ids in inside)
            taken += sum(bool(said & values) for values in enums)
            if taken or all(len(values) < 2 for values in enums):
                fit[name] = taken
        if not inside and not {'it', 'them', 'there'} & said:
            return tuple(tools) if fit and reading.is_vague else tuple(fit)
        best = max(fit.values(), default=0)
        free = {name for name in fit if not self._items[name].args}
        return tuple(name for name, taken in fit.items() if taken == best or name in free) or tuple(tools)

    def _longest(self, name: str, stems: tuple[str, ...]) -> int:
        return max((len(phrase) for phrase in self._phrases[name] if _contains(stems, phrase)), default=0)

    def _starts(self, name: str, stems: tuple[str, ...]) -> bool:
        return any(len(phrase) > 1 and phrase[0] in stems for phrase in self._phrases[name])

    def gaps(self, draft: Draft, reading: Reading, known: frozenset[str], *, is_first: bool) -> tuple[Gap, ...]:
        """
        Hold a draft against the clauses.

        Parameters
        ----------
        draft : Draft
            Of kind ``do``.
        reading : Reading
            The command.
        known : frozenset of str
            `Lexicon.known`.
        is_first : bool
            The first draft: what is only unlikely is asked about once.

        """
        clauses, items = self.read(reading, known), calls(draft.items)
        found = [
            Gap(
                f'add {" or ".join(clause.tools[:3])} for {clause.text!r}',
                people=f'no step does {clause.text!r}',
                is_missing=True,
            )
            for clause in clauses
            if self.left_out(clause, items)
        ]
        found += [
            Gap(f'{clause.text!r} may be {" or ".join(clause.partly)}: ask which', choices=clause.partly)
            for clause in clauses
            if self.opposed(clause.partly) and {call.name for call in items} & set(clause.partly)
        ]
        verb = next((clause.unknown_verb for clause in clauses if clause.unknown_verb), '')
        if verb and not any(clause.spoken for clause in clauses) and all(self._moves_itself(call) for call in items):
            found.append(Gap(f'no call can {verb!r}; say cannot("no call can {verb}")', people=f'no call can {verb!r}'))
        found += self._forbidden(items, reading)
        found += self._contradictions(items, reading)
        found += _form_gaps(draft, reading, is_first=is_first)
        return tuple(found)

    def _moves_itself(self, call: Call) -> bool:
        """Say whether a call changes nothing but the robot: what a model falls back on where it knows no better."""
        return all(effect[1] != '$' for effect in self._gives(call.name))

    def _forbidden(self, items: tuple[Call, ...], reading: Reading) -> list[Gap]:
        """Return calls that do to a name just what the command says not to do to it, whatever else it says."""
        found = []
        for mention in reading.mentions:
            if not mention.is_negated:
                continue
            start = max((i + 1 for i in range(mention.start) if reading.words[i] in english.CLAUSES), default=0)
            clause = self._clause(reading, start, mention.end, frozenset())
            for call in items:
                if call.name in clause.tools and set(mention.ids) & {str(value) for value in call.args.values()}:
                    why = f'the command says not to: {clause.text!r}'
                    found.append(Gap(f'{why}; leave {call} out', people=why, is_missing=True))
        return found

    def _contradictions(self, items: tuple[Call, ...], reading: Reading) -> list[Gap]:
        """Return calls that undo each other though they are to be done at once."""
        text = f' {" ".join(reading.words)} '
        if not any(f' {phrase} ' in text for phrase in english.AT_ONCE):
            return []
        return [
            Gap(f'{a} and {b} undo each other', people=f'{a} and {b} undo each other: that cannot be done at once')
            for index, a in enumerate(items)
            for b in items[index + 1 :]
            if a.args == b.args and self.opposed((a.name, b.name))
        ]

    # Against a draft -------------------------------------------------------------------------------------------------
    def left_out(self, clause: Clause, calls: Iterable[Call]) -> bool:
        """Say whether nothing in the draft does what the words of a clause ask for, or needs it done."""
        if not clause.tools:
            return False
        used = {call.name for call in calls}
        wanted = {effect for name in clause.tools for effect in self._gives(name)}
        done = {effect for name in used for effect in (*self._gives(name), *self._needs(name))}
        return not used & set(clause.tools) and not any(_agree(a, b) for a in wanted for b in done)

    def opposed(self, names: tuple[str, ...]) -> bool:
        """Say whether tools undo each other: one closes what the other opens."""
        effects = [self._gives(name) for name in names]
        return any(
            a[:2] == b[:2] and a[2] and b[2] and a[2] != b[2]
            for i, first in enumerate(effects)
            for second in effects[i + 1 :]
            for a in first
            for b in second
        )

    def _gives(self, name: str) -> tuple[Effect, ...]:
        item = self._items.get(name)  # none for a condition on the state
        if item is None:
            return ()
        return tuple(_effect(pattern) for pattern in (item.achieve if isinstance(item, Intent) else item.gives))

    def _needs(self, name: str) -> tuple[Effect, ...]:
        item = self._items.get(name)
        return tuple(_effect(pattern) for pattern in item.needs) if isinstance(item, Tool) else ()


def _is_said(arg: Arg, words: tuple[str, ...], said: list[Quantity]) -> bool:
    """Say whether the words hold one of two opposed values of an argument, or a number in its unit."""
    if arg.type == 'enum':
        return bool(polarity.said_of(arg.values, words))
    numbers = (
        [q.as_argument(arg.unit, arg.high) for q in said] if arg.unit and arg.type in ('number', 'integer') else []
    )
    return any(number is not None and arg.low <= number <= arg.high for number in numbers)


def _effect(pattern: Pattern) -> Effect:
    first = pattern.args[0].head if pattern.args else ''
    value = pattern.value
    constant = value.head if value.args is None and not value.is_argument else ''
    return pattern.name, '$' if first.startswith('$') else first, constant


def _agree(a: Effect, b: Effect) -> bool:
    return a[:2] == b[:2] and (not a[2] or not b[2] or a[2] == b[2])


def _contains(stems: tuple[str, ...], phrase: tuple[str, ...]) -> bool:
    if len(phrase) == 2 and phrase[1] in _PARTICLES:  # "turn the sprinkler on"
        return phrase[0] in stems and phrase[1] in stems[stems.index(phrase[0]) + 1 :]
    return any(stems[i : i + len(phrase)] == phrase for i in range(len(stems) - len(phrase) + 1))


def _verbs(words: Iterable[str]) -> tuple[str, ...]:
    return tuple(_verb(word.lower()) for word in words if word.lower() not in english.DETERMINERS)


def _verb(word: str) -> str:
    """Return a verb without its ending: charging, charged, charges, charge."""
    word = word[:-1] if word.endswith('s') and len(word) > 3 and not word.endswith('ss') else word
    for ending in ('ing', 'ed', 'e'):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            word = word[: -len(ending)]
            if ending in ('ing', 'ed') and len(word) > 3 and word[-1] == word[-2] and word[-1] not in 'ls':
                word = word[:-1]
            break
    return word


def _form_gaps(draft: Draft, reading: Reading, *, is_first: bool) -> list[Gap]:
    """Return conditions and repetitions that the command does not speak of, and a condition that is missing."""
    words, found = set(reading.words), []
    has_branch = any(isinstance(item, Branch) for item in _controls(draft.items))
    if has_branch and not words & english.CONDITIONS:
        found.append(Gap('the command has no condition: leave the if out'))
    if is_first and not has_branch and 'if' in words and reading.quantities:
        found.append(Gap('the command has a condition: write if ... { }'))
    times = {item.times for item in _controls(draft.items) if isinstance(item, Loop)}
    if times and not words & english.COUNTS and not times & set(reading.numbers):
        found.append(Gap('the command asks for no repetition: leave the repeat out'))
    return found


def _controls(items: Iterable[Item]) -> list[Branch | Loop]:
    """Return every branch and loop of a draft."""
    found: list[Branch | Loop] = []
    for item in items:
        match item:
            case Branch():
                found += [item, *_controls((*item.then, *item.otherwise))]
            case Loop():
                found += [item, *_controls(item.body)]
            case Together():
                for branch in item.branches:
                    found += _controls(branch)
    return found
