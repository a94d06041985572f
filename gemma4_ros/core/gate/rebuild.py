# SPDX-License-Identifier: Apache-2.0
"""Admission rule 6: a second, typed reading of the plan that shares nothing with the schema."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType, field

from gemma4_ros.core import plan as plans
from gemma4_ros.core.gate.codes import Code
from gemma4_ros.core.gate.verdict import refuse

__all__ = ['rebuild']

# \A and \Z: with ^ and $ the pattern would take a trailing line feed
_Id = Annotated[str, Meta(pattern=r'\A[a-z][a-z0-9_]{0,31}\Z')]
_RefText = Annotated[str, Meta(pattern=r'\A[a-z][a-z0-9_]{0,31}\.[a-z][a-z0-9_]{0,31}\Z')]
_Short = Annotated[str, Meta(max_length=64)]


class _Ref(Struct, forbid_unknown_fields=True, frozen=True):
    ref: _RefText


class _Condition(Struct, forbid_unknown_fields=True, frozen=True):
    ref: _RefText
    op: Literal['<', '<=', '>', '>=', '==', '!=']
    value: _Short | int | float | bool
    max_age_s: Annotated[float, Meta(gt=0, le=3600)]
    on_unknown: Literal['hold', 'true', 'false']
    unit: Annotated[str, Meta(max_length=16)] = ''


class _Node(Struct, forbid_unknown_fields=True, frozen=True):
    id: _Id | UnsetType = UNSET
    tool: _Id | UnsetType = UNSET
    args: dict[_Id, _Short | int | float | bool | _Ref] | UnsetType = UNSET
    origin: Literal['', 'model', 'completion', 'repair', 'operator'] = ''
    why: Annotated[str, Meta(max_length=256)] = ''
    sequence: list[_Node] | UnsetType = UNSET
    fallback: list[_Node] | UnsetType = UNSET
    parallel: list[_Node] | UnsetType = UNSET
    policy: Literal['all', 'any'] | UnsetType = UNSET
    repeat: _Node | UnsetType = UNSET
    times: Annotated[int, Meta(ge=1, le=64)] | UnsetType = UNSET
    condition: _Condition | UnsetType = field(default=UNSET, name='if')
    then: _Node | UnsetType = UNSET
    otherwise: _Node | UnsetType = field(default=UNSET, name='else')


class _Source(Struct, forbid_unknown_fields=True, frozen=True):
    source: Annotated[str, Meta(max_length=128)]
    trust: Literal['operator', 'document', 'screen', 'camera', 'signal']


class _Document(Struct, forbid_unknown_fields=True, frozen=True):
    plan: Literal['1']
    goal: Annotated[str, Meta(max_length=512)]
    root: _Node
    uses: list[_Source] = []


def rebuild(value: Any) -> plans.Plan:
    """Build the plan from parsed JSON; raise Refused(TYPES). The caller holds the result against the document again."""
    try:
        document = msgspec.convert(value, _Document, strict=True)
    except msgspec.ValidationError as error:
        raise refuse(Code.TYPES, 'admission.types', str(error)[:200]) from None
    uses = tuple(plans.Source(item.source, item.trust) for item in document.uses)
    return plans.Plan(document.goal, _node(document.root), uses)


def _node(node: _Node) -> plans.Node:
    if node.tool is not UNSET and node.id is not UNSET and node.args is not UNSET:
        args = {name: _ref(arg.ref) if isinstance(arg, _Ref) else arg for name, arg in node.args.items()}
        return plans.Step(node.id, node.tool, args, node.origin, node.why)
    if node.sequence is not UNSET:
        return plans.Sequence(tuple(_node(child) for child in node.sequence))
    if node.fallback is not UNSET:
        return plans.Fallback(tuple(_node(child) for child in node.fallback))
    if node.parallel is not UNSET and node.policy is not UNSET:
        return plans.Parallel(tuple(_node(child) for child in node.parallel), node.policy)
    if node.repeat is not UNSET and node.times is not UNSET:
        return plans.Repeat(_node(node.repeat), node.times)
    if node.condition is not UNSET and node.then is not UNSET:
        otherwise = None if node.otherwise is UNSET else _node(node.otherwise)
        return plans.If(_condition(node.condition), _node(node.then), otherwise)
    raise refuse(Code.TYPES, 'admission.types', 'a node is neither a step nor a control node')


def _condition(item: _Condition) -> plans.Condition:
    return plans.Condition(_ref(item.ref), item.op, item.value, item.max_age_s, item.on_unknown, item.unit)


def _ref(text: str) -> plans.Ref:
    step, _, name = text.partition('.')
    return plans.Ref(step, name)
