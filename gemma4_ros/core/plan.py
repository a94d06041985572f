# SPDX-License-Identifier: Apache-2.0
"""The plan: what may be carried out, as typed values and as canonical bytes."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import jsonschema
import rfc8785

from gemma4_ros.core import schemas
from gemma4_ros.core.errors import PlanError

MAX_STEPS = 256
MAX_NESTING = 16  # brackets of the canonical bytes, as the gate counts them
MAX_BYTES = 64 * 1024
MAX_NUMBER = 2**53 - 1
Scalar = str | float | int | bool
_TOO_DEEP = f'nested deeper than {MAX_NESTING} brackets of JSON; nest less, or ask for less at once'
_NODE_KEYS = ('tool', 'sequence', 'fallback', 'parallel', 'repeat', 'if')  # in the order of the schema


def _pattern(_validator: Any, pattern: str, instance: Any, _schema: Any) -> Iterator[jsonschema.ValidationError]:
    """Take ``$`` as JSON Schema does: the very end, not before a last line feed as in Python."""
    if isinstance(instance, str) and not re.search(re.sub(r'\$\Z', r'\\Z', pattern), instance):
        yield jsonschema.ValidationError(f'{instance!r} does not match {pattern!r}')


_STRICT: Any = jsonschema.validators.extend(  # type: ignore[no-untyped-call]  # jsonschema has no types
    jsonschema.Draft202012Validator, {'pattern': _pattern}
)
_VALIDATOR = _STRICT(schemas.PLAN)


@dataclass(frozen=True, slots=True)
class Ref:
    """The result of an earlier step, ``s3.value``."""

    step: str
    name: str

    @classmethod
    def parse(cls, text: str) -> Ref:
        """Split ``step.name``."""
        step, _, name = text.partition('.')
        return cls(step, name)

    def __str__(self) -> str:
        return f'{self.step}.{self.name}'


@dataclass(frozen=True, slots=True)
class Condition:
    """A comparison of an earlier result with a constant; evaluated once, when its node is entered."""

    ref: Ref
    op: Literal['<', '<=', '>', '>=', '==', '!=']
    value: Scalar
    max_age_s: float
    on_unknown: Literal['hold', 'true', 'false']
    unit: str = ''

    def __str__(self) -> str:
        return f'{self.ref} {self.op} {self.value}{" " + self.unit if self.unit else ""}'


@dataclass(frozen=True, slots=True)
class Step:
    """One call of a tool."""

    id: str
    tool: str
    args: Mapping[str, Scalar | Ref]
    origin: str = ''
    why: str = ''

    def __str__(self) -> str:
        return f'{self.tool}({", ".join(f"{name}={value}" for name, value in self.args.items())})'


@dataclass(frozen=True, slots=True)
class Sequence:
    """Every child in order; fails with the first that fails."""

    children: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Fallback:
    """Children in order until one succeeds."""

    children: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Parallel:
    """Children at once; succeeds when all or any succeeded."""

    children: tuple[Node, ...]
    policy: Literal['all', 'any']


@dataclass(frozen=True, slots=True)
class Repeat:
    """The child ``times`` times; fails with the first iteration that fails."""

    child: Node
    times: int


@dataclass(frozen=True, slots=True)
class If:
    """One of two branches; without ``otherwise``, succeeds when the condition is false."""

    condition: Condition
    then: Node
    otherwise: Node | None = None


Node = Step | Sequence | Fallback | Parallel | Repeat | If


@dataclass(frozen=True, slots=True)
class Source:
    """Where content of the plan came from; people read it, the gate does not trust it."""

    source: str
    trust: str


@dataclass(frozen=True, slots=True)
class Plan:
    """A goal in words and the tree that reaches it."""

    goal: str
    root: Node
    uses: tuple[Source, ...] = field(default=())

    def steps(self) -> tuple[Step, ...]:
        """Return every step in depth-first order."""
        return tuple(node for _, node in walk(self.root) if isinstance(node, Step))


def children(node: Node) -> tuple[tuple[str, Node], ...]:
    """Return a node's children with the part of the path that names each."""
    if isinstance(node, Sequence | Fallback | Parallel):
        return tuple((str(index), child) for index, child in enumerate(node.children))
    if isinstance(node, Repeat):
        return (('0', node.child),)
    if isinstance(node, If):
        branches = [('then', node.then)]
        if node.otherwise is not None:
            branches.append(('else', node.otherwise))
        return tuple(branches)
    return ()


