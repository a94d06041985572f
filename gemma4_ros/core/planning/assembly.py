# SPDX-License-Identifier: Apache-2.0
"""A draft put together order by order: code takes the command apart, the model chooses where there is a choice."""

from __future__ import annotations

from collections.abc import Callable

from gemma4_ros.core.errors import CheckError, CompletionError, DraftError, PlanError
from gemma4_ros.core.facts import State
from gemma4_ros.core.planning import coverage, english, surface
from gemma4_ros.core.planning.candidates import Candidates
from gemma4_ros.core.planning.clauses import Clauses
from gemma4_ros.core.planning.completion import complete
from gemma4_ros.core.planning.mentions import Lexicon, Mention, Reading, negated_words, stem
from gemma4_ros.core.planning.outline import AtOnce, Fork, Node, Order, Outlines
from gemma4_ros.core.planning.scope import Scope
from gemma4_ros.core.planning.symbolic import Symbolic

Write = Callable[[str, tuple[str, ...], surface.Ways, tuple[str, ...]], str]
"""Called with an order, the orders before it, its ways and the drafts to choose from (none: any); writes its draft."""


_POINTING = frozenset(('it', 'them', 'that', 'this', 'there', 'those', 'these'))
_AGAIN = ('as well', 'too', 'also', 'same with', 'same for', 'same again with')
_PREPOSITIONS = frozenset(('in', 'into', 'to', 'on', 'onto', 'back'))


