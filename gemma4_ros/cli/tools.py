# SPDX-License-Identifier: Apache-2.0
"""``gemma4 tools``: what the robot can do, held against the installed interface types, or drafted from the graph."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import yaml

from gemma4_ros.cli.console_output import DONE, NOT_RUNNING, WRONG_USAGE, note, show, show_json
from gemma4_ros.cli.environment import ensure_ros_environment, require_rclpy
from gemma4_ros.cli.paths import config_dir
from gemma4_ros.core.errors import ConfigError
from gemma4_ros.core.tool import Arg, Tool, Toolset
from gemma4_ros.core.tools import load_tools
from gemma4_ros.core.world import World
from gemma4_ros.core.world_file import load_world
from gemma4_ros.ros.gate_files import CELL_TOOLS, read_text

if TYPE_CHECKING:
    from gemma4_ros.ros.tool_scan import Offer

__all__ = ['app']

OWN = ('cell',)
"""The node of the stack whose servers are the robot's."""
app = typer.Typer(
    help='Tools files: check them against the interface types, draft them from the graph.', no_args_is_help=True
)
Files = Annotated[list[Path] | None, typer.Argument(help='tools files; default: that of the simulated cell')]
WorldFile = Annotated[Path | None, typer.Option('--world', help='world file; default: the one of the package')]
AsJson = Annotated[bool, typer.Option('--json', help='one JSON document on standard output')]


@app.command()
def check(files: Files = None, world: WorldFile = None, as_json: AsJson = False) -> None:
    """
    Hold every tool against the installed interface types: fields of the goal, of success and of returns.

    Every value of every argument is tried. Exit 2 where something does not fit, 6 where a type is not installed here.
    Example: gemma4 tools check my_robot/tools.yaml --world my_robot/world.yaml
    """
    ensure_ros_environment()
    require_rclpy()
    from gemma4_ros.ros.tool_types import problems

    toolset, place = _load(files, world)
    found = [problem for tool in toolset.tools.values() for problem in problems(tool, place)]
    is_wrong = any(not problem.is_absent for problem in found)
    if as_json:
        show_json({'ok': not found, 'tools': len(toolset.tools), 'problems': [asdict(problem) for problem in found]})
    else:
        for problem in found:
            show(f'{problem.tool}: {problem.where}: {problem.text}')
        absent = len({problem.tool for problem in found if problem.is_absent})
        shown = f', {absent} not looked at: their types are not installed here' if absent else ''
        wrong = len({problem.tool for problem in found if not problem.is_absent})
        show(f'{len(toolset.tools)} tools, {wrong} that do not fit{shown}')
    raise typer.Exit(WRONG_USAGE if is_wrong else NOT_RUNNING if found else DONE)


@app.command('show')
def show_tools(files: Files = None, world: WorldFile = None, as_json: AsJson = False) -> None:
    """List tools with arguments, bounds, conditions and risk. Example: gemma4 tools show"""
    toolset, _ = _load(files, world)
    if as_json:
        show_json({'tools': [_shown(tool) for tool in toolset.tools.values()]})
        return
    for tool in toolset.tools.values():
        face = tool.interface
        show(f'{tool.name}{" (draft: the gate refuses it)" if tool.draft else ""}: {tool.doc}')
        show(f'  {face.kind} {face.name} ({face.type}), risk {tool.risk}, at most {tool.timeout_s:g} s')
        for arg in tool.args.values():
            show(f'  {arg.name}: {_bounds(arg)}')
        for word, facts in (('needs', tool.needs), ('gives', tool.gives)):
            if facts:
                show(f'  {word}: {"; ".join(map(str, facts))}')


@app.command()
def scan(
    seconds: Annotated[float, typer.Option('--seconds', help='how long to look', min=0.5, max=60.0)] = 3.0,
    namespace: Annotated[str, typer.Option('--namespace', help='only servers below this name')] = '',
    everything: Annotated[bool, typer.Option('--all', help="the stack's own services as well")] = False,
    as_json: Annotated[bool, typer.Option('--json', help='one JSON document on standard output')] = False,
) -> None:
    """
    Draft entries of a tools file from what the running robot serves; each is marked as a draft, which the gate refuses.

    A person completes doc, risk, needs, gives, bounds and times, and takes the mark off. Messages about what was left
    out go to standard error. Example: gemma4 tools scan > my_robot/tools.yaml
    """
    ensure_ros_environment()
    require_rclpy()
    from gemma4_ros.core.errors import ConversionError
    from gemma4_ros.ros.tool_scan import draft

    entries: dict[str, Any] = {}
    unknown: list[tuple[Offer, str]] = []
    for offer, qos in _look(seconds, namespace, everything=everything):
        try:
            name, entry = draft(offer, entries)
        except ConversionError as error:
            unknown.append((offer, str(error)))
            continue
        entries[name] = {'entry': entry, 'qos': qos, 'fields': _fields(offer)}
    if as_json:
        left_out = [{**asdict(offer), 'why': why} for offer, why in unknown]
        show_json({'tools': entries, 'left_out': left_out})
    else:
        for offer, why in unknown:
            note(f'left out: {offer.kind} {offer.name}: {why}')
        _write(entries)
    if not entries:
        note(f'nobody serves an action or service that could be a tool, within {seconds:g} s')
    raise typer.Exit(DONE if entries else NOT_RUNNING)


