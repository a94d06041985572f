# SPDX-License-Identifier: Apache-2.0
"""
Mutation testing of the gate's rules: change one thing, and see whether a unit test notices.

    scripts/with_env.sh python scripts/gate_mutation.py decide --seconds 240     again until nothing is left
    scripts/with_env.sh python scripts/gate_mutation.py --summary                figures and survivors

Why no library: mutmut 3.8.1 runs here, and decided 3 of the 404 mutants of automaton.py in 280 s, as it
switches mutants inside of every call and gives each the whole of the property tests; cosmic-ray 8.7.0 would start
pytest, plugins and all imports anew for each of over a thousand mutants. Here pytest collects once, and every mutant is
a fork of that process in which one function got another code. Examples come before properties, properties draw fewer
cases and do not shrink, and the first failure ends it. What stands outside of functions (fields, constants) is changed
before the gate is imported, in a process of its own.
"""

from __future__ import annotations

import argparse
import ast
import copy
import hashlib
import importlib
import importlib.abc
import importlib.machinery
import itertools
import json
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
GATE = 'gemma4_ros.core.gate'
TESTS = {
    'automaton': ('automaton', 'monitor', 'sequences'),
    'conditions': ('conditions', 'decide', 'zones', 'moment', 'monitor'),
    'decide': ('decide', 'conditions', 'zones', 'people', 'history', 'monitor'),
    'history': ('history', 'sequences', 'conditions'),
    'permits': ('monitor', 'permits', 'sequences', 'people'),
    'sequences': ('sequences', 'history'),
}
PRELOADED = (
    'pytest', 'hypothesis', 'hypothesis.strategies', 'shapely', 'jsonschema', 'jsonschema_rs', 'msgspec', 'rfc8785',
    'yaml', 'cryptography.hazmat.primitives.serialization', 'cryptography.hazmat.primitives.asymmetric.ed25519',
    'gemma4_ros.core.plan', 'gemma4_ros.core.tools', 'gemma4_ros.core.world', 'gemma4_ros.core.documents',
)  # fmt: skip
MOST_EXAMPLES = 60
LIMIT_S = 60.0
SAME = 99  # the exit status of a mutant whose code is the same as before
COMPARE: dict[type, type] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
BINARY: dict[type, type] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.Div: ast.Mult,
    ast.BitOr: ast.BitAnd, ast.BitAnd: ast.BitOr,
}  # fmt: skip
REMOVED = (ast.Expr, ast.Assign, ast.AugAssign, ast.Raise, ast.Continue, ast.Delete)


def changes(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """Yield every single change of one node: the operator's name and what stands there instead."""
    if isinstance(node, ast.Compare):
        yield from comparison_changes(node)
    elif isinstance(node, ast.BoolOp):
        yield 'boolean', ast.BoolOp(ast.Or() if isinstance(node.op, ast.And) else ast.And(), node.values)
        yield from (('boolean', value) for value in node.values)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield 'boolean', node.operand
    elif isinstance(node, ast.Constant):
        yield from (('constant', ast.Constant(value)) for value in other_constants(node.value))
    elif isinstance(node, ast.BinOp) and type(node.op) in BINARY:
        yield 'arithmetic', ast.BinOp(node.left, BINARY[type(node.op)](), node.right)
    elif isinstance(node, ast.IfExp):
        yield 'condition', ast.IfExp(node.test, node.orelse, node.body)
    elif isinstance(node, ast.comprehension):
        for test in node.ifs:
            ifs = [ast.UnaryOp(ast.Not(), each) if each is test else each for each in node.ifs]
            yield 'condition', ast.comprehension(node.target, node.iter, ifs, node.is_async)
    else:
        yield from statement_changes(node)


def comparison_changes(node: ast.Compare) -> Iterator[tuple[str, ast.AST]]:
    """Yield each operator moved by its border, and a comparison of size turned round."""
    for place, operator in enumerate(node.ops):
        ops = [COMPARE[type(operator)]() if index == place else op for index, op in enumerate(node.ops)]
        yield 'comparison', ast.Compare(node.left, ops, node.comparators)
    if isinstance(node.ops[0], ast.Lt | ast.LtE | ast.Gt | ast.GtE):
        yield 'comparison', ast.UnaryOp(ast.Not(), node)


def statement_changes(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """Yield the changes of a statement: negated, without a value, left out."""
    if isinstance(node, ast.If | ast.While):
        changed = copy.copy(node)
        changed.test = ast.UnaryOp(ast.Not(), node.test)
        yield 'condition', changed
    elif isinstance(node, ast.Return) and node.value is not None and not is_none(node.value):
        yield 'return', ast.Return(ast.Constant(None))
    elif isinstance(node, REMOVED) and not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):
        yield 'removal', ast.If(ast.Constant(False), [node], [])


def is_none(node: ast.expr) -> bool:
    """Say whether an expression is the constant None."""
    return isinstance(node, ast.Constant) and node.value is None


def other_constants(value: object) -> list[object]:
    """Return what may stand in the place of a constant."""
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int | float):
        return [value + 1, *([value - 1] if value > 0 else [])]
    return [f'{value}X'] if isinstance(value, str) else []


