# SPDX-License-Identifier: Apache-2.0
"""
Plans as XML of BehaviorTree.CPP 4, which Groot2 opens, and back.

Format: behaviortree.dev, "The XML format", version 4 (``BTCPP_format="4"``). A step is a node with its tool's name; its
arguments are ports, ``{step.result}`` where they refer to a result. An ``if`` is BehaviorTree.CPP's IfThenElse with
the condition in front. What only this stack knows (origin, why) is not written.
"""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Mapping
from typing import Literal, cast

from gemma4_ros.core.errors import PlanError
from gemma4_ros.core.nearest import suggest
from gemma4_ros.core.plan import (
    MAX_BYTES,
    Condition,
    Fallback,
    If,
    Node,
    Parallel,
    Plan,
    Ref,
    Repeat,
    Scalar,
    Sequence,
    Step,
    plan_from_json,
    plan_to_json,
)
from gemma4_ros.core.tool import Arg, Tool

__all__ = ['from_xml', 'to_xml']

CONDITION = 'GateCondition'
_PORTS = ('ref', 'op', 'value', 'unit', 'max_age_s', 'on_unknown')
_CONTROLS = ('Sequence', 'Fallback', 'Parallel', 'Repeat', 'IfThenElse')
_COUNTS = {'Parallel': ('success_count', 'failure_count'), 'Repeat': ('num_cycles',)}


def to_xml(plan: Plan) -> str:
    """Return a plan as a document of BehaviorTree.CPP 4; raise PlanError where an argument is called ``name``."""
    root = ElementTree.Element('root', {'BTCPP_format': '4', 'main_tree_to_execute': 'plan'})
    tree = ElementTree.SubElement(root, 'BehaviorTree', {'ID': 'plan', '_description': plan.goal})
    tree.append(_element(plan.root))
    model = ElementTree.SubElement(root, 'TreeNodesModel')
    ports: dict[str, dict[str, None]] = {}
    for step in plan.steps():
        ports.setdefault(step.tool, {}).update(dict.fromkeys(step.args))
    for tool, names in ports.items():
        _model(model, 'Action', tool, names)
    if any(isinstance(node, If) for node in _nodes(plan.root)):
        _model(model, 'Condition', CONDITION, dict.fromkeys(_PORTS))
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding='unicode', xml_declaration=True) + '\n'


def from_xml(text: str, tools: Mapping[str, Tool]) -> Plan:
    """
    Read a plan from XML as `to_xml` or an editor writes it.

    Parameters
    ----------
    text : str
        At most 256 KiB; no document type, no entities.
    tools : mapping of str to Tool
        Give the types of the arguments.

    Raises
    ------
    PlanError
        Says what is no plan of ours, and where.

    """
    if len(text.encode('utf-8', 'surrogatepass')) > 4 * MAX_BYTES:
        raise PlanError(f'the document is larger than {4 * MAX_BYTES} bytes')
    if '<!' in text.replace('<!--', ''):
        raise PlanError('"<!" opens comments alone here: no document type, no entities, no CDATA')
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise PlanError(f'no XML: {error}') from None
    if root.tag != 'root' or root.get('BTCPP_format') != '4':
        raise PlanError('no tree of BehaviorTree.CPP 4: the root wants BTCPP_format="4"')
    trees = root.findall('BehaviorTree')
    if len(trees) != 1 or len(trees[0]) != 1:
        raise PlanError('a plan is one BehaviorTree with one node in it')
    main = trees[0]
    if root.get('main_tree_to_execute', main.get('ID')) != main.get('ID'):
        raise PlanError(f'main_tree_to_execute names {root.get("main_tree_to_execute")!r}, which is not there')
    reader = _Reader(tools)
    plan = Plan(main.get('_description', '') or 'from XML', reader.node(main[0], 0))
    return plan_from_json(plan_to_json(plan))  # holds it against plan-1.json


def _nodes(node: Node) -> Iterator[Node]:
    yield node
    match node:
        case Sequence() | Fallback() | Parallel():
            below: tuple[Node, ...] = node.children
        case Repeat():
            below = (node.child,)
        case If():
            below = (node.then,) if node.otherwise is None else (node.then, node.otherwise)
        case _:
            below = ()
    for child in below:
        yield from _nodes(child)


def _element(node: Node) -> ElementTree.Element:
    match node:
        case Step():
            if {'name', 'ID'} & set(node.args):
                raise PlanError(f'{node.tool}: an argument called name or ID cannot be written as a port')
            ports = {name: _said(value) for name, value in node.args.items()}
            return ElementTree.Element(node.tool, {'name': node.id, **ports})
        case Parallel():
            counts = ('-1', '1') if node.policy == 'all' else ('1', '-1')
            element = ElementTree.Element(
                'Parallel', dict(zip(('success_count', 'failure_count'), counts, strict=True))
            )
            element.extend([_element(child) for child in node.children])
        case Repeat():
            element = ElementTree.Element('Repeat', {'num_cycles': str(node.times)})
            element.append(_element(node.child))
        case If():
            element = ElementTree.Element('IfThenElse')
            element.append(_condition(node.condition))
            element.extend([_element(child) for child in (node.then, node.otherwise) if child is not None])
        case _:
            element = ElementTree.Element(type(node).__name__)
            element.extend([_element(child) for child in node.children])
    return element