class Assembly:
    """Puts drafts together for one world and toolset."""

    def __init__(self, symbolic: Symbolic, lexicon: Lexicon, clauses: Clauses, scope: Scope) -> None:
        self._symbolic = symbolic
        self._lexicon = lexicon
        self._clauses = clauses
        self._scope = scope
        self._outlines = Outlines(clauses, lexicon)
        self._candidates = Candidates(symbolic, lexicon, clauses)

    def text(self, reading: Reading, state: State, write: Write, dialogue: tuple[str, ...] = ()) -> str:
        """
        Return the draft of a command.

        Raises
        ------
        DraftError
            The command cannot be taken apart, or what a part asks for cannot be told.

        """
        again = self._again(reading, dialogue, state)
        outline = self._outlines.read(self.read(again, state) if again else reading)
        if not outline:
            raise DraftError('the command cannot be taken apart')
        parts = _Parts(self, state, write if len(outline) > 1 else _chosen_only(write))
        for line in dialogue:  # what "it" may stand for
            parts.remember(self.read(line, state))
        return parts.text(outline)

    def _again(self, reading: Reading, dialogue: tuple[str, ...], state: State) -> str:
        """Return the last command with another thing for "now the hops as well"; '' where it is not that."""
        said = [line.partition(':')[2] for line in dialogue if line.startswith('operator:')]
        text = f' {" ".join(reading.words)} '
        if not said or len(reading.mentions) != 1 or not any(f' {phrase} ' in text for phrase in _AGAIN):
            return ''
        (mention,) = reading.mentions
        before = self.read(said[-1], state)
        groups = {self._symbolic.world.entities[item].group for item in mention.ids}
        same = [m for m in before.mentions if self.is_in(m, *groups) and not m.is_negated]
        if len(same) != 1:
            return ''
        return ' '.join((*before.words[: same[0].start], mention.text, *before.words[same[0].end :]))

    def is_understood(self, reading: Reading) -> bool:
        """Say whether every word of what is to be done is known."""
        left_out = negated_words(reading.words)
        left_out |= {i for number in reading.quantities for i in range(number.start, number.end + 3)}
        left_out |= {i for mention in reading.mentions for i in range(mention.start, mention.end)}
        words = (w for i, w in enumerate(reading.words) if i not in left_out and w[0].isalpha())
        return all(word in english.PLAIN or stem(word) in self._lexicon.known for word in words)

    def read(self, text: str, state: State) -> Reading:
        """Return the reading of a part."""
        return coverage.narrowed(self._lexicon.read(text), self._symbolic.world, state)

    def found(self, reading: Reading, order: str, state: State, *, is_pointing: bool = False) -> tuple[str, ...]:
        """Return the drafts that say what an order says."""
        return self._candidates.of(reading, self._scope.ways(order, reading, state), state, is_pointing=is_pointing)

    def same_with(self, last: str, reading: Reading) -> tuple[str, ...]:
        """Return the call before for another thing, where the order only names one."""
        return self._candidates.same_with(last, reading)

    def uses(self, text: str, said: str, order: str) -> bool:
        """Say whether a draft is about what stands for "it"."""
        before = self._lexicon.read(order).named()
        pointed = self._lexicon.read(said).named() - before
        things = {item for item in pointed if self._symbolic.world.entities[item].group != 'places'} or pointed
        return any(f'({item}' in text or f' {item}' in text for item in things)

    def is_said(self, text: str, reading: Reading, order: str, state: State) -> bool:
        """Say whether a draft says what an order says."""
        ways = self._scope.ways(order, reading, state)
        return text in self._candidates.saying(reading, ways, state, is_pointing=True)

    def with_place(self, order: str, reading: Reading, first: State) -> str:
        """Return "take the crate back" with the place where the crate was before the command."""
        world = self._symbolic.world
        if 'back' not in reading.words or any(self.is_in(mention, 'places') for mention in reading.mentions):
            return order
        things = [m.ids[0] for m in reading.mentions if len(m.ids) == 1 and self.is_in(m, 'objects')]
        place = world.place_of(first, things[0] if things else world.robot)
        if len(things) > 1 or place is None or place not in world.group('places'):
            return order
        return order.replace('back', f'back to {place.replace("_", " ")}')

    def after(self, text: str, state: State) -> State:
        """Return the state that a draft leads to."""
        try:
            draft = surface.parse(text, self._symbolic.toolset, self._symbolic.world)
            return complete(self._symbolic, draft, text, state).state
        except (CompletionError, CheckError, PlanError):
            return state  # nothing to do, or not possible, which the check of the whole tells

    def choose(
        self, reading: Reading, order: str, earlier: tuple[str, ...], state: State, found: tuple[str, ...], write: Write
    ) -> str:
        """Return the draft of an order: the only one that says what it says, or what the model chooses or writes."""
        if len(found) == 1:
            return found[0]
        if not found and any(clause.unknown_verb for clause in self._clauses.read(reading, self._lexicon.known)):
            raise DraftError(f'no call does {order!r}')
        world, toolset = self._symbolic.world, self._symbolic.toolset
        text = write(order, earlier, self._scope.ways(order, reading, state), found)
        draft = surface.parse(text, toolset, world)
        if draft.kind != 'do' or coverage.gaps(draft, reading, world, toolset, state):
            raise DraftError(f'no call says {order!r}')
        return text

    def condition(self, fork: Fork, before: str, state: State) -> tuple[str, bool, Reading]:
        """Return the condition, whether the reading ordered ``before`` is its own, and its words."""
        reading = self.read(fork.condition, state)
        asked = tuple(line for line in (before,) if line)
        found = self._candidates.conditions(reading, is_unless=fork.is_unless, asked=asked)
        if not found and asked:
            found = self._candidates.conditions(reading, is_unless=fork.is_unless)
        if len(found) != 1:
            raise DraftError(f'the condition {fork.condition!r} may be {" or ".join(found[:4]) or "anything"}')
        return found[0], bool(before) and found[0].startswith(before), reading

    def is_in(self, mention: Mention, *groups: str) -> bool:
        """Say whether a mention names something of these groups."""
        return bool(mention.ids) and all(self._symbolic.world.entities[item].group in groups for item in mention.ids)


