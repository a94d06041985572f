# SPDX-License-Identifier: Apache-2.0
"""``gemma4 gate``: judge plans and policies offline, verify audit logs, and be the person that the gate asks for."""

from __future__ import annotations

import getpass
import json
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from gemma4_ros.core.errors import ConfigError, Gemma4Error
from gemma4_ros.core.gate.audit import GENESIS
from gemma4_ros.core.gate.audit_verify import Report, verify
from gemma4_ros.core.gate.explain import explain as explain_plan
from gemma4_ros.core.gate.lint import lint as lint_policy
from gemma4_ros.core.gate.monitor import Monitor
from gemma4_ros.core.gate.policy import CHANNELS, Policy
from gemma4_ros.core.gate.state import Latch, State, Value
from gemma4_ros.core.gate.verdict import Verdict
from gemma4_ros.ros.gate_config import GateFiles, load_gate
from gemma4_ros.ros.gate_files import CELL_TOOLS, read_text

__all__ = ['app']

DONE, WRONG_USAGE, NEEDS_APPROVAL, REFUSED, NOT_RUNNING = 0, 2, 3, 4, 6
_EXIT = {'allow': DONE, 'needs_approval': NEEDS_APPROVAL, 'hold': REFUSED, 'deny': REFUSED}
MAX_READ = (1 << 16) + 1

app = typer.Typer(
    help='The safety gate: check plans and policies, verify audit logs, arm, reset, approve.', no_args_is_help=True
)
audit = typer.Typer(help='The audit log.', no_args_is_help=True)
app.add_typer(audit, name='audit')

PlanFile = Annotated[Path, typer.Argument(help='plan as canonical JSON; - reads standard input')]
PolicyFile = Annotated[
    Path | None, typer.Option('--policy', help='policy file; default: policy.yaml of the configuration')
]
StateFile = Annotated[
    Path | None, typer.Option('--state', help='state of the moment as JSON; default: armed, AUTO, all fresh')
]
ConfigDir = Annotated[str, typer.Option('--config', help='folder of the configuration')]
WorldFile = Annotated[str, typer.Option('--world', help='world file, below the folder or absolute')]
ToolsFiles = Annotated[list[str] | None, typer.Option('--tools', help='tools file; may stand several times')]
Channel = Annotated[str, typer.Option(help='typed or speech')]
Proposer = Annotated[str, typer.Option(help='on whose behalf')]
AsJson = Annotated[bool, typer.Option('--json', help='one JSON document on standard output')]
Person = Annotated[str, typer.Option('--person', envvar='GEMMA4_PERSON', help='who you are')]
Wait = Annotated[float, typer.Option('--wait', help='how long to wait for the gate, s')]
Namespace = Annotated[str, typer.Option('--namespace', help='of the robot, as given to gemma4 up')]


@app.command()
def check(
    plan: PlanFile,
    policy: PolicyFile = None,
    state: StateFile = None,
    config: ConfigDir = '',
    world: WorldFile = 'world.yaml',
    tools: ToolsFiles = None,
    channel: Channel = 'typed',
    proposer: Proposer = 'operator',
    as_json: AsJson = False,
) -> None:
    """Judge PLAN as the node would. Exit 0 allowed, 3 needs people, 4 refused. Example: gemma4 gate check plan.json"""
    with _Errors():
        rules, catalogue = load_gate(_files(config, world, tools, policy))
        monitor = Monitor(rules, catalogue, 'offline', lambda: 'offline', _Nowhere())
        now = time.monotonic()
        monitor.moment.state = _state(state, rules, now)
        admission = monitor.admit(_bytes(plan), proposer, _channel(channel), now)
    verdict = admission.verdict
    steps = [{'id': step_id, **_verdict_json(each)} for step_id, each in admission.steps]
    hashes = {'plan_sha256': admission.sha256, 'policy_sha256': rules.sha256}
    if as_json:
        print(json.dumps({**_verdict_json(verdict), **hashes, 'steps': steps, 'rendering': admission.rendering}))
    else:
        print(
            f'{verdict.name}: {verdict.text or "allowed"}'
            + (f' [{int(verdict.code)} {verdict.rule}]' if verdict.code else '')
        )
        if admission.rendering:
            print(_visible(admission.rendering))
    raise typer.Exit(_EXIT[verdict.name])


