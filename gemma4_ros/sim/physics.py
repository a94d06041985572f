# SPDX-License-Identifier: Apache-2.0
"""The physics of the cell: MuJoCo's model and data behind names, and the few measurements that a robot has."""

from __future__ import annotations

import math

import mujoco
import numpy as np
from numpy.typing import NDArray

from gemma4_ros.sim.kinematics import wrap
from gemma4_ros.sim.layout import BENCH_TOP_M, Layout, Pose
from gemma4_ros.sim.robot_model import ARM_JOINTS, BASE_JOINTS
from gemma4_ros.sim.scene import TIMESTEP_S, build_mjcf, item_shape

__all__ = ['TICK_S', 'Physics']

STEPS_PER_TICK = 10
TICK_S = STEPS_PER_TICK * TIMESTEP_S
LIDAR_HEIGHT_M = 0.2
NOSLIP_ITERATIONS = 2  # without them a held object sinks 0.1 mm/s
FINGER_END_M = 0.195  # from the wrist
_SEIZED = (60.0, 20000.0)  # N m of dry friction, N m s/rad: far beyond what the wrist can turn
_PADS = ('pad_left', 'pad_right')


class Physics:
    """MuJoCo's state; owned by one thread."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.model = mujoco.MjModel.from_xml_string(build_mjcf(layout))
        self.data = mujoco.MjData(self.model)
        self.shapes = {name: item_shape(item) for name, item in layout.items.items()}
        self._qpos = {
            self._name(mujoco.mjtObj.mjOBJ_JOINT, j): int(self.model.jnt_qposadr[j]) for j in range(self.model.njnt)
        }
        self._qvel = {
            self._name(mujoco.mjtObj.mjOBJ_JOINT, j): int(self.model.jnt_dofadr[j]) for j in range(self.model.njnt)
        }
        self._ctrl = {self._name(mujoco.mjtObj.mjOBJ_ACTUATOR, a): a for a in range(self.model.nu)}
        self._pads = [self._id(mujoco.mjtObj.mjOBJ_GEOM, name) for name in _PADS]
        self._pad_friction = self.model.geom_friction[self._pads].copy()
        self._items = {name: self._id(mujoco.mjtObj.mjOBJ_BODY, name) for name in layout.items}
        valves = [m.name for m in layout.mounts.values() if m.kind == 'valve']
        self._valve_friction = {
            v: (float(self.model.dof_frictionloss[self._qvel[v]]), float(self.model.dof_damping[self._qvel[v]]))
            for v in valves
        }
        self._hand = self._id(mujoco.mjtObj.mjOBJ_BODY, 'hand')
        self._base = self._id(mujoco.mjtObj.mjOBJ_BODY, 'base_link')
        self._lidar_groups = np.array([1, 0, 0, 1, 0, 0], np.uint8)
        self.reset()

    def _name(self, kind: mujoco.mjtObj, index: int) -> str:
        return str(mujoco.mj_id2name(self.model, kind, index))

    def _id(self, kind: mujoco.mjtObj, name: str) -> int:
        index = int(mujoco.mj_name2id(self.model, kind, name))
        if index < 0:
            raise KeyError(f'the model has no {name}')
        return index

    def reset(self) -> None:
        """Put everything where the world file says."""
        from gemma4_ros.sim.arm import STOWED  # the arm's posture belongs to its controller
        from gemma4_ros.sim.equipment_model import VALVE_OPEN_RAD
        from gemma4_ros.sim.kinematics import joints_of

        mujoco.mj_resetData(self.model, self.data)
        self.put_base(self.layout.start)
        joints = joints_of(STOWED)
        assert joints is not None  # a constant posture
        for name, value in zip(ARM_JOINTS, joints, strict=True):
            self.set_joint(name, value)
            self.command(name, value)
        for mount in self.layout.mounts.values():
            if mount.kind == 'valve':
                self.set_joint(mount.name, VALVE_OPEN_RAD if mount.name in self.layout.valves_open else 0.0)
                self.set_valve_stuck(mount.name, False)
        self.set_slippery(False)
        mujoco.mj_forward(self.model, self.data)

    def step(self) -> None:
        """Go on by one tick."""
        mujoco.mj_step(self.model, self.data, nstep=STEPS_PER_TICK)

    @property
    def time_s(self) -> float:
        """Simulated time."""
        return float(self.data.time)

    # joints ----------------------------------------------------------------------------------------------------------
    def joint(self, name: str) -> float:
        """Return a joint's position (m or rad)."""
        return float(self.data.qpos[self._qpos[name]])

    def joint_velocity(self, name: str) -> float:
        """Return a joint's velocity (m/s or rad/s)."""
        return float(self.data.qvel[self._qvel[name]])

    def joint_effort(self, name: str) -> float:
        """Return what the joint's motor gives (N or N m)."""
        return float(self.data.actuator_force[self._ctrl[name]])

    def set_joint(self, name: str, value: float) -> None:
        """Set a joint's position: for resets only."""
        self.data.qpos[self._qpos[name]] = value

    def put_base(self, pose: Pose) -> None:
        """Stand the robot somewhere: for resets only."""
        for name, value in zip(BASE_JOINTS, (pose.x, pose.y, pose.yaw), strict=True):
            self.set_joint(name, value)

    def put_item(self, item: str, x: float, y: float, yaw: float) -> None:
        """Stand an object on a bench; x, y in the map: for resets only."""
        start, z = self._qpos[item], BENCH_TOP_M + self.shapes[item][1][2] + 0.001
        self.data.qpos[start : start + 7] = (x, y, z, math.cos(yaw / 2), 0.0, 0.0, math.sin(yaw / 2))
        self.data.qvel[self._qvel[item] : self._qvel[item] + 6] = 0.0

    def refresh(self) -> None:
        """Work out what follows from positions that were set."""
        mujoco.mj_forward(self.model, self.data)

    def command(self, actuator: str, value: float) -> None:
        """Set a motor's set-point."""
        self.data.ctrl[self._ctrl[actuator]] = value

    # the base --------------------------------------------------------------------------------------------------------
    def base_pose(self) -> Pose:
        """Return the robot's pose in the map."""
        x, y, yaw = (self.joint(name) for name in BASE_JOINTS)
        return Pose(x, y, wrap(yaw))

    def base_velocity(self) -> tuple[float, float]:
        """Return (forward speed in m/s, yaw rate in rad/s)."""
        yaw = self.joint('base_yaw')
        vx, vy = self.joint_velocity('base_x'), self.joint_velocity('base_y')
        return vx * math.cos(yaw) + vy * math.sin(yaw), self.joint_velocity('base_yaw')

    def scan(self, rays: int, half_angle: float, longest_m: float) -> list[tuple[float, float, float]]:
        """Return (distance in m, x, y of the hit in the map) of the rays of a fan ahead that hit something."""
        pose = self.base_pose()
        angles = pose.yaw + np.linspace(-half_angle, half_angle, rays)
        directions = np.stack([np.cos(angles), np.sin(angles), np.zeros(rays)], axis=1).reshape(-1)
        ids, distances = np.full(rays, -1, np.int32), np.full(rays, -1.0)
        origin = np.array([pose.x, pose.y, LIDAR_HEIGHT_M])
        mujoco.mj_multiRay(
            self.model,
            self.data,
            origin,
            directions,
            self._lidar_groups,
            True,
            self._base,
            ids,
            distances,
            None,
            rays,
            longest_m,
        )
        found = zip(distances, angles, strict=True)
        return [(d, pose.x + d * math.cos(a), pose.y + d * math.sin(a)) for d, a in found if 0.0 <= d <= longest_m]

    # the hand --------------------------------------------------------------------------------------------------------
    def tip_position(self) -> NDArray[np.float64]:
        """Return where the ends of the fingers are, in the map, m."""
        matrix = self.data.xmat[self._hand].reshape(3, 3)
        return np.array(self.data.xpos[self._hand] + FINGER_END_M * matrix[:, 0], np.float64)

    def grip_forces(self, geom_name: str) -> tuple[float, float]:
        """Return the normal forces (N) between the two finger pads and a geom: an object, or the bar of a valve."""
        forces = [0.0, 0.0]
        wrench = np.zeros(6)
        geom = self._id(mujoco.mjtObj.mjOBJ_GEOM, geom_name)
        for index in range(self.data.ncon):
            pair = self.data.contact[index].geom
            for side, pad in enumerate(self._pads):
                if pad in pair and geom in pair:
                    mujoco.mj_contactForce(self.model, self.data, index, wrench)
                    forces[side] += float(wrench[0])
        return forces[0], forces[1]

    def held_item(self) -> str:
        """Return the object that both finger pads press on, or an empty string."""
        for name in self._items:
            left, right = self.grip_forces(name)
            if left > 1.0 and right > 1.0:
                return name
        return ''

    def touches(self, one: str, other: str) -> bool:
        """Return whether two geoms (by name) touch."""
        pair = {self._id(mujoco.mjtObj.mjOBJ_GEOM, one), self._id(mujoco.mjtObj.mjOBJ_GEOM, other)}
        return any(set(self.data.contact[i].geom.tolist()) == pair for i in range(self.data.ncon))

    def bumped(self) -> bool:
        """Return whether the chassis touches anything but the dock's contact."""
        chassis = self._id(mujoco.mjtObj.mjOBJ_GEOM, 'chassis')
        return any(chassis in self.data.contact[i].geom for i in range(self.data.ncon))

    # objects ---------------------------------------------------------------------------------------------------------
    def item_position(self, item: str) -> NDArray[np.float64]:
        """Return an object's centre in the map, m."""
        return np.array(self.data.xpos[self._items[item]], np.float64)

    def item_yaw(self, item: str) -> float:
        """Return an object's heading in the map, rad."""
        matrix = self.data.xmat[self._items[item]]
        return math.atan2(matrix[3], matrix[0])

    def item_tilt(self, item: str) -> float:
        """Return the angle (rad) between an object's own vertical and the map's."""
        return math.acos(max(-1.0, min(1.0, float(self.data.xmat[self._items[item]][8]))))

    def item_on_bench(self, item: str) -> str:
        """Return the place whose bench an object stands upright on, or an empty string."""
        x, y, z = self.item_position(item)
        half = self.shapes[item][1][2]
        if abs(z - half - BENCH_TOP_M) > 0.02 or self.item_tilt(item) > 0.5:
            return ''
        for name, bench in self.layout.benches.items():
            forward, left = bench.pose.local(float(x), float(y))
            if 0.40 <= forward <= 1.04 and abs(left) <= 0.52:
                return name
        return ''

    # faults ----------------------------------------------------------------------------------------------------------
    def set_firm(self, firm: bool) -> None:
        """Solve friction without creep: costs half of the speed, and only what is held for minutes needs it."""
        self.model.opt.noslip_iterations = NOSLIP_ITERATIONS if firm else 0

    def set_slippery(self, slippery: bool) -> None:
        """Take the finger pads' friction away, or give it back."""
        self.model.geom_friction[self._pads] = 1e-5 if slippery else self._pad_friction

    def set_valve_stuck(self, valve: str, stuck: bool) -> None:
        """Seize a valve's stem, or free it."""
        dof = self._qvel[valve]
        self.model.dof_frictionloss[dof], self.model.dof_damping[dof] = (
            _SEIZED if stuck else self._valve_friction[valve]
        )

    def put_box(self, x: float, y: float, yaw: float) -> None:
        """Put the heavy box down somewhere; x, y in the map."""
        start = self._qpos['blocking_box']
        self.data.qpos[start : start + 7] = (x, y, 0.301, math.cos(yaw / 2), 0.0, 0.0, math.sin(yaw / 2))
        self.data.qvel[self._qvel['blocking_box'] : self._qvel['blocking_box'] + 6] = 0.0
