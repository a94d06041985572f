# SPDX-License-Identifier: Apache-2.0
"""What the planner says where it has no plan: sentences made by code from facts, never free text of a model."""

from __future__ import annotations

from typing import Literal

from gemma4_ros.core.facts import State
from gemma4_ros.core.planning import surface
from gemma4_ros.core.planning.draft import Draft
from gemma4_ros.core.planning.hint import contents
from gemma4_ros.core.planning.mentions import Reading
from gemma4_ros.core.tools import Intent, Tool, Toolset
from gemma4_ros.core.world import World

MAX_CHOICES = 12


class Replies:
    """Sentences about one world and toolset."""

    def __init__(self, world: World, toolset: Toolset) -> None:
        self._world = world
        self._toolset = toolset

    def reply(
        self, draft: Draft, reading: Reading, state: State
    ) -> tuple[Literal['answer', 'ask', 'cannot'], str, tuple[str, ...]]:
        """Return kind, sentence and choices of a draft that is no plan."""
        if draft.kind == 'answer':
            return 'answer', self.answer(draft.text, state), ()
        if draft.kind == 'ask':
            text, choices = self._ask(draft.choices)
            return 'ask', text, choices
        return 'cannot', self.cannot(draft.text, reading), ()

    def answer(self, query: str, state: State) -> str:
        """Answer ``at(spare_filter)`` or ``places`` from the facts."""
        if query in surface.ABOUT:
            if query == 'tools':
                names: list[Tool | Intent] = [*self._toolset.intents.values(), *self._toolset.tools.values()]
                return 'I can: ' + '; '.join(dict.fromkeys(item.doc for item in names)) + '.'
            return f'I know these {query}: ' + ', '.join(self._said(item) for item in self._world.group(query)) + '.'
        name, _, rest = query.partition('(')
        subject = rest.removesuffix(')')
        if name == 'contents':
            things = ', '.join(self._said(item) for item in contents(subject, self._world, state))
            return f'At {self._said(subject)}: {things or "nothing that I know of"}.'
        value = state.get((name, (subject,)))
        if value is None:
            return f'I do not know {name} of {self._said(subject)}.'
        function = self._world.functions[name]
        label = {'at': 'is at', 'holding': 'holds'}.get(name, f'{name.replace("_", " ")} is')
        doc = f' ({function.doc})' if function.doc and name not in ('at', 'holding') else ''
        return f'{self._said(subject)}: {label} {self._said(value)}{doc}.'

    def which(self, ids: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
        """Ask which of several things is meant."""
        return f'Which do you mean: {", ".join(self._said(item) for item in ids)}?', ids

    def unknown(self, phrase: str) -> tuple[str, tuple[str, ...]]:
        """Say that a thing is not known, and what is."""
        things = (*self._world.group('objects'), *self._world.group('places'), *self._world.group('equipment'))[
            :MAX_CHOICES
        ]
        return (
            f'I do not know "{phrase}". What I know: {", ".join(self._said(item) for item in things)}. '
            'What do you mean?',
            things,
        )

    def cannot(self, reason: str, reading: Reading) -> str:
        """Say what is missing; the model's words are quoted as such."""
        if reading.unknown:
            return f'I cannot do that: I do not know "{reading.unknown[0]}".'
        return f'I cannot do that: "{reason}".'

    def no_plan(self, reason: str) -> str:
        """Say why no plan was found."""
        return f'I found no plan: {reason}.'

    def _ask(self, choices: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
        if len(choices) > 1 or (choices and choices[0] not in surface.UNCLEAR):
            return self.which(choices)
        kind = choices[0] if choices else 'task'
        if kind in ('object', 'place'):
            things = self._world.group(f'{kind}s')[:MAX_CHOICES]
            return f'Which {kind} do you mean: {", ".join(self._said(item) for item in things)}?', things
        return ('Which value do you mean?' if kind == 'value' else 'What should I do?'), ()

    def _said(self, item: str) -> str:
        return item.replace('_', ' ')
