# SPDX-License-Identifier: Apache-2.0
"""The planner: draft, complete, check, repair; then a plan, an answer, a question or a refusal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal

from gemma4_ros.core.errors import CheckError, CompletionError, DraftError, PlanError
from gemma4_ros.core.facts import State
from gemma4_ros.core.plan import Plan, plan_sha256, plan_to_bytes
from gemma4_ros.core.planning import command, coverage, prompts, surface
from gemma4_ros.core.planning.assembly import Assembly
from gemma4_ros.core.planning.checks import Budgets, check_plan
from gemma4_ros.core.planning.clauses import Clauses
from gemma4_ros.core.planning.completion import complete
from gemma4_ros.core.planning.draft import Draft
from gemma4_ros.core.planning.hint import hint
from gemma4_ros.core.planning.mentions import Lexicon, Reading
from gemma4_ros.core.planning.replies import Replies
from gemma4_ros.core.planning.scope import Scope, asks, asks_first
from gemma4_ros.core.planning.symbolic import Symbolic
from gemma4_ros.core.ports import GenerateRequest, LanguageModel, Message, never
from gemma4_ros.core.tools import Toolset
from gemma4_ros.core.world import World

MAX_REPAIRS = 2
MAX_DRAFT_TOKENS = 400
Kind = Literal['plan', 'answer', 'ask', 'cannot']
How = Literal['evident', 'sure', 'any']
OnPhase = Callable[[str, str], None]


def _silent(phase: str, text: str) -> None:
    """Report to nobody."""


@dataclass(slots=True)
class Effort:
    """What one command took of the model."""

    passes: int = 0
    output_tokens: int = 0
    forced_tokens: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    model_s: float = 0.0
    repairs: int = 0
    calls: int = 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the planner has to say: ``plan`` and ``data`` (its canonical bytes) for kind ``plan``, else ``text``."""

    kind: Kind
    text: str = ''
    choices: tuple[str, ...] = ()
    plan: Plan | None = None
    data: bytes = b''
    draft: str = ''
    notes: tuple[str, ...] = ()
    effort: Effort = field(default_factory=Effort)

    @property
    def sha256(self) -> str:
        """Return the plan's name; empty without one."""
        return plan_sha256(self.data) if self.data else ''


@dataclass(frozen=True, slots=True)
class Failure:
    """A plan that failed: what it was for, the step and the reason; the new one starts from the state reached."""

    goal: str
    step: str
    reason: str


@dataclass(slots=True)
class _Turn:
    """One command on its way."""

    text: str
    reading: Reading
    state: State
    cancelled: Callable[[], bool]
    on_phase: OnPhase
    deadline_s: float
    effort: Effort
    notes: list[str]


