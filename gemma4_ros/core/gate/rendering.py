# SPDX-License-Identifier: Apache-2.0
"""The gate's own words for a stored plan: from tools and arguments only, never from text of a model."""

from __future__ import annotations

import difflib

from gemma4_ros.core.plan import Condition, Fallback, If, Node, Parallel, Plan, Ref, Repeat, Step
from gemma4_ros.core.tool import Toolset

__all__ = ['MAX_RENDERING', 'changed_lines', 'render']

MAX_RENDERING = 8192


def render(plan: Plan, toolset: Toolset) -> str:
    """Return numbered lines; the caller refuses to ask people about more than MAX_RENDERING bytes."""
    lines: list[str] = []
    numbers: dict[str, int] = {}
    _lines(plan.root, 0, toolset, lines, numbers, is_alone=True)
    return '\n'.join(lines)


def changed_lines(rendering: str, earlier: tuple[str, ...]) -> tuple[int, ...]:
    """Return the lines (from 0) that the most similar earlier rendering does not have; none without an earlier one."""
    lines = rendering.split('\n')
    matchers = [difflib.SequenceMatcher(None, old.split('\n'), lines, autojunk=False) for old in earlier]
    if not matchers:
        return ()
    nearest = max(reversed(matchers), key=lambda matcher: matcher.ratio())
    same = {line for block in nearest.get_matching_blocks() for line in range(block.b, block.b + block.size)}
    return tuple(line for line in range(len(lines)) if line not in same)


def _lines(
    node: Node, indent: int, toolset: Toolset, lines: list[str], numbers: dict[str, int], is_alone: bool
) -> None:
    pad = '  ' * indent
    if isinstance(node, Step):
        numbers[node.id] = len(numbers) + 1
        lines.append(f'{pad}{numbers[node.id]}. {_step(node, toolset, numbers)}')
        return
    if isinstance(node, If):
        lines.append(f'{pad}if {_condition(node.condition, numbers)}:')
        _lines(node.then, indent + 1, toolset, lines, numbers, is_alone=True)
        if node.otherwise is not None:
            lines.append(f'{pad}otherwise:')
            _lines(node.otherwise, indent + 1, toolset, lines, numbers, is_alone=True)
        return
    if isinstance(node, Repeat):
        lines.append(f'{pad}{node.times} times:')
        _lines(node.child, indent + 1, toolset, lines, numbers, is_alone=True)
        return
    head = '' if is_alone else 'in this order:'
    if isinstance(node, Fallback):
        head = 'in turn, until one works:'
    elif isinstance(node, Parallel):
        head = f'at the same time, until {node.policy} of them succeeded:'
    if head:
        lines.append(pad + head)
    for child in node.children:
        _lines(child, indent + (1 if head else 0), toolset, lines, numbers, is_alone=False)


def _step(step: Step, toolset: Toolset, numbers: dict[str, int]) -> str:
    tool = toolset.tools[step.tool]
    parts = []
    for name, value in step.args.items():
        arg = tool.args[name]
        shown = f'the {value.name} of step {numbers[value.step]}' if isinstance(value, Ref) else _plain(value)
        unit = f' {arg.unit}' if arg.unit else ''
        parts.append(f'{name.removesuffix(f"_{arg.unit}")} = {shown}{unit}')
    mark = {'completion': ' (inserted)', 'repair': ' (repaired)'}.get(step.origin, '')
    return f'{tool.doc}{": " if parts else ""}{", ".join(parts)}{mark}'


def _condition(condition: Condition, numbers: dict[str, int]) -> str:
    unit = f' {condition.unit}' if condition.unit else ''
    unknown = {'hold': 'wait', 'true': 'go on as if so', 'false': 'go on as if not'}[condition.on_unknown]
    value = f'the {condition.ref.name} of step {numbers[condition.ref.step]}'
    return f'{value} {condition.op} {_plain(condition.value)}{unit} (unknown: {unknown})'


def _plain(value: object) -> str:
    return str(value).replace('_', ' ') if isinstance(value, str) else str(value)
