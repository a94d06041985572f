# SPDX-License-Identifier: Apache-2.0
"""The tree as rows for displays (TreeNode.msg), as lines for a terminal, as SVG and as Graphviz DOT."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from py_trees.behaviour import Behaviour
from py_trees.common import Status

from gemma4_ros.core.plan import Fallback, If, Node, Parallel, Plan, Repeat, Step, children
from gemma4_ros.core.tree.controls import IfNode, RepeatNode
from gemma4_ros.core.tree.leaves import StepLeaf
from gemma4_ros.core.tree.session import Phase

__all__ = ['Row', 'plan_rows', 'rows', 'to_dot', 'to_svg', 'to_text']

MAX_LABEL, MAX_TEXT, MAX_WHY = 256, 512, 256
_PHASES = {
    Status.INVALID: Phase.IDLE,
    Status.RUNNING: Phase.RUNNING,
    Status.SUCCESS: Phase.SUCCEEDED,
    Status.FAILURE: Phase.FAILED,
}
_SIGNS = {
    Phase.IDLE: '·',
    Phase.RUNNING: '▶',
    Phase.SUCCEEDED: '✓',
    Phase.FAILED: '✗',
    Phase.CANCELLED: '■',
    Phase.SKIPPED: '–',
}
_COLOURS = {
    Phase.IDLE: '#ffffff',
    Phase.RUNNING: '#fff2b3',
    Phase.SUCCEEDED: '#c9ecc7',
    Phase.FAILED: '#f6c3bf',
    Phase.CANCELLED: '#e0d5ea',
    Phase.SKIPPED: '#eeeeee',
}


@dataclass(frozen=True, slots=True)
class Row:
    """One node; the fields of TreeNode.msg."""

    id: str
    parent_id: str
    kind: str
    label: str
    phase: Phase = Phase.IDLE
    attempt: int = 0
    duration_s: float = 0.0
    code: int = 0
    text: str = ''
    stage: str = ''
    why: str = ''


def plan_rows(plan: Plan) -> tuple[Row, ...]:
    """Return the rows of a plan that nobody carries out."""
    return tuple(_plan_rows(plan.root, '/', ''))


def rows(root: Node, tree: Behaviour, now_s: float, *, is_over: bool) -> tuple[Row, ...]:
    """
    Return the rows of a tree with what has become of each node.

    Parameters
    ----------
    root, tree : Node, Behaviour
        The plan's root and the tree built of it.
    now_s : float
        For the durations of what runs.
    is_over : bool
        The plan has ended: what never ran was skipped.

    """
    return tuple(_rows(root, tree, '/', '', now_s, is_over))


def _id_of(node: Node, path: str) -> str:
    return node.id if isinstance(node, Step) else path


def _plan_rows(node: Node, path: str, parent: str) -> Iterator[Row]:
    own = _id_of(node, path)
    yield Row(own, parent, _kind(node), _label(node), why=_why(node))
    for name, child in children(node):
        yield from _plan_rows(child, f'{path.rstrip("/")}/{name}', own)


def _rows(node: Node, behaviour: Behaviour, path: str, parent: str, now_s: float, skipped: bool) -> Iterator[Row]:
    own = _id_of(node, path)
    row = Row(own, parent, _kind(node), _label(node), why=_why(node))
    if isinstance(behaviour, StepLeaf):
        yield _with_phase(_leaf_row(row, behaviour, now_s), skipped)
        yield from _recoveries(row, behaviour, skipped)
        return
    row = _control_row(row, behaviour, now_s)
    yield _with_phase(row, skipped)
    has_ended = row.phase in (Phase.SUCCEEDED, Phase.FAILED)
    for (name, child), built in zip(children(node), behaviour.children, strict=True):
        unchosen = isinstance(behaviour, IfNode) and behaviour.choice is not None and behaviour.branch() is not built
        below = f'{path.rstrip("/")}/{name}'
        yield from _rows(child, built, below, own, now_s, skipped or has_ended or unchosen)


def _with_phase(row: Row, skipped: bool) -> Row:
    return replace(row, phase=Phase.SKIPPED) if skipped and row.phase is Phase.IDLE else row


def _leaf_row(row: Row, leaf: StepLeaf, now_s: float) -> Row:
    duration_s = 0.0
    if leaf.started_s is not None:
        duration_s = (leaf.ended_s if leaf.ended_s is not None else now_s) - leaf.started_s
    known: dict[str, Any] = {'phase': leaf.phase, 'attempt': min(leaf.attempt, 255), 'duration_s': duration_s}
    known['stage'] = leaf.stage
    if leaf.answer is not None:
        known |= {'code': leaf.answer.code, 'text': leaf.answer.text[:MAX_TEXT]}
    return replace(row, **known)


def _recoveries(row: Row, leaf: StepLeaf, skipped: bool) -> Iterator[Row]:
    for node_id, phase in zip(leaf.recovery_ids, leaf.phases, strict=True):
        yield _with_phase(Row(node_id, row.id, 'recover', node_id.rpartition('/')[2], phase), skipped)


def _control_row(row: Row, behaviour: Behaviour, now_s: float) -> Row:
    row = replace(row, phase=_PHASES[behaviour.status], duration_s=_lasted_s(behaviour, now_s))
    if isinstance(behaviour, RepeatNode):
        return replace(row, attempt=min(behaviour.round, 255))
    if isinstance(behaviour, IfNode) and behaviour.answer is not None:
        return replace(row, code=behaviour.answer.code, text=behaviour.answer.text[:MAX_TEXT])
    return row


def _lasted_s(behaviour: Behaviour, now_s: float) -> float:
    """Return the time from the first start below a control node to the last end, s; of a repeat: of all its rounds."""
    leaves = [leaf for leaf in behaviour.iterate() if isinstance(leaf, StepLeaf) and leaf.started_s is not None]
    starts = [leaf.started_s for leaf in leaves if leaf.started_s is not None]
    starts += [node.started_s for node in behaviour.iterate() if isinstance(node, RepeatNode) and node.started_s]
    if not starts:
        return 0.0
    ends = [leaf.ended_s for leaf in leaves if leaf.ended_s is not None]
    return (now_s if behaviour.status is Status.RUNNING or not ends else max(ends)) - min(starts)


def _why(node: Node) -> str:
    return node.why[:MAX_WHY] if isinstance(node, Step) else ''


def _kind(node: Node) -> str:
    return type(node).__name__.lower()


def _label(node: Node) -> str:
    if isinstance(node, Step):
        return str(node)[:MAX_LABEL]
    if isinstance(node, Parallel):
        return f'parallel, {node.policy}'
    if isinstance(node, Repeat):
        return f'repeat {node.times} times'
    if isinstance(node, If):
        return f'if {node.condition}'[:MAX_LABEL]
    return 'fallback' if isinstance(node, Fallback) else 'sequence'


def to_text(nodes: Sequence[Row], *, with_why: bool = False) -> list[str]:
    """Return one line a node for a terminal, on request with the plan's reasons; control characters are taken out."""
    depths: dict[str, int] = {}
    lines = []
    for row in nodes:
        depth = depths[row.id] = depths.get(row.parent_id, -1) + 1
        parts = [f'{"  " * depth}{_SIGNS[row.phase]} {row.label}']
        if row.kind == 'step':
            parts[0] += f'  [{row.id}]'
        if row.attempt > 1:
            parts.append(f'{"round" if row.kind == "repeat" else "try"} {row.attempt}')
        if row.duration_s > 0:
            parts.append(f'{row.duration_s:.1f} s')
        if row.stage and row.phase is Phase.RUNNING:
            parts.append(row.stage)
        if row.text and row.phase is not Phase.SUCCEEDED:
            parts.append(f'{row.code} {row.text}' if row.code else row.text)
        if with_why and row.why:
            parts.append(f'({row.why})')
        lines.append(''.join(char if char.isprintable() else '?' for char in '  '.join(parts)))
    return lines