@app.command()
def explain(
    plan: PlanFile,
    policy: PolicyFile = None,
    state: StateFile = None,
    config: ConfigDir = '',
    world: WorldFile = 'world.yaml',
    tools: ToolsFiles = None,
    channel: Channel = 'typed',
    proposer: Proposer = 'operator',
    as_json: AsJson = False,
) -> None:
    """Say rule by rule why PLAN is allowed or not. Example: gemma4 gate explain plan.json"""
    with _Errors():
        rules, catalogue = load_gate(_files(config, world, tools, policy))
        now = time.monotonic()
        lines = explain_plan(
            _bytes(plan), rules, catalogue, _state(state, rules, now), proposer, _channel(channel), now
        )
    if as_json:
        print(json.dumps([{'subject': line.subject, **_verdict_json(line.verdict)} for line in lines]))
    for line in [] if as_json else lines:
        code = f'{int(line.verdict.code)} ' if line.verdict.code else ''
        hazard = rules.hazards.get(line.verdict.hazard)
        because = f' (hazard {line.verdict.hazard}: {hazard})' if hazard else ''
        print(
            _visible(
                f'{line.verdict.name:>14}  {line.subject}: {code}{line.verdict.rule}: {line.verdict.text}{because}'
            )
        )
    raise typer.Exit(max((_EXIT[line.verdict.name] for line in lines), default=DONE))


@app.command()
def lint(
    policy: Annotated[Path, typer.Argument(help='policy file')],
    config: ConfigDir = '',
    world: WorldFile = 'world.yaml',
    tools: ToolsFiles = None,
    as_json: AsJson = False,
) -> None:
    """Find useless, contradictory and wide rules. Exit 0 none, 4 some. Example: gemma4 gate lint policy.yaml"""
    with _Errors():
        rules, catalogue = load_gate(_files(config, world, tools, policy))
    found = lint_policy(rules, catalogue)
    if as_json:
        print(json.dumps({'policy': rules.name, 'version': rules.version, 'sha256': rules.sha256, 'findings': found}))
    else:
        print('\n'.join(found) if found else f'{rules.name} version {rules.version}: nothing found')
    raise typer.Exit(REFUSED if found else DONE)


@audit.command('verify')
def audit_verify(
    log: Annotated[Path, typer.Argument(help='a log, or a folder of logs')], as_json: AsJson = False
) -> None:
    """Check that no record was changed or removed. Exit 0 unbroken, 4 broken. Example: gemma4 gate audit verify FILE"""
    with _Errors():
        logs = sorted(log.glob('audit-*.jsonl')) if log.is_dir() else [log]
        if not logs:
            raise ConfigError(f'no audit-*.jsonl in {log}')
        results = list(_verified(logs, is_folder=log.is_dir()))
    is_good = all(not result['problem'] for result in results)
    if as_json:
        print(json.dumps({'ok': is_good, 'logs': results}))
    for result in [] if as_json else results:
        what = (
            f'line {result["line"]}: {result["problem"]}' if result['problem'] else f'ends with {result["last_hash"]}'
        )
        print(f'{"broken" if result["problem"] else "ok":>6}  {result["log"]}: {result["records"]} records, {what}')
    raise typer.Exit(DONE if is_good else REFUSED)


@app.command()
def arm(person: Person = '', wait: Wait = 5.0, namespace: Namespace = '') -> None:
    """Arm the gate: from now on plans may move the robot. Example: gemma4 gate arm --person anna"""
    _set_armed('gate/set_armed', 0, person, wait, namespace)


@app.command()
def disarm(person: Person = '', wait: Wait = 5.0, namespace: Namespace = '') -> None:
    """Disarm the gate; what runs is cancelled. Example: gemma4 gate disarm"""
    _set_armed('gate/set_armed', 1, person, wait, namespace)


@app.command()
def reset(person: Person = '', wait: Wait = 5.0, namespace: Namespace = '') -> None:
    """Clear a latched stop of deadman and gate; the gate is disarmed afterwards. Example: gemma4 gate reset"""
    with _Errors(), _gate(wait, namespace) as gate:
        for node in ('deadman', 'gate'):
            if gate.is_latched(node):
                print(gate.set_armed(f'{node}/set_armed', 2, person or getpass.getuser()))
            else:
                print(f'{node}: nothing to reset')


@app.command()
def approve(
    approval_id: Annotated[str, typer.Argument(help='id of the request; empty: the open one')] = '',
    person: Person = '',
    no: Annotated[bool, typer.Option('--no', help='refuse the plan')] = False,
    yes: Annotated[bool, typer.Option('--yes', help='do not ask again')] = False,
    wait: Wait = 5.0,
    namespace: Namespace = '',
) -> None:
    """Read what the gate asks, in the gate's own words, and answer it. Example: gemma4 gate approve --person anna"""
    with _Errors(), _gate(wait, namespace) as gate:
        request = gate.open_request(approval_id)
        print(_visible(f'{request.proposer} proposed, plan {request.plan_sha256[:12]}:\n{request.rendering}'))
        if not (yes or no or typer.confirm('Shall the robot do this?')):
            no = True
        print(gate.answer(request, person or getpass.getuser(), approve=not no))


# Files ---------------------------------------------------------------------------------------------------------------
def _files(config: str, world: str, tools: list[str] | None, policy: Path | None) -> GateFiles:
    files = GateFiles(config, world, tuple(tools or CELL_TOOLS))
    return files if policy is None else replace(files, policy=str(policy.resolve()))


