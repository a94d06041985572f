# SPDX-License-Identifier: Apache-2.0
"""Completion: turn a draft into a plan in which every step's needs hold when its turn comes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from gemma4_ros.core.errors import CheckError, CompletionError, PlanError
from gemma4_ros.core.facts import State
from gemma4_ros.core.plan import (
    MAX_STEPS,
    Condition,
    If,
    Node,
    Parallel,
    Plan,
    Ref,
    Repeat,
    Scalar,
    Sequence,
    Step,
    walk,
)
from gemma4_ros.core.planning import checks
from gemma4_ros.core.planning.draft import Branch, Call, Draft, Item, Loop, Op, Together
from gemma4_ros.core.planning.symbolic import Action, Symbolic
from gemma4_ros.core.tools import Tool, return_unit

_NEGATED: dict[Op, Op] = {'<': '>=', '<=': '>', '>': '<=', '>=': '<', '==': '!=', '!=': '=='}

# Calls of the draft that one completion looks at: loops and branches are tried more than once, nested ones often.
MAX_CALLS = 8 * MAX_STEPS

# How old a reading may be when a condition looks at it, s.
CONDITION_MAX_AGE_S = 30.0


@dataclass(slots=True)
class _Run:
    """Numbering and notes of one completion."""

    notes: list[str] = field(default_factory=list)
    count: int = 0
    calls: int = 0

    def next_call(self) -> None:
        self.calls += 1
        if self.calls > MAX_CALLS:
            raise PlanError(
                f'loops and branches stand too deep in each other: over {MAX_CALLS} calls to complete; nest less'
            )

    def next_id(self) -> str:
        self.count += 1
        if self.count > MAX_STEPS:
            raise PlanError(f'the plan needs more than {MAX_STEPS} steps; ask for less at once')
        return f's{self.count}'


@dataclass(frozen=True, slots=True)
class Completed:
    """A plan, the state it leads to where that is certain, and what was done to the draft."""

    plan: Plan
    state: State
    notes: tuple[str, ...]


def complete(symbolic: Symbolic, draft: Draft, goal: str, state: State) -> Completed:
    """Insert the steps that the draft's items need and that nothing gives yet.

    Raises
    ------
    CompletionError
        Naming the item that cannot be made possible and the fact that it lacks.
    PlanError
        More than 256 steps, or more nested loops and branches than can be completed.

    """
    run = _Run()
    nodes, final = _items(symbolic, run, draft.items, state)
    if not nodes:
        raise CompletionError('nothing has to be done: everything asked for is the case already')
    root = nodes[0] if len(nodes) == 1 else Sequence(tuple(nodes))
    return Completed(Plan(goal=goal[:512], root=_renumber(root)), final, tuple(run.notes))


def _items(symbolic: Symbolic, run: _Run, items: tuple[Item, ...], state: State) -> tuple[list[Node], State]:
    nodes: list[Node] = []
    pending = list(reversed(items))
    while pending:
        item = pending.pop()
        match item:
            case Call():
                added, state = _call(symbolic, run, item, state)
            case Branch() if not item.field:
                pending += reversed(_known(run, item, state))
                continue
            case Branch():
                return _branch(symbolic, run, item, tuple(reversed(pending)), state, nodes)
            case Loop():
                added, state = _loop(symbolic, run, item, state)
            case Together():
                added, state = _together(symbolic, run, item, state)
        nodes += added
    return nodes, state


def _call(symbolic: Symbolic, run: _Run, call: Call, state: State) -> tuple[list[Node], State]:
    run.next_call()
    binding = symbolic.binding(call.args)
    if is_past(symbolic, symbolic.toolset.tools.get(call.name), state):
        run.notes.append(f'{call}: is so already')
        return [], state
    intent = symbolic.toolset.intents.get(call.name)
    patterns = intent.achieve if intent is not None else symbolic.toolset.tool(call.name).needs
    try:
        actions, reached = symbolic.reach(patterns, binding, state)
    except CompletionError as error:
        raise CompletionError(f'{call}: {error}') from None
    if intent is not None:
        if not actions:
            run.notes.append(f'{call}: is so already')
        return [_inserted(run, action, str(call)) for action in actions], reached
    tool = symbolic.toolset.tool(call.name)
    nodes: list[Node] = [_inserted(run, action, str(call)) for action in actions]
    after = symbolic.apply(tool, binding, reached)
    if tool.gives and after == reached and not nodes and _is_settled(symbolic, call, state):
        run.notes.append(f'{call}: is so already')
        return [], state
    nodes.append(Step(run.next_id(), call.name, dict(call.args), 'model'))
    return nodes, after


def is_past(symbolic: Symbolic, tool: Tool | None, state: State) -> bool:
    """Say whether a tool's first result holds while what it needs does not: nobody docks in order to undock."""
    if tool is None or tool.args or not tool.gives:
        return False
    return not symbolic.missing(tool.gives[:1], state, {}) and bool(symbolic.missing(tool.needs, state, {}))


def _is_settled(symbolic: Symbolic, call: Call, state: State) -> bool:
    """Say whether everything that the tool gives is known to hold, so that the step would change nothing."""
    tool = symbolic.toolset.tool(call.name)
    return not symbolic.missing(tool.gives, state, symbolic.binding(call.args))


def _inserted(run: _Run, action: Action, why: str) -> Step:
    step = Step(run.next_id(), action.tool.name, dict(action.binding), 'completion', f'needed for {why}'[:256])
    run.notes.append(f'inserted {step}: {step.why}')
    return step


