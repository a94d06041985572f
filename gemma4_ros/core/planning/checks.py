# SPDX-License-Identifier: Apache-2.0
"""Checks over a whole plan: values exist, needs hold when a step's turn comes, resources and budgets are kept."""

from __future__ import annotations

from dataclasses import dataclass, field

from gemma4_ros.core.errors import CheckError
from gemma4_ros.core.facts import State, Variable
from gemma4_ros.core.nearest import suggest
from gemma4_ros.core.plan import (
    Fallback,
    If,
    Node,
    Parallel,
    Plan,
    Ref,
    Repeat,
    Sequence,
    Step,
    check_nesting,
    check_references,
    children,
    walk,
)
from gemma4_ros.core.planning.symbolic import Symbolic, merged
from gemma4_ros.core.tools import Arg, Return, Tool, Toolset, check_args, return_unit
from gemma4_ros.core.world import World


@dataclass(frozen=True, slots=True)
class Budgets:
    """What one plan may use: steps, and the sum of its steps' typical durations in s."""

    steps: int = 64
    time_s: float = 3600.0


def check_plan(plan: Plan, symbolic: Symbolic, state: State, budgets: Budgets = Budgets()) -> State:  # frozen
    """Run the plan in the symbolic world, every branch of it; return the facts that hold at its end whatever happens.

    Raises
    ------
    CheckError
        Naming the failing step and the missing fact, the unknown name, or the budget.
    PlanError
        Naming the place that nests deeper than the gate takes, or the reference that points to no earlier step.

    """
    check_nesting(plan)
    check_references(plan)
    check_values(plan, symbolic.toolset, symbolic.world)
    seconds, steps = _cost(plan.root, symbolic.toolset)
    if steps > budgets.steps:
        raise CheckError(f'the plan takes {steps} steps; at most {budgets.steps} are allowed; ask for less at once')
    if seconds > budgets.time_s:
        raise CheckError(f'the plan takes about {seconds:.0f} s; at most {budgets.time_s:.0f} s are allowed')
    return run(plan.root, symbolic, state)


def check_values(plan: Plan, toolset: Toolset, world: World) -> None:
    """Raise CheckError where a tool, argument, value, reference or unit does not exist or fit."""
    steps = {step.id: step for step in plan.steps()}
    for _, node in walk(plan.root):
        if isinstance(node, Step):
            _check_step(node, toolset, steps)
        elif isinstance(node, If):
            _check_condition(node, toolset, world, steps)


def _check_step(step: Step, toolset: Toolset, steps: dict[str, Step]) -> None:
    tool = toolset.tool(step.tool)
    plain = {name: value for name, value in step.args.items() if not isinstance(value, Ref)}
    refs = {name: value for name, value in step.args.items() if isinstance(value, Ref)}
    for name, ref in refs.items():
        if name not in tool.args:
            raise CheckError(f'{step.id}: {tool.name} takes no argument {name!r}{suggest(name, list(tool.args))}')
        arg = tool.args[name]
        if arg.type == 'enum' or _returned(ref, toolset, steps).type != arg.type:
            raise CheckError(f'{step.id}.{name}: {ref} is no {arg.type}')
        plain[name] = _any_value(arg)
    check_args(tool, plain, step.id)


def _any_value(arg: Arg) -> float | bool:
    return False if arg.type == 'boolean' else arg.low


def _returned(ref: Ref, toolset: Toolset, steps: dict[str, Step]) -> Return:
    tool = toolset.tool(steps[ref.step].tool)
    returned = tool.returns.get(ref.name)
    if returned is None:
        raise CheckError(f'{ref}: {tool.name} returns no {ref.name!r}{suggest(ref.name, list(tool.returns))}')
    return returned


def _check_condition(node: If, toolset: Toolset, world: World, steps: dict[str, Step]) -> None:
    condition = node.condition
    returned = _returned(condition.ref, toolset, steps)
    is_number = isinstance(condition.value, int | float) and not isinstance(condition.value, bool)
    if (returned.type in ('number', 'integer')) != is_number:
        raise CheckError(f'{condition}: {condition.ref} is a {returned.type}')
    if condition.op not in ('==', '!=') and not is_number:
        raise CheckError(f'{condition}: only numbers are ordered')
    step = steps[condition.ref.step]
    unit = return_unit(toolset.tool(step.tool), returned, step.args, world)
    if condition.unit != unit:
        raise CheckError(f'{condition}: the unit is {unit!r}, not {condition.unit!r}')


# Budgets -------------------------------------------------------------------------------------------------------------
def _cost(node: Node, toolset: Toolset) -> tuple[float, int]:
    """Return seconds and steps of the dearest way through, without running it: a loop may be far beyond any budget."""
    if isinstance(node, Step):
        return toolset.tool(node.tool).typical_s, 1
    costs = [_cost(child, toolset) for _, child in children(node)]
    seconds, steps = [cost[0] for cost in costs], [cost[1] for cost in costs]
    match node:
        case Sequence():
            return sum(seconds), sum(steps)
        case Repeat():
            return seconds[0] * node.times, steps[0] * node.times
        case Parallel():
            return max(seconds), sum(steps)
        case Fallback() | If():
            return max(seconds), max(steps)


