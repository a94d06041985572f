# SPDX-License-Identifier: Apache-2.0
"""The one table of processes: the launch files, `gemma4 up` and the executables start what stands here."""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from gemma4_ros.core.errors import ConfigError

__all__ = ['ENVIRONMENT', 'TABLE', 'Process', 'command', 'parameter_files', 'processes', 'production_arguments']

ENVIRONMENT = {
    'GEMMA4_DIE_WITH_PARENT': '1',  # no orphans
}
"""Set for every process that is started from this table."""


@dataclass(frozen=True, slots=True)
class Process:
    """
    One node of the stack.

    Parameters
    ----------
    name : str
        Node, executable and parameter file (``config/params/NAME.param.yaml``).
    on_robot, in_sim : bool
        Whether the stack needs it on a real robot, and with the simulated cell.
    composable : bool
        Whether it may share a process with others.
    parameters : tuple of str
        Launch arguments that it takes as parameters of the same name.
    optional : bool
        The stack goes on without it.
    respawn : bool
        It is started again when it ends by itself. The gate comes back disarmed, the deadman keeps a person in the way.
    pictures : bool
        Camera frames pass through it (ros/transport.py).
    nice : int
        Added to the niceness of its process, so that what decides and stops comes first on a busy computer. Nothing
        raises its priority.

    """

    name: str
    on_robot: bool = True
    in_sim: bool = True
    composable: bool = False
    parameters: tuple[str, ...] = ('config',)
    optional: bool = False
    respawn: bool = True
    pictures: bool = False
    nice: int = 0

    @property
    def target(self) -> str:
        """Module and class, ``gemma4_ros.nodes.gate_node:GateNode``."""
        camel = ''.join(part.capitalize() for part in self.name.split('_'))
        return f'gemma4_ros.nodes.{self.name}_node:{camel}Node'


# In the order of starting; they are stopped in the opposite order. The deadman stands before the gate, so that there is
# never a gate without one, and the executor after it.
TABLE: tuple[Process, ...] = (
    Process('cell', on_robot=False, respawn=False, pictures=True, nice=1),
    Process('deadman'),
    Process('gate'),
    Process('watcher'),
    Process('recorder', optional=True, pictures=True, nice=5),
    Process('gemma', parameters=('config', 'model')),
    Process('perception', composable=True, pictures=True, nice=5),
    Process('planner', composable=True, nice=5),
    Process('executor'),
    Process('speech', composable=True, optional=True, nice=5),
    Process('spotter', optional=True),
    Process('copilot', composable=True, nice=5),
)


def processes(*, sim: bool, composed: bool, only: Collection[str] = ()) -> tuple[tuple[Process, ...], ...]:
    """
    Group the nodes into processes, in the order of starting.

    Parameters
    ----------
    sim : bool
        With the simulated cell instead of a robot.
    composed : bool
        The composable nodes share one process, which starts where the first of them stands.
    only : collection of str
        Names of the nodes that this computer runs; empty: all.

    Raises
    ------
    ConfigError
        `only` names a node that there is not.

    """
    unknown = set(only) - {process.name for process in TABLE}
    if unknown:
        raise ConfigError(
            f'there is no node {min(unknown)!r}; there are {", ".join(process.name for process in TABLE)}'
        )
    wanted = [process for process in TABLE if (process.in_sim if sim else process.on_robot)]
    wanted = [process for process in wanted if not only or process.name in only]
    together = tuple(process for process in wanted if process.composable)
    if not composed or len(together) < 2:
        return tuple((process,) for process in wanted)
    return tuple(
        together if process is together[0] else (process,) for process in wanted if process not in together[1:]
    )


def parameter_files(group: tuple[Process, ...], config: Path) -> list[Path]:
    """Return the parameter files of a process that lie in a configuration folder."""
    files = [config / 'params' / f'{process.name}.param.yaml' for process in group]
    return [file for file in files if file.is_file()]


def command(
    group: tuple[Process, ...],
    values: dict[str, str],
    *,
    parameters_from: Path,
    namespace: str = '',
    log_level: str = '',
    settings: Mapping[str, Mapping[str, str]] | None = None,
    production: bool = False,
) -> list[str]:
    """
    Return the command line of one process, for those who start it without ros2 launch.

    Parameters
    ----------
    group : tuple of Process
        One element of what `processes` returns.
    values : dict
        ``config`` and ``model``; empty ones are left to the nodes.
    parameters_from : Path
        Configuration folder whose ``params/`` are read.
    namespace, log_level : str
        For all nodes; empty: none, info.
    settings : mapping, optional
        Parameters of single nodes as YAML, ``{'gate': {'audit_dir': '/var/log/gate'}}``.
    production : bool
        Refuse to start without DDS security; the enclave of each node is its absolute name.

    """
    line = [sys.executable, '-m', 'gemma4_ros.nodes.run', *(process.name for process in group)]
    line.append('--ros-args')
    for file in parameter_files(group, parameters_from):
        line += ['--params-file', str(file)]
    for name in sorted({name for process in group for name in process.parameters}):
        if values.get(name):
            line += ['-p', f'{name}:={values[name]}']
    for process in group:
        for name, value in (settings or {}).get(process.name, {}).items():
            # with the name of the node before it, it would not match in a namespace; needed where nodes share a process
            line += ['-p', f'{name}:={value}' if len(group) == 1 else f'{process.name}:{name}:={value}']
    if namespace:
        line += ['-r', f'__ns:=/{namespace.strip("/")}']
    if log_level:
        line += ['--log-level', log_level]
    return line + (production_arguments(group, namespace) if production else [])


def production_arguments(group: tuple[Process, ...], namespace: str) -> list[str]:
    """Return the options with which a process refuses to start without DDS security."""
    names = [part for part in (namespace.strip('/'), group[0].name) if part]
    return ['-p', 'production:=true', '--enclave', '/' + '/'.join(names)]
