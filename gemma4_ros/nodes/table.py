# SPDX-License-Identifier: Apache-2.0
"""The one table of processes: the launch files, `gemma4 up` and the executables start what stands here."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ['TABLE', 'Process', 'processes']


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

    """

    name: str
    on_robot: bool = True
    in_sim: bool = True
    composable: bool = False
    parameters: tuple[str, ...] = ()
    optional: bool = False

    @property
    def target(self) -> str:
        """Module and class, ``gemma4_ros.nodes.gate_node:GateNode``."""
        camel = ''.join(part.capitalize() for part in self.name.split('_'))
        return f'gemma4_ros.nodes.{self.name}_node:{camel}Node'


# In the order of starting; they are stopped in the opposite order. The deadman stands before the gate, so that there is
# never a gate without one.
TABLE: tuple[Process, ...] = (
    Process('cell', on_robot=False, parameters=('config',)),
    Process('deadman', parameters=('config',)),
    Process('gate', parameters=('config',)),
    Process('recorder', parameters=('config',), optional=True),
    Process('gemma', parameters=('config', 'model')),
    Process('perception', composable=True, parameters=('config',)),
    Process('planner', composable=True, parameters=('config',)),
    Process('executor', parameters=()),
    Process('speech', composable=True, parameters=('config',), optional=True),
    Process('spotter', parameters=('config',), optional=True),
    Process('copilot', composable=True, parameters=('config',)),
)


def processes(*, sim: bool, composed: bool) -> tuple[tuple[Process, ...], ...]:
    """
    Group the nodes into processes, in the order of starting.

    Parameters
    ----------
    sim : bool
        With the simulated cell instead of a robot.
    composed : bool
        The composable nodes share one process, which starts where the first of them stands.

    """
    wanted = [process for process in TABLE if (process.in_sim if sim else process.on_robot)]
    if not composed:
        return tuple((process,) for process in wanted)
    together = tuple(process for process in wanted if process.composable)
    groups = [together if process is together[0] else (process,) for process in wanted if process not in together[1:]]
    return tuple(groups)