def walk(node: Node, path: str = '/') -> Iterator[tuple[str, Node]]:
    """Yield every node with its path, depth first: ``/`` is the root, ``/0/then`` the first child's then-branch."""
    yield path, node
    for name, child in children(node):
        yield from walk(child, f'{path.rstrip("/")}/{name}')


def plan_from_json(value: Any) -> Plan:
    """Build a plan from parsed JSON; raise PlanError that names the place.

    Checked: the schema, numbers and texts that canonical JSON can write, unique step ids, at most 256 steps, brackets
    at most 16 deep, references to earlier steps only.
    """
    _check_json(value)
    problem = jsonschema.exceptions.best_match(_VALIDATOR.iter_errors(value))
    if problem is not None:
        raise PlanError(f'plan: {_pointer(problem.absolute_path)}: {_explain(problem)}')
    plan = Plan(
        goal=value['goal'],
        root=_node(value['root']),
        uses=tuple(Source(**item) for item in value.get('uses', ())),
    )
    check_references(plan)
    return plan


def _check_json(value: Any) -> None:
    """Refuse nesting that the gate refuses, before anything recurses into it, and values without a canonical form."""
    pending: list[tuple[Any, tuple[object, ...]]] = [(value, ())]
    while pending:
        item, path = pending.pop()
        if len(path) >= MAX_NESTING and isinstance(item, dict | list):
            raise PlanError(f'plan: {_pointer(path[:6])}/...: {_TOO_DEEP}')
        if isinstance(item, dict):
            pending += [(child, (*path, key)) for key, child in item.items()]
            pending += [(key, path) for key in item]
        elif isinstance(item, list):
            pending += [(child, (*path, index)) for index, child in enumerate(item)]
        elif isinstance(item, int | float) and not abs(item) <= MAX_NUMBER:  # NaN is not either
            raise PlanError(f'plan: {_pointer(path)}: a number is finite and at most 2^53 - 1')
        elif isinstance(item, str) and any('\ud800' <= char <= '\udfff' for char in item):
            raise PlanError(f'plan: {_pointer(path)}: a lone surrogate is no text; write the whole character')


def _pointer(path: Iterable[object]) -> str:
    return '/' + '/'.join(ascii(part)[1:-1] if isinstance(part, str) else str(part) for part in path)


def _explain(problem: jsonschema.ValidationError) -> str:
    value: Any = problem.instance
    if problem.validator in ('maxItems', 'maxLength', 'maxProperties'):
        return f'its length is {len(value)}; at most {problem.validator_value} is taken'
    if problem.validator == 'oneOf':
        kind = next((index for index, key in enumerate(_NODE_KEYS) if isinstance(value, dict) and key in value), None)
        inner = next((error for error in problem.context or () if error.schema_path[0] == kind), None)
        return inner.message[:200] if inner is not None else f'a node has one of {", ".join(_NODE_KEYS)}'
    return problem.message[:200]


def check_nesting(plan: Plan) -> None:
    """Raise PlanError where the canonical bytes nest brackets deeper than the gate takes, without recursion."""
    pending: list[tuple[Node, str, int]] = [(plan.root, '/', 2)]  # the brackets that are open inside of the node's own
    while pending:
        node, path, depth = pending.pop()
        deepest = depth + (0 if isinstance(node, Repeat) else 1)
        if isinstance(node, Step) and any(isinstance(value, Ref) for value in node.args.values()):
            deepest += 1
        if deepest > MAX_NESTING:
            raise PlanError(f'plan: {path}: {_TOO_DEEP}')
        below = depth + (2 if isinstance(node, Sequence | Fallback | Parallel) else 1)
        pending += [(child, f'{path.rstrip("/")}/{name}', below) for name, child in children(node)]


