# SPDX-License-Identifier: Apache-2.0
"""``gemma4 tree``: a plan as lines, SVG, Graphviz DOT or XML of BehaviorTree.CPP; without one, the running tree."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gemma4_ros.cli.console_output import DONE, NOT_RUNNING, note, show
from gemma4_ros.cli.environment import ensure_ros_environment, require_rclpy
from gemma4_ros.cli.paths import config_dir
from gemma4_ros.core.errors import ConfigError, PlanError
from gemma4_ros.core.plan import Plan, plan_from_json, plan_to_json
from gemma4_ros.core.tool import Toolset
from gemma4_ros.core.tools import load_tools
from gemma4_ros.core.tree.exchange import from_xml, to_xml
from gemma4_ros.core.tree.rows import Row, plan_rows, to_dot, to_svg, to_text
from gemma4_ros.core.world_file import load_world

if TYPE_CHECKING:
    from gemma4_ros.core.tree.session import Phase
    from gemma4_ros.msg import TreeNode, TreeState

__all__ = ['load_plan', 'tree']

MAX_BYTES = 1 << 16
FORMATS = ('text', 'svg', 'dot', 'xml', 'json')
STATES = ('running', 'paused', 'succeeded', 'failed', 'cancelled')


def load_plan(path: Path, tools: Toolset | None = None) -> Plan:
    """Read a plan, output of `gemma4 plan --json`, or BehaviorTree.CPP XML; -: standard input. Raises ConfigError."""
    try:
        data = sys.stdin.buffer.read(4 * MAX_BYTES) if str(path) == '-' else path.read_bytes()
    except OSError as error:
        raise ConfigError(f'{path} cannot be read: {error.strerror}') from None
    try:
        if tools is not None and data.removeprefix(b'\xef\xbb\xbf').lstrip()[:1] == b'<':
            return from_xml(data.decode('utf-8-sig'), tools.tools)
        document = json.loads(data)
        wrapped = document.get('plan')  # a dict in the output of `gemma4 plan --json`, the version in a plan
        return plan_from_json(wrapped if isinstance(wrapped, dict) else document)
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError, PlanError) as error:
        raise ConfigError(f'{path} is no plan (plan-1.json): {error}') from None


def tree(
    plan: Annotated[
        Path | None,
        typer.Argument(help='plan, output of gemma4 plan --json, or XML of BehaviorTree.CPP 4; -: standard input'),
    ] = None,
    form: Annotated[str, typer.Option('--format', help='text, svg, dot, xml or json')] = 'text',
    tools: Annotated[list[Path] | None, typer.Option('--tools', help='tools files, to read XML')] = None,
    world: Annotated[Path | None, typer.Option('--world', help='world file, to read XML')] = None,
    recording: Annotated[Path | None, typer.Option('--recording', help='show the trees of an MCAP recording')] = None,
    at: Annotated[
        float | None, typer.Option('--at', help='with --recording: only as it was then, s from its first tree')
    ] = None,
    why: Annotated[bool, typer.Option('--why', help="with the plan's reason for each step")] = False,
    once: Annotated[bool, typer.Option('--once', help='show the running tree as it is now, and end')] = False,
    namespace: Annotated[str, typer.Option('--namespace', help='of the robot')] = '',
) -> None:
    """
    Draw a plan as a tree; without a plan, show the running one as it changes, or one that was recorded.

    XML is that of BehaviorTree.CPP 4, which Groot2 opens. Example: gemma4 tree plan.json --format svg > plan.svg
    """
    if form not in FORMATS:
        raise ConfigError(f'--format {form} is not known: {", ".join(FORMATS)}')
    if plan is not None and recording is not None:
        raise ConfigError('a plan and --recording exclude each other: say one of them')
    if at is not None and recording is None:
        raise ConfigError('--at is a time of a recording: say which with --recording FILE')
    if recording is not None:
        _replay(recording, form, at, namespace, why=why)
        return
    if plan is None:
        _live(form, namespace, once=once or form != 'text', why=why)
        return
    loaded = load_plan(plan, _tools(tools, world))
    if form == 'xml':
        show(to_xml(loaded).rstrip())
    elif form == 'json':
        show(json.dumps(plan_to_json(loaded), indent=1))
    else:
        _draw(plan_rows(loaded), form, why=why)


def _draw(rows: Sequence[Row], form: str, *, why: bool) -> None:
    if form == 'text':
        show('\n'.join(to_text(rows, with_why=why)))
    else:
        show((to_svg if form == 'svg' else to_dot)(rows).rstrip())


def _draw_state(state: TreeState, form: str, at: str, *, why: bool) -> None:
    """Draw a tree as the executor publishes it; as text with what its steps have returned so far."""
    from gemma4_ros.core.tree.session import Phase

    if form == 'text':
        show(f'{at} {STATES[min(state.status, 4)]}, plan {state.plan_sha256[:12]}')
    _draw([_row(node, Phase) for node in state.nodes], form, why=why)
    if form == 'text':
        for line in _values(state.blackboard):
            show(line)


def _values(blackboard: str) -> list[str]:
    """Return what steps have returned, a line each; nothing where it is no JSON object of objects."""
    try:
        steps = json.loads(blackboard or '{}')
        found = [f'{step}.{name} = {value}' for step, values in steps.items() for name, value in values.items()]
    except (ValueError, AttributeError, RecursionError):
        return []
    return ['  ' + ''.join(char if char.isprintable() else '?' for char in line)[:200] for line in found]


def _replay(path: Path, form: str, at: float | None, namespace: str, *, why: bool) -> None:
    """Show the recorded trees; with `at` the one that was valid then."""
    ensure_ros_environment()
    require_rclpy()
    from rclpy.serialization import deserialize_message

    from gemma4_ros.msg import TreeState
    from gemma4_ros.ros.recording import recorded

    _refuse_plan_format(form)
    if form != 'text' and at is None:
        raise ConfigError(f'--format {form} shows one tree: say which with --at SECONDS')
    last: tuple[float, TreeState] | None = None
    first_ns = 0
    for time_ns, data in recorded(path, f'{namespace}/executor/tree'.strip('/'), 'gemma4_ros/msg/TreeState'):
        first_ns = first_ns or time_ns
        after_s = (time_ns - first_ns) / 1e9
        if at is not None and after_s > at and last is not None:
            break
        last = after_s, deserialize_message(data, TreeState)
        if at is None:
            _draw_state(last[1], form, f'{after_s:8.2f} s', why=why)
    if last is None:
        raise ConfigError(f'{path} holds no tree: nothing was carried out while it was recorded')
    if at is not None:
        _draw_state(last[1], form, f'{last[0]:8.2f} s', why=why)


def _refuse_plan_format(form: str) -> None:
    if form not in ('text', 'svg', 'dot'):
        raise ConfigError(f'--format {form} is for a plan; a tree that is carried out is shown as text, svg or dot')


def _tools(files: list[Path] | None, world: Path | None) -> Toolset:
    folder = config_dir()
    texts = []
    for path in files or [folder / 'tools' / 'cell.yaml']:
        try:
            texts.append((str(path), path.read_text(encoding='utf-8')))
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f'{path} cannot be read: {error}') from None
    place = world or folder / 'world.yaml'
    try:
        text = place.read_text(encoding='utf-8')
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f'{place} cannot be read: {error}') from None
    return load_tools(texts, load_world(text, str(place)))


def _live(form: str, namespace: str, *, once: bool, why: bool) -> None:
    """Show the running tree, again with each change until it is interrupted."""
    ensure_ros_environment()
    require_rclpy()
    from gemma4_ros.cli.ros_session import RosSession
    from gemma4_ros.msg import TreeState
    from gemma4_ros.ros import qos

    _refuse_plan_format(form)
    seen: list[TreeState] = []
    with RosSession(namespace) as session:
        session.node.create_subscription(TreeState, 'executor/tree', seen.append, qos.STATE_LATCHED)
        if not session.until(lambda: bool(seen), 10.0):
            note('no plan has been carried out since the executor started, or it does not run: gemma4 up')
            raise typer.Exit(NOT_RUNNING)
        while True:
            state = seen[-1]
            seen.clear()
            _draw_state(state, form, time.strftime('%H:%M:%S'), why=why)
            if once:
                raise typer.Exit(DONE)
            session.until(lambda: bool(seen), float('inf'))


def _row(node: TreeNode, phases: type[Phase]) -> Row:
    names = ('id', 'parent_id', 'kind', 'label', 'attempt', 'duration_s', 'code', 'text', 'stage', 'why')
    known = {name: getattr(node, name) for name in names}
    return Row(**known, phase=phases(min(node.status, 5)))
