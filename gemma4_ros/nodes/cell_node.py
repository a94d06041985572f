# SPDX-License-Identifier: Apache-2.0
"""The node `cell`: a robot in a plant room, simulated, behind the interfaces of a real one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.node import Node
from std_msgs.msg import Bool, String
from std_srvs.srv import Trigger

from gemma4_ros.core.errors import ConfigError, WorldError
from gemma4_ros.core.world_file import load_world
from gemma4_ros.msg import Fact
from gemma4_ros.ros import params, qos
from gemma4_ros.ros.gate_files import config_folder
from gemma4_ros.ros.params import param
from gemma4_ros.ros.workers import Workers
from gemma4_ros.sim.cell import MODES, Cell
from gemma4_ros.sim.pacer import Pacer
from gemma4_ros.sim.sensors import Sensors
from gemma4_ros.sim.servers import Servers
from gemma4_ros.sim.video import Video
from gemma4_ros.srv import GetWorld, InjectFault, SetFacts

__all__ = ['CellNode', 'CellParameters']

END_S = 1.0


@dataclass(frozen=True)
class CellParameters:
    """Parameters of the cell."""

    config: str = param('', doc='folder with world.yaml; empty: the one of the package')
    speed: float = param(1.0, doc='simulated seconds a second', low=0.1, high=20.0)
    render: bool = param(True, doc='cameras on; false needs no OpenGL')
    front_rate_hz: float = param(
        10.0, doc='rate of camera/front while somebody listens; 0: off', unit='Hz', low=0.0, high=30.0
    )
    overview_rate_hz: float = param(
        10.0, doc='rate of camera/overview while somebody listens; 0: off', unit='Hz', low=0.0, high=30.0
    )
    hmi_rate_hz: float = param(
        2.0, doc='rate of hmi/image_raw while somebody listens; 0: off', unit='Hz', low=0.0, high=10.0
    )
    battery: float = param(0.86, doc='state of charge at the start', unit='1', low=0.0, high=1.0)


class CellNode(Node):
    """Wire the cell to ROS; contains no physics."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__('cell', **kwargs)
        params.declare(self, CellParameters)
        config = params.read(self, CellParameters)
        self.cell = Cell(_read_world(config.config))
        self.cell.robot.battery = config.battery
        self._workers = Workers(self)
        self._pacer = Pacer(self.cell, config.speed)
        self._servers = Servers(self, self.cell, self._workers)
        rates = {'front': config.front_rate_hz, 'overview': config.overview_rate_hz, 'hmi': config.hmi_rate_hz}
        self._video = Video(self, self.cell, config.render, rates)
        self._sensors = Sensors(self, self.cell, self._status)
        self._make_test_interfaces()
        self._pacer.start()
        self.get_logger().info(
            f'cell runs: places={len(self.cell.layout.benches)} speed={config.speed:g} cameras="{self._video.status}"'
        )

    def _make_test_interfaces(self) -> None:
        self.create_service(InjectFault, '~/inject_fault', self._inject_fault)
        self.create_service(Trigger, '~/reset', self._reset)
        self.create_service(SetFacts, '~/arrange', self._arrange)
        self.create_service(GetWorld, '~/get_state', self._get_state)
        self.create_subscription(String, '~/set_mode', self._set_mode, qos.SIGNAL)
        self.create_subscription(Bool, '~/set_estop', self._set_estop, qos.SIGNAL)

    async def shutdown(self) -> None:
        """End all goals, then the threads."""
        self.cell.halt_all('the robot shuts down')
        await self._workers.wait_for(lambda: not self.cell.is_busy(), END_S)
        self._sensors.stop()
        self._video.stop()
        self._pacer.stop()
        self._workers.shutdown()

    def _status(self) -> dict[str, tuple[bytes, str]]:
        if self._pacer.error is not None:
            # signals of a dead robot must not look alive: end the process
            raise RuntimeError('the physics stopped') from self._pacer.error
        return {
            'physics': (DiagnosticStatus.OK, f'running, {self._pacer.late_s:.1f} s late since the start'),
            'cameras': (DiagnosticStatus.ERROR if self._video.failed else DiagnosticStatus.OK, self._video.status),
        }

    def _inject_fault(self, request: Any, response: Any) -> Any:
        response.text = self.cell.inject(request.fault, request.target, request.value)[:256]
        response.success = not response.text
        self.get_logger().warning(
            f'fault: kind={request.fault} target={request.target!r} done={response.success} {response.text}'
        )
        return response

    def _reset(self, _: Any, response: Any) -> Any:
        self.cell.reset()
        response.success, response.message = True, 'everything stands where the world file says'
        return response

    def _arrange(self, request: Any, response: Any) -> Any:
        response.text = self.cell.arrange({(fact.name, ''.join(fact.args)): fact.value for fact in request.facts})[:512]
        response.accepted = not response.text
        response.code = 0 if response.accepted else ConfigError.code
        return response

    def _get_state(self, _: Any, response: Any) -> Any:
        for (name, argument), value in self.cell.facts().items():
            response.facts.append(Fact(name=name, args=[argument], value=value, source='cell', age_s=0.0))
        return response

    def _set_mode(self, message: Any) -> None:
        if not self.cell.set_mode(message.data):
            self.get_logger().warning(f'no mode {message.data[:32]!r}; known: {", ".join(MODES)}')

    def _set_estop(self, message: Any) -> None:
        self.cell.set_estop(message.data)


def _read_world(folder: str) -> Any:
    path = config_folder(folder) / 'world.yaml'
    try:
        return load_world(path.read_text(encoding='utf-8'), str(path))
    except OSError as error:
        raise WorldError(f'cannot read the world file {path}: {error.strerror}; set the parameter config') from error