def check_references(plan: Plan) -> None:
    """Raise PlanError where ids repeat, there are too many steps, or a reference points to no earlier step."""
    seen: set[str] = set()
    for path, node in walk(plan.root):
        refs: list[Ref] = []
        if isinstance(node, Step):
            refs = [value for value in node.args.values() if isinstance(value, Ref)]
        elif isinstance(node, If):
            refs = [node.condition.ref]
        for ref in refs:
            if ref.step not in seen:
                raise PlanError(f'plan: {path}: {ref} refers to no earlier step')
        if isinstance(node, Step):
            if node.id in seen:
                raise PlanError(f'plan: {path}: the step id {node.id!r} stands twice')
            seen.add(node.id)
    if len(seen) > MAX_STEPS:
        raise PlanError(f'plan: {len(seen)} steps; at most {MAX_STEPS} are taken')


def plan_to_json(plan: Plan) -> dict[str, Any]:
    """Return the plan as JSON values of config/schema/plan-1.json."""
    result: dict[str, Any] = {'plan': '1', 'goal': plan.goal, 'root': _json(plan.root)}
    if plan.uses:
        result['uses'] = [{'source': item.source, 'trust': item.trust} for item in plan.uses]
    return result


def plan_to_bytes(plan: Plan) -> bytes:
    """Return the plan's canonical bytes (RFC 8785); their SHA-256 names the plan everywhere."""
    check_nesting(plan)
    try:
        data: bytes = rfc8785.dumps(plan_to_json(plan))
    except (rfc8785.CanonicalizationError, UnicodeError) as error:
        raise PlanError(f'plan: a number or text of it has no canonical form: {str(error)[:100]}') from None
    if len(data) > MAX_BYTES:
        raise PlanError(f'plan: {len(data)} bytes; at most {MAX_BYTES} are taken; ask for less at once')
    return data


def plan_sha256(data: bytes) -> str:
    """Return the name of a plan."""
    return hashlib.sha256(data).hexdigest()


def _node(value: dict[str, Any]) -> Node:
    if 'tool' in value:
        args = {name: Ref.parse(arg['ref']) if isinstance(arg, dict) else arg for name, arg in value['args'].items()}
        return Step(value['id'], value['tool'], args, value.get('origin', ''), value.get('why', ''))
    if 'sequence' in value:
        return Sequence(_nodes(value['sequence']))
    if 'fallback' in value:
        return Fallback(_nodes(value['fallback']))
    if 'parallel' in value:
        return Parallel(_nodes(value['parallel']), value['policy'])
    if 'repeat' in value:
        return Repeat(_node(value['repeat']), int(value['times']))
    item = dict(value['if'])
    condition = Condition(**{**item, 'ref': Ref.parse(item['ref'])})
    otherwise = _node(value['else']) if 'else' in value else None
    return If(condition, _node(value['then']), otherwise)


def _nodes(values: list[dict[str, Any]]) -> tuple[Node, ...]:
    return tuple(_node(child) for child in values)


def _json(node: Node) -> dict[str, Any]:
    match node:
        case Step():
            return _step_json(node)
        case Sequence():
            return {'sequence': [_json(child) for child in node.children]}
        case Fallback():
            return {'fallback': [_json(child) for child in node.children]}
        case Parallel():
            return {'parallel': [_json(child) for child in node.children], 'policy': node.policy}
        case Repeat():
            return {'repeat': _json(node.child), 'times': node.times}
        case If():
            result = {'if': _condition_json(node.condition), 'then': _json(node.then)}
            if node.otherwise is not None:
                result['else'] = _json(node.otherwise)
            return result


def _step_json(step: Step) -> dict[str, Any]:
    args = {name: {'ref': str(value)} if isinstance(value, Ref) else value for name, value in step.args.items()}
    result: dict[str, Any] = {'id': step.id, 'tool': step.tool, 'args': args}
    if step.origin:
        result['origin'] = step.origin
    if step.why:
        result['why'] = step.why
    return result


def _condition_json(condition: Condition) -> dict[str, Any]:
    result: dict[str, Any] = {
        'ref': str(condition.ref),
        'op': condition.op,
        'value': condition.value,
        'max_age_s': condition.max_age_s,
        'on_unknown': condition.on_unknown,
    }
    if condition.unit:
        result['unit'] = condition.unit
    return result