def places(tree: ast.AST, is_inside: bool = False) -> Iterator[tuple[ast.AST, str, int | None, bool]]:
    """Yield what may be changed, as parent, field, index and whether in a function; no types, no texts."""
    if isinstance(tree, ast.Import | ast.ImportFrom | ast.JoinedStr) or is_name_list(tree) or is_alias(tree):
        return
    for field, value in ast.iter_fields(tree):
        if field in ('annotation', 'returns', 'decorator_list', 'bases'):
            continue
        is_below = is_inside or (isinstance(tree, ast.FunctionDef) and field == 'body')
        items = value if isinstance(value, list) else [value]
        for index, item in enumerate(items):
            if isinstance(item, ast.AST):
                yield tree, field, index if isinstance(value, list) else None, is_below
                yield from places(item, is_below)


def is_name_list(node: ast.AST) -> bool:
    """Say whether a statement is `__all__`, or a documentation string."""
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant)
    return isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == '__all__'


def is_alias(node: ast.AST) -> bool:
    """Say whether a statement names a type."""
    return isinstance(node, ast.Assign) and isinstance(node.value, ast.Subscript) and node.col_offset == 0


@dataclass(frozen=True)
class Mutant:
    """A module with one change; ``is_inside`` where the change is in the body of a function."""

    name: str
    tree: ast.Module
    is_inside: bool


def mutants(source: str) -> Iterator[Mutant]:
    """Yield every mutant of a module."""
    tree = ast.parse(source)
    for parent, field, index, is_inside in places(tree):
        value = getattr(parent, field)
        node = value if index is None else value[index]
        if is_name_list(node) or is_alias(node) or isinstance(parent, ast.Module):
            continue
        line = getattr(node, 'lineno', getattr(getattr(node, 'target', None), 'lineno', 0))
        for number, (operator, new) in enumerate(changes(node)):
            before, after = (ast.unparse(each).split('\n')[0] for each in (node, new))
            name = f'{line}:{getattr(node, "col_offset", 0)}:{number} {operator}: {before} -> {after}'
            put(parent, field, index, new)
            mutant = ast.fix_missing_locations(copy.deepcopy(tree))
            put(parent, field, index, node)
            yield Mutant(name, mutant, is_inside)


def put(parent: ast.AST, field: str, index: int | None, node: ast.AST) -> None:
    """Put a node into its place."""
    if index is None:
        setattr(parent, field, node)
    else:
        getattr(parent, field)[index] = node