def _write(entries: dict[str, Any]) -> None:
    show('# Drafts by `gemma4 tools scan`: the gate refuses each until a person completes it and takes `draft` off.')
    show('tools: "1"')
    for name, found in entries.items():
        show('')
        for field, said in found['fields'].items():
            show(f'# {field}: {said}')
        if found['qos']:
            show(f'# qos: {found["qos"]}')
        show(yaml.safe_dump({name: found['entry']}, sort_keys=False, width=120, default_flow_style=None).rstrip())


def _fields(offer: Offer) -> dict[str, str]:
    from gemma4_ros.ros.types import describe

    described = describe(offer.type)
    return {
        f'{part}.{name}': f'{kind["type"]}' + (f' from {kind["low"]} to {kind["high"]}' if 'low' in kind else '')
        for part in ('request', 'result')
        for name, kind in described[part]['fields'].items()
    }


def _look(seconds: float, namespace: str, *, everything: bool) -> list[tuple[Offer, str]]:
    """Return what the nodes of the graph serve, with the QoS of an action's status."""
    from rclpy.action import get_action_server_names_and_types_by_node
    from rclpy.node import NodeNameNonExistentError

    from gemma4_ros.cli.ros_session import RosSession
    from gemma4_ros.nodes.table import TABLE
    from gemma4_ros.ros.tool_scan import offers

    own = {process.name for process in TABLE} - set(OWN)
    actions: dict[str, list[str]] = {}
    services: dict[str, list[str]] = {}
    with RosSession() as session:
        session.until(lambda: False, seconds)
        for name, space in session.node.get_node_names_and_namespaces():
            if name.startswith('gemma4_cli'):
                continue
            if name in own and not everything:
                note(f'left out: node {space.rstrip("/")}/{name}, named as one of this stack; --all takes it')
                continue
            with contextlib.suppress(NodeNameNonExistentError):  # it has just gone
                actions |= dict(get_action_server_names_and_types_by_node(session.node, name, space))
                services |= dict(session.node.get_service_names_and_types_by_node(name, space))
        below = '/' + namespace.strip('/')
        wanted = [
            offer
            for offer in offers(actions.items(), services.items())
            if below == '/' or offer.name.startswith(f'{below}/')
        ]
        return [(offer, _qos(session.node, offer)) for offer in wanted]


def _qos(node: Any, offer: Offer) -> str:
    if offer.kind != 'action':
        return ''
    infos = node.get_publishers_info_by_topic(f'{offer.name}/_action/status')
    said = {(info.qos_profile.reliability.name, info.qos_profile.durability.name) for info in infos}
    return ', '.join(f'status {one.lower()}, {two.lower()}' for one, two in sorted(said))


def _load(files: Sequence[Path] | None, world: Path | None) -> tuple[Toolset, World]:
    world_path = world or config_dir() / 'world.yaml'
    paths = list(files or [config_dir() / name for name in CELL_TOOLS])
    for path in (world_path, *paths):
        if not path.is_file():
            raise ConfigError(f'{path}: there is no such file')
    loaded = load_world(read_text(world_path), str(world_path))
    return load_tools([(str(path), read_text(path)) for path in paths], loaded), loaded


def _shown(tool: Tool) -> dict[str, Any]:
    face = tool.interface
    return {
        'name': tool.name,
        'doc': tool.doc,
        'interface': {face.kind: face.type, 'name': face.name},
        'args': {arg.name: _bounds(arg) for arg in tool.args.values()},
        'needs': [str(fact) for fact in tool.needs],
        'gives': [str(fact) for fact in tool.gives],
        'returns': {item.name: item.type for item in tool.returns.values()},
        'risk': tool.risk,
        'timeout_s': tool.timeout_s,
        'draft': tool.draft,
    }


def _bounds(arg: Arg) -> str:
    if arg.type == 'enum':
        return ', '.join(arg.values)
    if arg.type == 'boolean':
        return 'true or false'
    return f'{arg.type} from {arg.low:g} to {arg.high:g} {arg.unit}' + (
        f' in steps of {arg.step:g}' if arg.step else ''
    )
