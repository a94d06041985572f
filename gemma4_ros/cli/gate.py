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
from typing import Annotated, Any

import typer

from gemma4_ros.cli import gate_people
from gemma4_ros.cli.gate_terminal import (
    DONE,
    NEEDS_APPROVAL,
    REFUSED,
    AsJson,
    Errors,
    Namespace,
    Person,
    Wait,
    running_gate,
    visible,
)
from gemma4_ros.core.errors import ConfigError, PlanError
from gemma4_ros.core.gate.audit import GENESIS
from gemma4_ros.core.gate.audit_verify import Report, verify
from gemma4_ros.core.gate.codes import Code
from gemma4_ros.core.gate.diff import corpus, shown
from gemma4_ros.core.gate.diff import diff as diff_policies
from gemma4_ros.core.gate.explain import explain as explain_plan
from gemma4_ros.core.gate.lint import lint as lint_policy
from gemma4_ros.core.gate.monitor import Monitor
from gemma4_ros.core.gate.ordinary import ordinary_state
from gemma4_ros.core.gate.policy import CHANNELS, Policy
from gemma4_ros.core.gate.rehearse import rehearse
from gemma4_ros.core.gate.state import Latch, Lock, State, Value
from gemma4_ros.core.gate.verdict import Verdict
from gemma4_ros.core.gate.zones import Point
from gemma4_ros.core.plan import plan_from_json
from gemma4_ros.core.world import World
from gemma4_ros.ros.gate_config import GateFiles, public_key
from gemma4_ros.ros.gate_files import CELL_TOOLS, read_text
from gemma4_ros.ros.gate_load import load_gate

__all__ = ['app']

_EXIT = {'allow': DONE, 'needs_approval': NEEDS_APPROVAL, 'hold': REFUSED, 'deny': REFUSED}
MAX_READ = (1 << 16) + 1