def _branch(
    symbolic: Symbolic, run: _Run, item: Branch, rest: tuple[Item, ...], state: State, before: list[Node]
) -> tuple[list[Node], State]:
    added, state = _call(symbolic, run, item.reading, state)
    reading = added[-1]
    if not isinstance(reading, Step):
        raise CompletionError(f'{item.reading}: a condition needs a reading')
    then_nodes, then_state = _items(symbolic, run, item.then, state)
    else_nodes, else_state = _items(symbolic, run, item.otherwise, state)
    merged = State(dict(then_state.items() & else_state.items()))
    tail: list[Node] = []
    if rest:
        try:
            tail, merged = _items(symbolic, run, rest, merged)
        except CompletionError:
            # What follows depends on the branch that was taken: it is completed in each.
            then_nodes, then_state = _items(symbolic, run, (*item.then, *rest), state)
            else_nodes, else_state = _items(symbolic, run, (*item.otherwise, *rest), state)
            merged = State(dict(then_state.items() & else_state.items()))
            run.notes.append('what follows the condition is planned in each branch')
    node = _if(symbolic, item, reading, then_nodes, else_nodes)
    return [*before, *added, *([node] if node is not None else []), *tail], merged


def _known(run: _Run, item: Branch, state: State) -> tuple[Item, ...]:
    """Decide a condition about the symbolic state now, as nothing has to be read; return what it says to do."""
    run.next_call()
    subject = str(item.reading.args['of'])
    value = state.get((item.reading.name, (subject,)))
    if value is None:
        raise CompletionError(f'{item.reading}: not known; ask the operator')
    is_so = (value == item.value) == (item.op == '==')
    run.notes.append(
        f'{item.reading.name}({subject}) is {value}: the condition {"holds" if is_so else "does not hold"}'
    )
    return item.then if is_so else item.otherwise


def _if(symbolic: Symbolic, item: Branch, reading: Step, then: list[Node], otherwise: list[Node]) -> Node | None:
    if not then and not otherwise:
        return None
    tool = symbolic.toolset.tool(reading.tool)
    unit = return_unit(tool, tool.returns[item.field], reading.args, symbolic.world)
    op, value = item.op, item.value
    if not then:
        then, otherwise = otherwise, []
        op = _NEGATED[op]
    condition = Condition(Ref(reading.id, item.field), op, value, CONDITION_MAX_AGE_S, 'hold', unit)
    return If(condition, _one(then), _one(otherwise) if otherwise else None)


def _loop(symbolic: Symbolic, run: _Run, item: Loop, state: State) -> tuple[list[Node], State]:
    first, after = _items(symbolic, run, item.body, state)
    if item.times == 1:
        return first, after
    if after == state:  # so every further round is the same
        return ([Repeat(_one(first), item.times)] if first else []), after
    try:
        mark = run.count
        again, after_again = _items(symbolic, run, item.body, after)
    except CompletionError as error:
        raise CompletionError(f'a second time is not possible: {error}') from None
    if _shape(again) == _shape(first) and after_again == after and first:
        run.count = mark
        return [Repeat(_one(first), item.times)], after
    nodes, state = [*first, *again], after_again
    for _ in range(item.times - 2):
        added, state = _items(symbolic, run, item.body, state)
        nodes += added
    return nodes, state


def _together(symbolic: Symbolic, run: _Run, item: Together, state: State) -> tuple[list[Node], State]:
    mark, notes, reason = run.count, len(run.notes), 'one of them is the case already'
    branches = [_items(symbolic, run, branch, state)[0] for branch in item.branches]
    if all(branches):
        node = Parallel(tuple(_one(nodes) for nodes in branches), 'all')
        try:
            return [node], checks.run(node, symbolic, state)
        except CheckError as error:
            reason = str(error).partition(': ')[2]
    run.count = mark
    run.notes[notes:] = [f'done one after the other: {reason}']
    return _items(symbolic, run, tuple(part for branch in item.branches for part in branch), state)


def _one(nodes: list[Node]) -> Node:
    return nodes[0] if len(nodes) == 1 else Sequence(tuple(nodes))


def _shape(nodes: list[Node]) -> list[tuple[str, tuple[tuple[str, str], ...]]]:
    steps = [inner for node in nodes for _, inner in walk(node) if isinstance(inner, Step)]
    return [
        (step.tool, tuple(sorted((k, str(v)) for k, v in step.args.items() if not isinstance(v, Ref))))
        for step in steps
    ]


def _renumber(root: Node) -> Node:
    """Number the steps in reading order, s1, s2, ...; references follow."""
    names: dict[str, str] = {}
    for _, node in walk(root):
        if isinstance(node, Step):
            names[node.id] = f's{len(names) + 1}'
    return _renamed(root, names)


def _renamed(node: Node, names: Mapping[str, str]) -> Node:
    match node:
        case Step():
            args: dict[str, Scalar | Ref] = {
                key: Ref(names[value.step], value.name) if isinstance(value, Ref) else value
                for key, value in node.args.items()
            }
            return Step(names[node.id], node.tool, args, node.origin, node.why)
        case Repeat():
            return Repeat(_renamed(node.child, names), node.times)
        case If():
            c = node.condition
            condition = Condition(Ref(names[c.ref.step], c.ref.name), c.op, c.value, c.max_age_s, c.on_unknown, c.unit)
            otherwise = _renamed(node.otherwise, names) if node.otherwise is not None else None
            return If(condition, _renamed(node.then, names), otherwise)
        case _:
            kept = tuple(_renamed(child, names) for child in node.children)
            return Parallel(kept, node.policy) if isinstance(node, Parallel) else type(node)(kept)