def _bytes(path: Path) -> bytes:
    try:
        if str(path) == '-':
            return sys.stdin.buffer.read(MAX_READ)
        with path.open('rb') as file:
            return file.read(MAX_READ)
    except OSError as error:
        raise ConfigError(f'cannot read {path}: {error.strerror}') from None


def _channel(name: str) -> int:
    if name not in CHANNELS:
        raise ConfigError(f'the channel is {name!r}; write {" or ".join(CHANNELS)}')
    return CHANNELS.index(name)


def _state(path: Path | None, policy: Policy, now: float) -> State:
    """Build the state of the moment; ages count back from now, and an age of null means never seen."""
    raw: dict[str, Any] = {} if path is None else _object(path)
    values = {'mode': 'AUTO', 'estop': False, **dict.fromkeys(set(policy.signals) - {'mode', 'estop'})}
    signals = {}
    for name in policy.signals:
        item = raw.get('signals', {}).get(name, {'age_s': 0.0})
        if item.get('age_s') is not None:
            signals[name] = Value(item.get('value', values[name]), _since(path, item['age_s'], now) or 0.0)
    try:
        latch = Latch[raw.get('state', 'ARMED')]
    except KeyError:
        raise ConfigError(f'{path}: state is DISARMED, ARMED or STOPPED, not {raw["state"]!r}') from None
    deadman, executor = (_since(path, raw.get(name, 0.0), now) for name in ('deadman_age_s', 'executor_age_s'))
    return State(
        latch, signals=signals, deadman_at_s=deadman, executor_at_s=executor, audit_ok=raw.get('audit_ok', True)
    )


def _since(path: Path | None, age: object, now: float) -> float | None:
    if age is not None and (isinstance(age, bool) or not isinstance(age, int | float)):
        raise ConfigError(f'{path}: an age is a number of seconds or null, not {age!r}')
    return None if age is None else now - age


def _object(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise ConfigError(f'{path}: not JSON: {error}') from None
    signals = value.get('signals', {}) if isinstance(value, dict) else None
    if not isinstance(signals, dict) or not all(isinstance(item, dict) for item in signals.values()):
        raise ConfigError(
            f'{path}: wants {{"state": "ARMED", "signals": {{"mode": {{"value": "AUTO", "age_s": 0.1}}}}}}'
        )
    return dict(value)


def _verified(logs: list[Path], *, is_folder: bool) -> Iterator[dict[str, Any]]:
    ends, starts = {'': Report(0, GENESIS)}, {}
    for path in logs:
        with path.open('rb') as file:
            ends[path.name] = verify(file)
            file.seek(0)
            starts[path.name] = file.readline()
    for path in logs:
        report = ends[path.name]
        line, problem = report.line, report.problem
        if is_folder and not problem:
            start = json.loads(starts[path.name])
            before = ends.get(str(start.get('previous_log')))
            if before is None or before.last_hash != start.get('previous_hash'):
                line, problem = (
                    1,
                    f'does not follow {start.get("previous_log")!a}: that log was cut, changed or removed',
                )
        yield {**asdict(report), 'log': str(path), 'line': line, 'problem': problem}


def _verdict_json(verdict: Verdict) -> dict[str, Any]:
    code = {'code': int(verdict.code), 'name': verdict.code.name, 'meaning': verdict.code.meaning}
    return {'decision': verdict.name, **code, 'rule': verdict.rule, 'hazard': verdict.hazard, 'text': verdict.text}


def _visible(text: str) -> str:
    return ''.join(char if char.isprintable() or char == '\n' else f'\\x{ord(char):02x}' for char in text)


class _Nowhere:
    def note(self, kind: str, data: Mapping[str, Any]) -> None:
        """Keep nothing: an offline check decides about nothing."""


class _Errors:
    """One sentence and an exit code instead of a traceback."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if isinstance(error, Gemma4Error | OSError):
            _fail(str(error), WRONG_USAGE)


def _fail(text: str, code: int) -> NoReturn:
    print(f'gemma4 gate: {text}', file=sys.stderr)
    raise typer.Exit(code)


# The running gate ----------------------------------------------------------------------------------------------------
def _set_armed(service: str, command: int, person: str, wait: float, namespace: str) -> None:
    with _Errors(), _gate(wait, namespace) as gate:
        print(gate.set_armed(service, command, person or getpass.getuser()))


def _gate(wait: float, namespace: str) -> Any:
    try:
        from gemma4_ros.cli.gate_client import GateClient
    except ImportError as error:
        _fail(
            f'ROS 2 or the built package is not there ({error}); run make setup, or source install/local_setup.sh',
            NOT_RUNNING,
        )
    return GateClient(wait, namespace, lambda text: _fail(text, NOT_RUNNING), lambda text: _fail(text, REFUSED))