class Planner:
    """Plans for one world and toolset with one model."""

    def __init__(
        self,
        world: World,
        toolset: Toolset,
        model: LanguageModel,
        *,
        languages: tuple[str, ...] = ('en',),
        budgets: Budgets = Budgets(),  # noqa: B008 - frozen, so one for all is safe
    ) -> None:
        self.world = world
        self.toolset = toolset
        self.model = model
        self._languages = languages
        self._budgets = budgets
        self.symbolic = Symbolic(world, toolset)
        self._lexicon = Lexicon(world, toolset)
        self._clauses = Clauses(toolset)
        self._scope = Scope(self.symbolic, self._lexicon, self._clauses)
        self._assembly = Assembly(self.symbolic, self._lexicon, self._clauses, self._scope)
        self._shots = prompts.examples(toolset, world, self._hint)
        self._replies = Replies(world, toolset)

    @property
    def constant_messages(self) -> tuple[Message, ...]:
        """Return what stands before every command of this robot: rules, calls, names and examples."""
        return self._messages('hello', self.world.initial, ())[:-1]

    def warm(self) -> None:
        """Let the model read the constant part of the prompt, so that the first command is as fast as the next."""
        self.model.generate(self._request(self._messages('hello', self.world.initial, ()), surface.Ways(), 300.0))

    def _hint(self, text: str) -> str:
        return hint(self._lexicon.read(text), self.world, self.toolset, self.world.initial)

    def _read(self, text: str, state: State) -> Reading:
        return coverage.narrowed(self._lexicon.read(text), self.world, state)

    def _messages(self, text: str, state: State, dialogue: tuple[str, ...]) -> tuple[Message, ...]:
        told = hint(self._read(text, state), self.world, self.toolset, state)
        return prompts.messages(self.toolset, self.world, state, text, dialogue, self._shots, told)

    def plan(
        self,
        text: str,
        state: State,
        *,
        dialogue: tuple[str, ...] = (),
        failure: Failure | None = None,
        deadline_s: float = 60.0,
        cancelled: Callable[[], bool] = never,
        on_phase: OnPhase = _silent,
    ) -> Outcome:
        """
        Plan one command from ``state``.

        Raises
        ------
        CommandError
            The text cannot be taken; says why.
        ModelError
            The model did not answer: absent, late, cancelled, died.

        """
        text = command.clean(text)
        command.check_numerals(text)
        reading = self._read(text, state)
        command.check_language(text, reading.known_share, self._languages)
        command.check_changes(reading.words, reading.quantities)
        turn = _Turn(text, reading, state, cancelled, on_phase, deadline_s, Effort(), [])
        evident = self._by_orders(turn, dialogue, 'evident') if failure is None else None
        if evident is not None:
            return evident
        messages = self._messages(text, state, dialogue)
        if failure is not None:
            messages = _with_failure(messages, failure)
        return self._draft_until_right(turn, messages, dialogue)

    # Draft, complete, check, repair ----------------------------------------------------------------------------------
    def _draft_until_right(self, turn: _Turn, messages: tuple[Message, ...], dialogue: tuple[str, ...]) -> Outcome:
        has_dialogue = bool(dialogue)
        ways = surface.Ways() if has_dialogue else self._scope.ways(turn.text, turn.reading, turn.state)
        gap: coverage.Gap | None = None
        reason = ''
        draft_text = ''
        evident = None if has_dialogue else self._scope.evident(turn.reading, ways)
        for attempt in range(MAX_REPAIRS + 1):
            ways = replace(ways, only=evident if attempt == 1 else None)
            turn.on_phase('draft' if attempt == 0 else 'repair', reason)
            draft_text = ''
            try:
                draft_text = self._generate(turn, messages, ways)
                draft = surface.parse(draft_text, self.toolset, self.world)
                if draft.kind != 'do':
                    doubt = self._doubt(turn, draft, ways)
                    is_last = attempt == MAX_REPAIRS and draft.kind != 'answer'
                    if doubt is None or is_last:
                        how: How = 'sure' if doubt is None else 'any'
                        outcome = None if draft.kind == 'answer' else self._by_orders(turn, dialogue, how)
                        return outcome or self._reply(turn, draft, draft_text)
                    ways, reason = doubt
                    gap = None
                else:
                    outcome, gap = self._complete(turn, draft, draft_text, has_dialogue, attempt)
                    if outcome is not None:
                        return outcome
                    assert gap is not None
                    reason = gap.reason
            except (DraftError, CompletionError, CheckError, PlanError) as error:
                gap, reason = None, str(error)
            turn.notes.append(f'draft {attempt + 1} refused: {reason}')
            turn.effort.repairs += 1
            outcome = self._by_orders(turn, dialogue, 'sure') if attempt == 0 else None
            if outcome is not None:
                return outcome
            messages = (
                *messages,
                Message('assistant', draft_text or '...'),
                Message('user', f'wrong: {reason}. Write the whole answer again.'),
            )
        turn.effort.repairs -= 1
        outcome = self._by_orders(turn, dialogue, 'any')
        return outcome or self._give_up(turn, gap, reason, draft_text)

    def _by_orders(self, turn: _Turn, dialogue: tuple[str, ...], how: How) -> Outcome | None:
        """
        Put the plan together order by order; None where the command cannot be taken apart or that is not right either.

        ``evident``: each order says one thing in words that are all known, and the model is not asked. ``sure``: it may
        choose where an order says several. ``any``: it may also write an order of its own where no call says it.
        """
        if turn.reading.unknown or coverage.ambiguous(turn.reading, self.world, turn.state):
            return None
        if how == 'evident' and (asks_first(turn.reading) or not self._assembly.is_understood(turn.reading)):
            return None

        def write(order: str, earlier: tuple[str, ...], ways: surface.Ways, found: tuple[str, ...]) -> str:
            if how == 'evident' or (how == 'sure' and not found):
                raise DraftError(f'{order!r} may be {" or ".join(found[:4]) or "anything"}')
            turn.on_phase('repair', f'order by order: {order}')
            before = (f'before: {", ".join(earlier)}',) if earlier else ()
            only = replace(_only_do(ways), drafts=found)
            return self._generate(turn, self._messages(order, turn.state, before), only)

        try:
            text = self._assembly.text(turn.reading, turn.state, write, dialogue)
            draft = surface.parse(text, self.toolset, self.world)
            outcome, gap = self._complete(turn, draft, text, bool(dialogue), MAX_REPAIRS)
        except (DraftError, CompletionError, CheckError, PlanError) as error:
            turn.notes.append(f'order by order: {error}')
            return None
        if outcome is None:
            turn.notes.append(f'order by order: {gap.reason if gap is not None else ""}')
            return None
        return replace(outcome, notes=(f'put together order by order ({how})', *outcome.notes))

    def _generate(self, turn: _Turn, messages: tuple[Message, ...], ways: surface.Ways) -> str:
        answer = self.model.generate(
            self._request(messages, ways, turn.deadline_s - turn.effort.model_s), cancelled=turn.cancelled
        )
        effort = turn.effort
        effort.calls += 1
        effort.passes += answer.passes
        effort.output_tokens += answer.output_tokens
        effort.forced_tokens += answer.forced_tokens
        effort.prompt_tokens += answer.prompt_tokens
        effort.cached_tokens += answer.cached_tokens
        effort.model_s += answer.total_s
        if answer.finish == 'length':
            raise DraftError('the draft does not end: write only what the command asks for')
        return answer.text

    def _request(self, messages: tuple[Message, ...], ways: surface.Ways, deadline_s: float) -> GenerateRequest:
        grammar = surface.grammar(self.toolset, self.world, ways)
        return GenerateRequest(messages, grammar=grammar, max_tokens=MAX_DRAFT_TOKENS, deadline_s=max(deadline_s, 0.1))

    def _complete(
        self, turn: _Turn, draft: Draft, draft_text: str, has_dialogue: bool, attempt: int
    ) -> tuple[Outcome | None, coverage.Gap | None]:
        turn.on_phase('complete', draft_text)
        unclear = coverage.unclear_pronoun(draft, turn.reading, self.world, turn.state)
        found: tuple[coverage.Gap, ...] = (unclear,) if unclear is not None and not has_dialogue else ()
        found = (*found, *coverage.gaps(draft, turn.reading, self.world, self.toolset, turn.state))
        found = (*found, *self._clauses.gaps(draft, turn.reading, self._lexicon.known, is_first=attempt == 0))
        if has_dialogue:
            found = tuple(gap for gap in found if gap.is_missing)
        if found:
            return None, found[0]
        completed = complete(self.symbolic, draft, turn.text, turn.state)
        turn.on_phase('check', '')
        check_plan(completed.plan, self.symbolic, turn.state, self._budgets)
        data = plan_to_bytes(completed.plan)
        notes = (*turn.notes, *completed.notes)
        return Outcome('plan', plan=completed.plan, data=data, draft=draft_text, notes=notes, effort=turn.effort), None

    def _doubt(self, turn: _Turn, draft: Draft, ways: surface.Ways) -> tuple[surface.Ways, str] | None:
        """Return the ways that are left and the reason, where a refusal or question is not believed."""
        if draft.kind == 'answer' and not asks(turn.text):
            return replace(ways, answer=False), 'it is no question'
        if not ways.do or turn.reading.unknown:
            return None
        if draft.kind == 'cannot' and ways.cannot and _speaks_of_another(draft.text, turn.reading):
            return replace(ways, cannot=False), 'nobody spoke of that'
        if draft.kind == 'ask' and ways.ask and self._scope.is_clear(turn.text, turn.reading, turn.state):
            return replace(ways, ask=False), 'nothing is unclear'
        is_named = bool(turn.reading.mentions) and any(clause.spoken for clause in self._clauses.read(turn.reading))
        if draft.kind == 'cannot' and ways.cannot and is_named:
            return replace(ways, cannot=False), 'it can be done with the calls listed'
        return None

    def _reply(self, turn: _Turn, draft: Draft, draft_text: str) -> Outcome:
        kind, text, choices = self._replies.reply(draft, turn.reading, turn.state)
        return Outcome(kind, text, choices, draft=draft_text, notes=tuple(turn.notes), effort=turn.effort)

    def _give_up(self, turn: _Turn, gap: coverage.Gap | None, reason: str, draft_text: str) -> Outcome:
        if gap is not None and gap.choices:
            text, choices = self._replies.which(gap.choices)
            return Outcome('ask', text, choices, draft=draft_text, notes=tuple(turn.notes), effort=turn.effort)
        choices = coverage.ambiguous(turn.reading, self.world, turn.state)
        choices = choices or self._scope.lacking(turn.text, turn.reading, turn.state)
        if choices:
            text, choices = self._replies.which(choices)
            return Outcome('ask', text, choices, draft=draft_text, notes=tuple(turn.notes), effort=turn.effort)
        if gap is not None and gap.unknown:
            text, choices = self._replies.unknown(gap.unknown)
            return Outcome('ask', text, choices, draft=draft_text, notes=tuple(turn.notes), effort=turn.effort)
        return Outcome(
            'cannot',
            self._replies.no_plan(gap.people if gap is not None and gap.people else reason),
            draft=draft_text,
            notes=tuple(turn.notes),
            effort=turn.effort,
        )


def _only_do(ways: surface.Ways) -> surface.Ways:
    return replace(ways, ask=False, answer=False, cannot=False, branch=False, loop=False, both=False)


def _speaks_of_another(text: str, reading: Reading) -> bool:
    """Say whether a refusal names a thing that the command does not."""
    _, colon, thing = text.partition('no such thing:')
    return bool(colon) and not set(thing.lower().split()) & set(reading.words)


def _with_failure(messages: tuple[Message, ...], failure: Failure) -> tuple[Message, ...]:
    *before, last = messages
    told = f'{last.text}\nearlier try failed at {failure.step}: {failure.reason}. Find another way, or cannot("...").'
    return (*before, Message('user', told))