class Changed(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Gives the changed tree where the module is imported."""

    def __init__(self, name: str, path: Path, tree: ast.Module) -> None:
        self.name, self.path, self.tree = name, path, tree

    def find_spec(self, fullname: str, *_: object) -> importlib.machinery.ModuleSpec | None:
        """Answer for the one module."""
        return importlib.machinery.ModuleSpec(fullname, self, origin=str(self.path)) if fullname == self.name else None

    def exec_module(self, module: ModuleType) -> None:
        """Run the changed tree."""
        module.__file__ = str(self.path)
        exec(compile(self.tree, str(self.path), 'exec'), module.__dict__)  # noqa: S102 - our own source, changed once


def functions(namespace: Mapping[str, Any], path: str) -> dict[str, FunctionType]:
    """Return the functions and methods that stand in a file, by qualified name."""
    found: dict[str, FunctionType] = {}
    for value in namespace.values():
        item = getattr(value, '__func__', getattr(value, 'fget', value))
        if isinstance(item, FunctionType) and item.__code__.co_filename == path:
            found[item.__qualname__] = item
        elif isinstance(value, type) and value.__module__ == namespace.get('__name__', value.__module__):
            found.update(functions(vars(value), path))
    return found


def patch(module: ModuleType, path: Path, tree: ast.Module) -> bool:
    """Give the functions of a module the code of a changed tree; say whether any code is another one."""
    scratch = ModuleType(module.__name__)
    scratch.__file__ = str(path)
    here = functions(vars(module), str(path))
    exec(compile(tree, str(path), 'exec'), vars(scratch))  # noqa: S102 - our own source, changed once
    there = functions(vars(scratch), str(path))
    changed = [name for name, item in here.items() if item.__code__ != there[name].__code__]
    for name in changed:
        here[name].__code__ = there[name].__code__
    return bool(changed)


class Run:
    """The mutants of one module; a plugin of the pytest that collects its tests."""

    def __init__(self, module: str, args: argparse.Namespace) -> None:
        self.module, self.jobs, self.state = module, args.jobs, args.state
        self.path = ROOT / 'gemma4_ros' / 'core' / 'gate' / f'{module}.py'
        self.source = self.path.read_text(encoding='utf-8')
        self.sha256 = hashlib.sha256(self.source.encode()).hexdigest()[:16]
        self.running: dict[int, tuple[str, float]] = {}
        found = results(self.state, self.module, self.sha256)
        known = {each['mutant'] for each in found if not args.again or each['result'] != 'survived'}
        waiting = [mutant for mutant in mutants(self.source) if mutant.name not in known]
        self.inside = [mutant for mutant in waiting if mutant.is_inside]
        self.outside = [mutant for mutant in waiting if not mutant.is_inside]
        self.until_s, self.limit_s = time.monotonic() + args.seconds, LIMIT_S

    def words(self) -> list[str]:
        """Return pytest's arguments."""
        files = [f'test/unit/test_gate_{name}.py' for name in TESTS[self.module]]
        late = 'ignore::pytest.PytestAssertRewriteWarning'  # imported before the fork; no asserts of tests are in them
        return ['-x', '-q', '--tb=line', '-W', late, *[file for file in files if Path(file).is_file()]]

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        """Put examples first; properties draw fewer cases, the same ones every time, and do not shrink."""
        from hypothesis import Phase, settings

        for item in items:
            drawn = getattr(item.obj, '_hypothesis_internal_use_settings', None)
            if drawn is not None:
                most = min(drawn.max_examples, MOST_EXAMPLES)
                item.obj._hypothesis_internal_use_settings = settings(
                    drawn, max_examples=most, database=None, derandomize=True, phases=[Phase.explicit, Phase.generate]
                )
        items.sort(key=lambda item: hasattr(item.obj, 'hypothesis'))

    def pytest_runtestloop(self, session: Any) -> bool:
        """Run the tests of every mutant inside of functions in a fork; first without a change."""
        module = importlib.import_module(f'{GATE}.{self.module}')
        since_s = time.monotonic()
        child = os.fork()
        if child == 0:
            self.run_items(session)
        if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != 0:
            raise SystemExit('the tests fail without a change')
        self.limit_s = 5.0 + 4.0 * (time.monotonic() - since_s)
        print(f'unchanged: passed, limit {self.limit_s:.0f} s', file=sys.__stderr__)

        def child_of(mutant: Mutant) -> None:
            os._exit(SAME) if not patch(module, self.path, mutant.tree) else self.run_items(session)

        self.work(self.inside, child_of)
        return True

    def run_items(self, session: Any) -> None:
        """Run tests until one fails, and leave."""
        session.config.get_terminal_writer()._file = Path(os.devnull).open('w')  # noqa: SIM115 - this process ends soon
        for item, following in itertools.zip_longest(session.items, session.items[1:]):
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if session.testsfailed:
                os._exit(1)
        os._exit(0)

    def run_outside(self, mutant: Mutant) -> None:
        """Run the tests of a mutant that is imported as changed, and leave."""
        import pytest

        self.pytest_runtestloop = lambda session: self.run_items(session)  # type: ignore[assignment,method-assign]
        sys.meta_path.insert(0, Changed(f'{GATE}.{self.module}', self.path, mutant.tree))
        os._exit(int(pytest.main(self.words(), plugins=[self])))

    def work(self, waiting: list[Mutant], child_of: Callable[[Mutant], None]) -> None:
        """Run mutants until the time is up."""
        while waiting or self.running:
            while waiting and len(self.running) < self.jobs and time.monotonic() < self.until_s:
                mutant = waiting.pop(0)
                child = os.fork()
                if child == 0:
                    os.setpgid(0, 0)
                    child_of(mutant)
                self.running[child] = (mutant.name, time.monotonic())
            if not self.running:
                return
            self.reap()
            time.sleep(0.005)  # nothing to wait for but children

    def reap(self) -> None:
        """Take what has ended, and end what takes too long."""
        for child, (name, since_s) in list(self.running.items()):
            ended, status = os.waitpid(child, os.WNOHANG)
            if not ended and time.monotonic() - since_s < self.limit_s:
                continue
            if not ended:
                os.killpg(child, signal.SIGKILL)
                os.waitpid(child, 0)
            code = os.waitstatus_to_exitcode(status) if ended else None
            result = 'timeout' if code is None else {0: 'survived', SAME: 'same'}.get(code, 'killed')
            record = {'module': self.module, 'source': self.sha256, 'mutant': name, 'result': result}
            with self.state.open('a', encoding='utf-8') as file:
                file.write(json.dumps({**record, 's': round(time.monotonic() - since_s, 2)}) + '\n')
            del self.running[child]


def results(state: Path, module: str, sha256: str) -> list[dict[str, Any]]:
    """Return the last result of every mutant of this source."""
    lines = state.read_text(encoding='utf-8').splitlines() if state.is_file() else []
    found = (json.loads(line) for line in lines)
    return list({r['mutant']: r for r in found if (r['module'], r['source']) == (module, sha256)}.values())


def summary(state: Path) -> None:
    """Print figures and survivors."""
    for module in TESTS:
        source = (ROOT / 'gemma4_ros' / 'core' / 'gate' / f'{module}.py').read_bytes()
        found = results(state, module, hashlib.sha256(source).hexdigest()[:16])
        count = Counter(record['result'] for record in found if record['result'] != 'same')
        total, alive = sum(count.values()), count['survived']
        share = 100.0 * (total - alive) / total if total else 0.0
        killed = f'{total - alive} killed ({count["timeout"]} by time)'
        print(f'{module}: {total} mutants, {killed}, {alive} alive: {share:.1f} %')
        for record in found:
            if record['result'] == 'survived':
                print(f'  {record["mutant"]}')


def main() -> int:
    """Run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('module', nargs='?', choices=sorted(TESTS))
    parser.add_argument('--seconds', type=float, default=240.0)
    parser.add_argument('--jobs', type=int, default=2)
    parser.add_argument('--state', type=Path, default=ROOT / 'build' / 'gate_mutation.jsonl')
    parser.add_argument('--again', action='store_true', help='run survivors once more: tests were added')
    parser.add_argument('--summary', action='store_true')
    args = parser.parse_args()
    if args.summary or args.module is None:
        summary(args.state)
        return 0
    os.chdir(ROOT)
    args.state.parent.mkdir(parents=True, exist_ok=True)
    for name in PRELOADED:
        importlib.import_module(name)
    if any(name.startswith(f'{GATE}.') for name in sys.modules):
        raise SystemExit('a module of the gate was imported before it was changed')
    run = Run(args.module, args)
    import pytest

    run.work(run.outside, run.run_outside)  # before anything of the gate is imported here
    pytest.main(run.words(), plugins=[run])
    print(f'{len(run.inside) + len(run.outside)} left')
    return 0


if __name__ == '__main__':
    sys.exit(main())