app = typer.Typer(
    help='The safety gate: check plans and policies, verify audit logs, arm, reset, approve.', no_args_is_help=True
)
audit = typer.Typer(help='The audit log.', no_args_is_help=True)
app.add_typer(audit, name='audit')
gate_people.add_commands(app)

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
    step: Annotated[str, typer.Option('--step', help='judge this step as just before it is sent')] = '',
    as_json: AsJson = False,
) -> None:
    """Judge PLAN as the node would. Exit 0 allowed, 3 needs people, 4 refused. Example: gemma4 gate check plan.json"""
    with Errors():
        rules, catalogue = load_gate(_files(config, world, tools, policy))
        monitor = Monitor(rules, catalogue, 'offline', lambda: 'offline', _Nowhere())
        now = time.monotonic()
        monitor.moment.state = _state(state, rules, catalogue.world, now)
        raw = _bytes(plan)
        admission = monitor.admit(raw, proposer, _channel(channel), now)
        verdict = _explained(admission.verdict, raw)
        if step and admission.candidate is not None:
            verdict = rehearse(monitor, admission.candidate, step, _results(state), now)
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
            print(visible(admission.rendering))
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
    with Errors():
        rules, catalogue = load_gate(_files(config, world, tools, policy))
        now = time.monotonic()
        lines = explain_plan(
            _bytes(plan), rules, catalogue, _state(state, rules, catalogue.world, now), proposer, _channel(channel), now
        )
    if as_json:
        print(json.dumps([{'subject': line.subject, **_verdict_json(line.verdict)} for line in lines]))
    for line in [] if as_json else lines:
        code = f'{int(line.verdict.code)} ' if line.verdict.code else ''
        hazard = rules.hazards.get(line.verdict.hazard)
        because = f' (hazard {line.verdict.hazard}: {hazard})' if hazard else ''
        print(
            visible(f'{line.verdict.name:>14}  {line.subject}: {code}{line.verdict.rule}: {line.verdict.text}{because}')
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
    with Errors():
        rules, catalogue = load_gate(_files(config, world, tools, policy))
    found = lint_policy(rules, catalogue)
    if as_json:
        print(json.dumps({'policy': rules.name, 'version': rules.version, 'sha256': rules.sha256, 'findings': found}))
    else:
        print('\n'.join(found) if found else f'{rules.name} version {rules.version}: nothing found')
    raise typer.Exit(REFUSED if found else DONE)


@app.command()
def diff(
    old: Annotated[Path, typer.Argument(help='policy file')],
    new: Annotated[Path, typer.Argument(help='policy file')],
    plans: Annotated[
        list[Path] | None, typer.Option('--plan', help='a plan to judge too; may stand several times')
    ] = None,
    config: ConfigDir = '',
    world: WorldFile = 'world.yaml',
    tools: ToolsFiles = None,
    as_json: AsJson = False,
) -> None:
    """Show which decisions change from OLD to NEW: every tool and value, by typing and by voice, in every mode. Exit 4:
    some do. Example: gemma4 gate diff policy.yaml new.yaml
    """
    with Errors():
        before, catalogue = load_gate(_files(config, world, tools, old))
        after, _ = load_gate(_files(config, world, tools, new))
        judged = {**dict(corpus(catalogue)), **{str(path): _bytes(path) for path in plans or ()}}
        changes = diff_policies(before, after, catalogue, judged)
    if as_json:
        names = ('plan', 'channel', 'mode')
        listed = [{name: getattr(change, name) for name in names} for change in changes]
        for entry, change in zip(listed, changes, strict=True):
            entry |= {'before': _verdict_json(change.before), 'after': _verdict_json(change.after)}
        print(json.dumps({'plans': len(judged), 'changes': listed}))
    for change in [] if as_json else changes:
        print(
            visible(f'{change.plan}, {change.channel}, {change.mode}: {shown(change.before)} -> {shown(change.after)}')
        )
    if not as_json:
        print(f'{len(changes)} of {len(judged) * 6} decisions change ({len(judged)} plans)')
    raise typer.Exit(REFUSED if changes else DONE)


@audit.command('verify')
def audit_verify(
    log: Annotated[Path, typer.Argument(help='a log, or a folder of logs')],
    key: Annotated[
        Path | None, typer.Option('--key', help="the gate's public key: checkpoints must be signed by it")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check that no record was changed or removed. Exit 0 unbroken, 4 broken. Example: gemma4 gate audit verify FILE"""
    with Errors():
        signed_by = b'' if key is None else public_key(key)
        logs = sorted(log.glob('audit-*.jsonl')) if log.is_dir() else [log]
        if not logs:
            raise ConfigError(f'no audit-*.jsonl in {log}')
        results = list(_verified(logs, signed_by, is_folder=log.is_dir()))
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
def arm(person: Person = '', wait: Wait = 10.0, namespace: Namespace = '') -> None:
    """Arm the gate: from now on plans may move the robot. Example: gemma4 gate arm --person anna"""
    _set_armed('gate/set_armed', 0, person, wait, namespace)


@app.command()
def disarm(person: Person = '', wait: Wait = 10.0, namespace: Namespace = '') -> None:
    """Disarm the gate; what runs is cancelled. Example: gemma4 gate disarm"""
    _set_armed('gate/set_armed', 1, person, wait, namespace)


@app.command()
def reset(person: Person = '', wait: Wait = 10.0, namespace: Namespace = '') -> None:
    """Clear a latched stop of deadman and gate; the gate is disarmed afterwards. Example: gemma4 gate reset"""
    with Errors(), running_gate(wait, namespace) as gate:
        for node in ('deadman', 'gate'):
            if gate.is_latched(node):
                print(gate.set_armed(f'{node}/set_armed', 2, person or getpass.getuser()))
            else:
                print(f'{node}: nothing to reset')


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


def _explained(verdict: Verdict, raw: bytes) -> Verdict:
    """Say where a document breaks the schema, which the gate itself takes no time for."""
    try:
        if verdict.code is Code.SCHEMA and raw:
            plan_from_json(json.loads(raw))
    except PlanError as error:
        return replace(verdict, text=str(error)[:300])
    return verdict


def _results(path: Path | None) -> dict[str, dict[str, Any]]:
    results = {} if path is None else _object(path).get('results', {})
    if not isinstance(results, dict) or not all(isinstance(item, dict) for item in results.values()):
        raise ConfigError(f'{path}: "results" says what steps returned: {{"s1": {{"value": 3.9}}}}')
    return results


def _channel(name: str) -> int:
    if name not in CHANNELS:
        raise ConfigError(f'the channel is {name!r}; write {" or ".join(CHANNELS)}')
    return CHANNELS.index(name)


def _state(path: Path | None, policy: Policy, world: World, now: float) -> State:
    """Build the state of the moment; ages count back from now, and an age of null means never seen."""
    ordinary = ordinary_state(policy, world, now)
    raw: dict[str, Any] = {} if path is None else _object(path)
    signals = dict(ordinary.signals)
    for name, item in raw.get('signals', {}).items():
        if name not in policy.signals:
            raise ConfigError(f'{path}: the policy has no signal {name!r}; it has {", ".join(policy.signals)}')
        at_s = _since(path, item.get('age_s', 0.0), now)
        if at_s is None:
            del signals[name]
        else:
            value = _value(path, item['value'], policy) if 'value' in item else signals[name].value
            signals[name] = Value(value, at_s, _since(path, item.get('stands_s', item.get('age_s', 0.0)), now))
    try:
        latch = Latch[raw.get('state', 'ARMED')]
        locks = tuple(Lock(str(item['person']), str(item['reason'])) for item in raw.get('locks', ()))
    except (KeyError, TypeError):
        wanted = '"state" is DISARMED, ARMED or STOPPED, "locks" a list of {"person": "anna", "reason": "belt off"}'
        raise ConfigError(f'{path}: {wanted}') from None
    deadman, executor = (_since(path, raw.get(name, 0.0), now) for name in ('deadman_age_s', 'executor_age_s'))
    lives = {'deadman_at_s': deadman, 'executor_at_s': executor, 'audit_ok': raw.get('audit_ok', True)}
    return State(latch, signals=signals, locks=locks, **lives)


def _value(path: Path | None, value: object, policy: Policy) -> str | bool | float | Point | None:
    if isinstance(value, list) and len(value) == 2 and all(_is_number(each) for each in value):
        frame = policy.zones.frame if policy.zones is not None else 'map'
        return Point(float(value[0]), float(value[1]), frame)
    if value is None or isinstance(value, bool | str):
        return value
    if not _is_number(value):
        raise ConfigError(f'{path}: a value is a text, true or false, a number, or a position [x, y] in m')
    return float(value)  # type: ignore[arg-type]  # a number, as was just seen


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


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


def _verified(logs: list[Path], key: bytes, *, is_folder: bool) -> Iterator[dict[str, Any]]:
    ends, starts = {'': Report(0, GENESIS)}, {}
    for path in logs:
        with path.open('rb') as file:
            ends[path.name] = verify(file, key)
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


class _Nowhere:
    def note(self, kind: str, data: Mapping[str, Any]) -> None:
        """Keep nothing: an offline check decides about nothing."""


# The running gate ----------------------------------------------------------------------------------------------------
def _set_armed(service: str, command: int, person: str, wait: float, namespace: str) -> None:
    with Errors(), running_gate(wait, namespace) as gate:
        print(gate.set_armed(service, command, person or getpass.getuser()))