def _chosen_only(write: Write) -> Write:
    """Return what does not ask again for the whole command."""

    def choose(order: str, earlier: tuple[str, ...], ways: surface.Ways, found: tuple[str, ...]) -> str:
        if not found:
            raise DraftError(f'no call says {order!r}')
        return write(order, earlier, ways, found)

    return choose


class _Parts:
    """One command's parts on their way to a draft."""

    def __init__(self, assembly: Assembly, state: State, write: Write) -> None:
        self._assembly = assembly
        self._first = self._before = self._state = state
        self._write = write
        self._orders: list[str] = []
        self._named: list[str] = []
        self._place = ''

    def text(self, nodes: tuple[Node, ...]) -> str:
        """Return the draft of some parts."""
        drafts: list[str] = []
        for index, node in enumerate(nodes):
            match node:
                case Order():
                    draft = self._order(node.text, drafts[-1] if drafts else '')
                    drafts += [draft] if draft else []
                case Fork():
                    before = drafts[-1] if index and isinstance(nodes[index - 1], Order) else ''
                    fork, is_own = self._fork(node, before)
                    drafts = [*(drafts[:-1] if is_own else drafts), fork]
                case AtOnce():
                    drafts.append(f'both {{\n{self.text(node.first)}\n}} and {{\n{self.text(node.second)}\n}}')
        return '\n'.join(drafts)

    def _fork(self, fork: Fork, before: str) -> tuple[str, bool]:
        condition, is_own, reading = self._assembly.condition(fork, before, self._state)
        self.remember(reading)
        state = self._state
        then = self.text(fork.then)
        self._state = state
        other = f' else {{\n{self.text(fork.otherwise)}\n}}' if fork.otherwise else ''
        self._state = state
        return f'if {condition} {{\n{then}\n}}{other}', is_own

    def _order(self, order: str, last: str) -> str:
        """Return the draft of an order; '' where the one before it says the same."""
        is_pointing = bool(_POINTING & set(order.split()))
        readings: list[tuple[str, Reading]] = []
        for text in self._referents(order):
            said = self._assembly.with_place(text, self._assembly.read(text, self._first), self._first)
            readings.append((said, self._assembly.read(said, self._state)))
        found: tuple[str, ...] = ()
        for said, reading in readings:
            found = self._assembly.found(reading, said, self._state, is_pointing=is_pointing)
            if found:
                break
        else:
            found = self._assembly.same_with(last, readings[0][1]) if last and readings else ()
            said, reading = readings[0] if readings else (order, self._assembly.read(order, self._state))
            if last and any(self._assembly.is_said(last, reading, text, self._before) for text, reading in readings):
                return ''
        if is_pointing and len(found) > 1:
            found = tuple(text for text in found if self._assembly.uses(text, said, order)) or found
        text = self._assembly.choose(reading, said, tuple(self._orders), self._state, found, self._write)
        self._orders.append(said)
        self._before, self._state = self._state, self._assembly.after(text, self._state)
        self.remember(reading)
        return text

    def _referents(self, order: str) -> list[str]:
        """Return the order with what was named before in the place of "it" or before it, the last one first."""
        words = order.split()
        if not _POINTING & set(words):
            is_short = bool(words) and words[0] in _PREPOSITIONS  # "..., else in the small box"
            return [order, *(f'{text} {order}' for text in reversed(self._named) if is_short)]
        return [' '.join(self._pointed(word, text) for word in words) for text in reversed(self._named)]

    def _pointed(self, word: str, text: str) -> str:
        if word == 'there':
            return self._place or word
        return text if word in _POINTING else word

    def remember(self, reading: Reading) -> None:
        """Take what was named as what "it" and "there" may stand for."""
        for mention in reading.mentions:
            if mention.is_negated:
                continue
            self._named = [*(text for text in self._named if text != mention.text), mention.text]
            if self._assembly.is_in(mention, 'places'):
                self._place = mention.text
                self._named = [mention.text, *self._named[:-1]]  # "it" is a thing before it is a place