# Symbolic run --------------------------------------------------------------------------------------------------------
@dataclass(slots=True)
class _Touched:
    """The parts of the robot that steps use, the variables that they look at, and those that they set."""

    resources: set[str] = field(default_factory=set)
    reads: set[Variable] = field(default_factory=set)
    writes: set[Variable] = field(default_factory=set)

    def add(self, other: _Touched) -> None:
        self.resources |= other.resources
        self.reads |= other.reads
        self.writes |= other.writes

    def hinders(self, other: _Touched) -> str:
        """Say why it must not be at the same time as another, as Graphplan's mutual exclusion; empty where it may."""
        if shared := self.resources & other.resources:
            return f'use {min(shared)!r} at once'
        if self.writes & other.writes:
            return 'change the same thing'
        for one, two in ((self, other), (other, self)):
            if hit := one.writes & two.reads:
                name, args = min(hit)
                return f"get in each other's way: one changes {name}({', '.join(args)}), which another needs"
        return ''


def run(node: Node, symbolic: Symbolic, state: State) -> State:
    """Return the facts that hold after a node whatever happens; raise CheckError where a step of it cannot run."""
    return _run(node, symbolic, state, _Touched())


def _run(node: Node, symbolic: Symbolic, state: State, touched: _Touched) -> State:
    match node:
        case Step():
            return _run_step(node, symbolic, state, touched)
        case Sequence():
            for child in node.children:
                state = _run(child, symbolic, state, touched)
            return state
        case Repeat():
            for _ in range(node.times):
                before, state = state, _run(node.child, symbolic, state, touched)
                if state == before:  # so is every further round
                    break
            return state
        case Parallel():
            return _run_parallel(node, symbolic, state, touched)
        case Fallback():
            return _run_alternatives(node.children, symbolic, state, touched)
        case If():
            branches = (node.then,) if node.otherwise is None else (node.then, node.otherwise)
            return _run_alternatives(branches, symbolic, state, touched, may_skip=node.otherwise is None)


def _run_step(step: Step, symbolic: Symbolic, state: State, touched: _Touched) -> State:
    tool: Tool = symbolic.toolset.tool(step.tool)
    binding = symbolic.binding(step.args)
    missing = symbolic.missing(tool.needs, state, binding)
    if missing:
        raise CheckError(f'{step.id}: {step} cannot run: it needs {missing[0]}')
    facts = [symbolic.world.ground(pattern, state, binding) for pattern in tool.gives]
    touched.resources.update(tool.resources)
    touched.reads |= symbolic.looked_at((*tool.needs, *tool.gives), state, binding)
    touched.writes.update(fact.variable for fact in facts if fact is not None)
    return symbolic.apply(tool, binding, state)


def _run_alternatives(
    branches: tuple[Node, ...], symbolic: Symbolic, state: State, touched: _Touched, *, may_skip: bool = False
) -> State:
    results = [_run(branch, symbolic, state, touched) for branch in branches]
    if may_skip:
        results.append(state)
    common = set(results[0].items()).intersection(*(set(result.items()) for result in results[1:]))
    return State(dict(common))


def _run_parallel(node: Parallel, symbolic: Symbolic, state: State, touched: _Touched) -> State:
    changes = dict(state)
    others: list[_Touched] = []
    for child in node.children:
        own = _Touched()
        reached = _run(child, symbolic, state, own)
        reason = next((reason for other in others if (reason := other.hinders(own))), '')
        if reason:
            first = next(step for _, step in walk(child) if isinstance(step, Step))
            raise CheckError(f'{first.id}: two branches of a parallel {reason}; put them in a sequence')
        others.append(own)
        touched.add(own)
        changed = [variable for variable in (*state, *reached) if state.get(variable) != reached.get(variable)]
        changes = merged(changes, changed, reached)
    if node.policy == 'any':
        return State(dict(state.items() & changes.items()))
    return State(changes)


def simulate(plan: Plan, symbolic: Symbolic, state: State, decide: dict[str, bool]) -> tuple[State, tuple[Step, ...]]:
    """Run one way through the plan: ``decide`` gives each condition's outcome by its reference's text, default true.

    Returns the final state and the steps in the order in which they run. Raises CheckError as `check_plan` does.
    """
    trace: list[Step] = []

    def run(node: Node, now: State) -> State:
        match node:
            case Step():
                trace.append(node)
                return _run_step(node, symbolic, now, _Touched())
            case If():
                chosen = node.then if decide.get(str(node.condition.ref), True) else node.otherwise
                return now if chosen is None else run(chosen, now)
            case Repeat():
                for _ in range(node.times):
                    now = run(node.child, now)
                return now
            case Fallback():
                return run(node.children[0], now)
            case _:
                for child in node.children:
                    now = run(child, now)
                return now

    return run(plan.root, state), tuple(trace)
