# SPDX-License-Identifier: Apache-2.0
"""``gemma4 security``: write policy and permissions of the enclaves from the interface table; say what is lacking."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from gemma4_ros.cli.console_output import show
from gemma4_ros.cli.environment import ensure_ros_environment
from gemma4_ros.core import security
from gemma4_ros.core.errors import ConfigError
from gemma4_ros.core.interfaces import OPERATOR, Allowed, Robot, load_table
from gemma4_ros.nodes.table import TABLE
from gemma4_ros.ros import production
from gemma4_ros.ros.gate_config import GateFiles
from gemma4_ros.ros.gate_files import config_folder, read_text
from gemma4_ros.ros.gate_load import load_gate

__all__ = ['allowed_of', 'app', 'files_of', 'robot_of']

WRONG = 2
app = typer.Typer(help='Who may do what on the ROS graph: enclaves, permissions, production.', no_args_is_help=True)

Config = Annotated[str, typer.Option('--config', help='folder of the configuration')]
Namespace = Annotated[str, typer.Option('--namespace', help='of the robot, as given to gemma4 up')]


@app.command()
def generate(
    out: Annotated[Path | None, typer.Option('--out', help='folder; default: security/ of the configuration')] = None,
    config: Config = '',
    namespace: Namespace = '',
    domain: Annotated[int, typer.Option('--domain', envvar='ROS_DOMAIN_ID', min=0, max=232, help='ROS domain')] = 0,
    sim: Annotated[bool, typer.Option('--sim/--no-sim', help='with an enclave for the simulated cell')] = True,
    tools: Annotated[
        list[str] | None, typer.Option('--tools', help="tools file; may stand several times; default: the gate's")
    ] = None,
    not_before: Annotated[str, typer.Option('--not-before', help='permissions are good from, UTC')] = '',
    not_after: Annotated[str, typer.Option('--not-after', help='permissions are good until, UTC')] = '',
) -> None:
    """Write policy, governance and permissions of every node. Example: gemma4 security generate --out out"""
    default = security.Validity()
    validity = security.Validity(domain, not_before or default.not_before, not_after or default.not_after)
    folder = out or config_folder(config) / 'security'
    made = files_of(config, namespace, validity, sim=sim, tools=tools or ())
    for name, text in made.items():
        path = folder / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding='utf-8')
        except OSError as error:
            raise ConfigError(f'cannot write {path}: {error.strerror}') from None
    show(f'{len(made)} files in {folder}; next: ros2 security generate_artifacts -k KEYSTORE -p {folder}/policy.xml')


@app.command()
def check(namespace: Namespace = '') -> None:
    """Say what production lacks; exit 2 where that is something. Example: gemma4 security check"""
    ensure_ros_environment()
    lacking = {}
    for process in TABLE:
        if process.on_robot:
            name = security.enclave(process.name, f'/{namespace.strip("/")}')
            lacking[process.name] = production.lacking([process.name], ['--enclave', name], os.environ)
    for sentence in dict.fromkeys(lacking.values()):
        nodes = [name for name, other in lacking.items() if other == sentence]
        who = 'every node' if len(nodes) == len(lacking) else ', '.join(nodes)
        show(f'{who}: {sentence or "ready for production"}')
    if any(lacking.values()):
        raise typer.Exit(WRONG)


def files_of(
    config: str, namespace: str, validity: security.Validity, *, sim: bool, tools: Sequence[str] = ()
) -> dict[str, str]:
    """Return what `generate` writes; raise ConfigError where the table gives somebody a way past the gate."""
    absolute = f'/{namespace.strip("/")}'
    allowed = allowed_of(config, absolute, sim=sim, tools=tools)
    security.check(allowed, robot_of(config, tools), absolute)
    return security.documents(allowed, absolute, validity)


def allowed_of(config: str, namespace: str, *, sim: bool, tools: Sequence[str] = ()) -> dict[str, Allowed]:
    """Return the interface table of a configuration, written out, without the cell where there is none."""
    path = config_folder(config) / 'interfaces.yaml'
    if not path.is_file():  # a robot's own folder may leave it out: the stack is the same
        path = config_folder() / 'interfaces.yaml'
    table = load_table(read_text(path), str(path))
    made = table.of(robot_of(config, tools), namespace)
    there = {process.name for process in TABLE if (process.in_sim if sim else process.on_robot)} | {OPERATOR}
    return {name: item for name, item in made.items() if name in there}


def robot_of(config: str, tools: Sequence[str] = ()) -> Robot:
    """Return what the placeholders stand for, from these tools files or those that the gate's parameters name."""
    folder = config_folder(config)
    named = {key: value for key, value in _parameters(folder, 'gate').items() if key in ('world', 'tools', 'policy')}
    if tools or 'tools' in named:
        named['tools'] = tuple(tools or named['tools'])
    policy, catalogue = load_gate(GateFiles(config=str(folder), **named))
    interfaces = [tool.interface for tool in catalogue.toolset.tools.values()]
    world = catalogue.world
    pose = world.signals.get('pose')
    return Robot(
        actions={each.name: each.type for each in interfaces if each.kind == 'action'},
        services={each.name: each.type for each in interfaces if each.kind == 'service'},
        signals={rule.topic: rule.type for rule in policy.signals.values()},
        pose={} if pose is None else {pose.topic: pose.type},
        cameras={camera.topic: camera.type for camera in world.cameras.values()},
        recorded=_recorded(folder),
    )


def _recorded(folder: Path) -> tuple[str, ...]:
    named = _parameters(folder, 'recorder').get('topics')
    if named is not None:
        return tuple(named)
    ensure_ros_environment()
    from gemma4_ros.nodes.recorder_node import TOPICS

    return TOPICS


def _parameters(folder: Path, node: str) -> dict[str, Any]:
    """Return the parameters that a configuration's file sets for a node."""
    path = folder / 'params' / f'{node}.param.yaml'
    if not path.is_file():
        return {}
    try:
        document = yaml.safe_load(read_text(path))
        return dict(document[f'/**/{node}']['ros__parameters'])
    except (yaml.YAMLError, KeyError, TypeError, ValueError):
        raise ConfigError(f'{path}: no parameters below /**/{node}: ros__parameters') from None