def to_dot(nodes: Sequence[Row]) -> str:
    """Return Graphviz DOT."""
    numbers = {row.id: index for index, row in enumerate(nodes)}
    lines = ['digraph plan {', '  node [shape=box, style="rounded,filled", fontname="sans-serif"];']
    for row in nodes:
        shape = '' if row.kind in ('step', 'recover') else ', shape=ellipse'
        label = _quoted(f'{row.label}\n{row.id}' if row.kind == 'step' else row.label)
        lines.append(f'  n{numbers[row.id]} [label={label}, fillcolor="{_COLOURS[row.phase]}"{shape}];')
    for row in nodes:
        if row.parent_id in numbers:
            style = ' [style=dashed]' if row.kind == 'recover' else ''
            lines.append(f'  n{numbers[row.parent_id]} -> n{numbers[row.id]}{style};')
    return '\n'.join([*lines, '}', ''])


def to_svg(nodes: Sequence[Row]) -> str:
    """Return a picture of its own: a box a node, below each other, indented as the tree is deep."""
    depths: dict[str, int] = {}
    below: dict[str, int] = {}
    drawn: list[str] = []
    wide = 0
    for index, row in enumerate(nodes):
        depth = depths[row.id] = depths.get(row.parent_id, -1) + 1
        left, top = 16 + 28 * depth, 12 + 34 * index
        (line,) = to_text([row])
        width = 24 + round(7.3 * len(line))
        wide = max(wide, left + width)
        if depth:
            parent_top = 12 + 34 * below[row.parent_id]
            x = left - 16
            drawn.append(f'<path d="M{x} {parent_top + 26}V{top + 13}H{left}" fill="none" stroke="#888"/>')
        below[row.id] = index
        looks = f'height="26" rx="5" fill="{_COLOURS[row.phase]}" stroke="#444"'
        drawn.append(f'<rect x="{left}" y="{top}" width="{width}" {looks}/>')
        drawn.append(f'<text x="{left + 10}" y="{top + 18}">{html.escape(line)}</text>')
    size = f'width="{wide + 16}" height="{24 + 34 * len(nodes)}"'
    style = 'font-family="DejaVu Sans Mono, monospace" font-size="12"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style}>\n' + '\n'.join([*drawn, '</svg>', ''])


def _quoted(text: str) -> str:
    escaped = text.replace('\\', '\\\\').replace('"', '\\"').replace('\n', '\\n')
    return '"' + ''.join(char if char.isprintable() else '?' for char in escaped) + '"'