def _condition(item: Condition) -> ElementTree.Element:
    said = {'ref': f'{{{item.ref}}}', 'op': item.op, 'value': json.dumps(item.value), 'unit': item.unit}
    return ElementTree.Element(
        CONDITION, {**said, 'max_age_s': json.dumps(item.max_age_s), 'on_unknown': item.on_unknown}
    )


def _said(value: Scalar | Ref) -> str:
    if isinstance(value, Ref):
        return f'{{{value}}}'
    return value if isinstance(value, str) else json.dumps(value)


def _model(model: ElementTree.Element, kind: str, name: str, ports: Mapping[str, None]) -> None:
    entry = ElementTree.SubElement(model, kind, {'ID': name})
    for port in ports:
        ElementTree.SubElement(entry, 'input_port', {'name': port})


class _Reader:
    """One document on its way to a plan."""

    def __init__(self, tools: Mapping[str, Tool]) -> None:
        self._tools = tools
        self._count = 0

    def node(self, element: ElementTree.Element, depth: int) -> Node:
        if depth > 32:
            raise PlanError('the tree is nested deeper than a plan may be')
        self._check(element)
        below = [self.node(child, depth + 1) for child in element if child.tag != CONDITION]
        match element.tag:
            case 'Sequence':
                return Sequence(tuple(below))
            case 'Fallback':
                return Fallback(tuple(below))
            case 'Parallel':
                return Parallel(tuple(below), self._policy(element, len(below)))
            case 'Repeat':
                return Repeat(self._only(element, below), self._times(element))
            case 'IfThenElse':
                return self._branch(element, below)
        return self._step(element)

    def _check(self, element: ElementTree.Element) -> None:
        """Refuse what would be lost: conditions outside of an IfThenElse, nodes inside of a step, scripts."""
        if element.tag not in _CONTROLS and len(element):
            raise PlanError(f'{element.tag}: a step has no nodes inside')
        for index, child in enumerate(element):
            if child.tag == CONDITION and (element.tag != 'IfThenElse' or index):
                raise PlanError(f'{CONDITION} stands first in an IfThenElse and nowhere else, not in {element.tag}')
        for attribute in element.attrib:
            if attribute.startswith('_') and attribute != '_description':
                raise PlanError(f'{element.tag}: {attribute} has no counterpart in a plan; write an IfThenElse')
            if element.tag in _CONTROLS and attribute not in ('name', '_description', *_COUNTS.get(element.tag, ())):
                raise PlanError(f'{element.tag}: {attribute} is not taken')

    def _policy(self, element: ElementTree.Element, count: int) -> Literal['all', 'any']:
        needed, borne = element.get('success_count', '-1'), element.get('failure_count', '1')
        if needed in ('-1', str(count)) and borne == '1':
            return 'all'
        if needed == '1' and borne in ('-1', str(count)):
            return 'any'
        said = f'success_count={needed}, failure_count={borne}'
        raise PlanError(f'Parallel: {said} is neither all (-1, 1) nor any (1, -1)')

    def _times(self, element: ElementTree.Element) -> int:
        try:
            return int(element.get('num_cycles', ''))
        except ValueError:
            raise PlanError(f'Repeat: num_cycles={element.get("num_cycles")!r} is no number') from None

    def _only(self, element: ElementTree.Element, below: list[Node]) -> Node:
        if len(below) != 1:
            raise PlanError(f'{element.tag}: wants one node inside, has {len(below)}')
        return below[0]

    def _branch(self, element: ElementTree.Element, below: list[Node]) -> If:
        if len(element) == 0 or element[0].tag != CONDITION or not 1 <= len(below) <= 2:
            raise PlanError(f'IfThenElse: wants a {CONDITION} and one or two nodes, in this order')
        said = {name: element[0].get(name, '') for name in _PORTS}
        try:
            value, max_age_s = json.loads(said['value']), json.loads(said['max_age_s'])
        except ValueError:
            raise PlanError(f'{CONDITION}: value and max_age_s are JSON: 4.0, true, "low"') from None
        how = cast("Literal['hold', 'true', 'false']", said['on_unknown'])
        op = cast("Literal['<', '<=', '>', '>=', '==', '!=']", said['op'])
        condition = Condition(Ref.parse(said['ref'].strip('{}')), op, value, max_age_s, how, said['unit'])
        return If(condition, *below)

    def _step(self, element: ElementTree.Element) -> Step:
        name = element.get('ID', element.tag) if element.tag == 'Action' else element.tag
        tool = self._tools.get(name)
        if tool is None:
            raise PlanError(f'{name!r} is no tool of this robot{suggest(name, [*self._tools, *_CONTROLS])}')
        self._count += 1
        ports = {port: text for port, text in element.attrib.items() if port not in ('name', 'ID') and port[0] != '_'}
        args = {port: self._value(tool, port, text) for port, text in ports.items()}
        return Step(element.get('name') or f's{self._count}', tool.name, args)

    def _value(self, tool: Tool, port: str, text: str) -> Scalar | Ref:
        arg = tool.args.get(port)
        if arg is None:
            raise PlanError(f'{tool.name} takes no {port!r}{suggest(port, list(tool.args))}')
        if text[:1] == '{' and text[-1:] == '}':
            return Ref.parse(text[1:-1])
        return _typed(tool, arg, text)


def _typed(tool: Tool, arg: Arg, text: str) -> Scalar:
    if arg.type == 'enum':
        return text
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    is_bool = isinstance(value, bool)
    if not isinstance(value, (bool, int, float)) or is_bool != (arg.type == 'boolean'):
        raise PlanError(f'{tool.name}.{arg.name}: {text!r} is no {arg.type}')
    return value
