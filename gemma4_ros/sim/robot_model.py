# SPDX-License-Identifier: Apache-2.0

"""The robot of the cell as MJCF: a round base, a mast with a camera, an arm of five joints, a hand of two fingers."""

from __future__ import annotations

import math

from gemma4_ros.sim.kinematics import FORE_M, SHOULDER_HEIGHT_M, UPPER_M
from gemma4_ros.sim.layout import TURNTABLE_FORWARD_M

__all__ = ['ARM_JOINTS', 'BASE_JOINTS', 'BASE_RADIUS_M', 'DECK_M', 'FINGER_OPEN_M', 'robot_actuators', 'robot_body']

BASE_RADIUS_M = 0.30
DECK_M = 0.31
FINGER_OPEN_M = 0.055
BASE_JOINTS = ('base_x', 'base_y', 'base_yaw')
ARM_JOINTS = ('arm_yaw', 'arm_shoulder', 'arm_elbow', 'arm_wrist', 'arm_roll')
CAMERA_TILT_RAD = math.radians(23)


def robot_body() -> str:
    """Return the robot's body."""
    up = f'{math.sin(CAMERA_TILT_RAD):.4f} 0 {math.cos(CAMERA_TILT_RAD):.4f}'
    pedestal = SHOULDER_HEIGHT_M - DECK_M
    return f"""
<body name="base_link">
  <joint name="base_x" type="slide" axis="1 0 0"/>
  <joint name="base_y" type="slide" axis="0 1 0"/>
  <joint name="base_yaw" type="hinge" axis="0 0 1"/>
  <geom name="chassis" class="robot" type="cylinder" size="{BASE_RADIUS_M} .12" pos="0 0 .16" mass="60"
    material="chassis"/>
  <geom class="trim" type="cylinder" size=".302 .018" pos="0 0 .20" material="accent"/>
  <geom class="trim" type="cylinder" size=".285 .015" pos="0 0 .295" material="deck"/>
  <geom class="trim" type="cylinder" size=".07 .03" pos="0 .22 .07" euler="90 0 0" material="rubber"/>
  <geom class="trim" type="cylinder" size=".07 .03" pos="0 -.22 .07" euler="90 0 0" material="rubber"/>
  <geom name="charge_plate" class="robot" type="box" size=".008 .08 .025" pos=".298 0 .12" mass=".2" material="copper"/>
  <geom class="trim" type="box" size=".004 .05 .012" pos=".299 .12 .24" rgba=".9 .95 1 1"/>
  <geom class="trim" type="box" size=".004 .05 .012" pos=".299 -.12 .24" rgba=".9 .95 1 1"/>
  <geom name="mast" class="robot" type="box" size=".02 .03 .49" pos="-.2 0 .80" mass="2" material="mast"/>
  <geom name="head" class="robot" type="box" size=".03 .07 .035" pos="-.2 0 1.32" mass=".5" material="accent"/>
  <geom class="trim" type="cylinder" size=".02 .008" pos="-.168 0 1.32" euler="0 90 0" rgba=".05 .05 .08 1"/>
  <geom name="beacon" class="trim" type="cylinder" size=".022 .02" pos="-.2 0 1.375" material="beacon"/>
  <camera name="front" pos="-.155 0 1.32" xyaxes="0 -1 0 {up}" fovy="58"/>
  <body name="turntable" pos="{TURNTABLE_FORWARD_M} 0 {DECK_M}" gravcomp="1">
    <joint name="arm_yaw" axis="0 0 1" range="-130 130" class="arm"/>
    <geom class="robot" type="cylinder" size=".06 {pedestal / 2 - 0.03:.3f}" pos="0 0 {pedestal / 2 - 0.03:.3f}"
      mass="3" material="mast"/>
    <geom class="trim" type="cylinder" size=".055 .07" pos="0 0 {pedestal:.3f}" euler="90 0 0" material="accent"/>
    <body name="upper_arm" pos="0 0 {pedestal:.3f}" gravcomp="1">
      <joint name="arm_shoulder" axis="0 -1 0" range="-80 170" class="arm"/>
      <geom class="robot" type="capsule" size=".04" fromto="0 0 0 {UPPER_M} 0 0" mass="2" material="limb"/>
      <geom class="trim" type="cylinder" size=".046 .055" pos="{UPPER_M} 0 0" euler="90 0 0" material="accent"/>
      <body name="forearm" pos="{UPPER_M} 0 0" gravcomp="1">
        <joint name="arm_elbow" axis="0 -1 0" range="-165 10" class="arm"/>
        <geom class="robot" type="capsule" size=".032" fromto="0 0 0 {FORE_M} 0 0" mass="1.2" material="limb"/>
        <geom class="trim" type="cylinder" size=".037 .042" pos="{FORE_M} 0 0" euler="90 0 0" material="accent"/>
        <body name="wrist" pos="{FORE_M} 0 0" gravcomp="1">
          <joint name="arm_wrist" axis="0 -1 0" range="-170 170" class="arm"/>
          <geom class="robot" type="cylinder" size=".03 .02" pos=".045 0 0" euler="0 90 0" mass=".4" material="mast"/>
          <body name="hand" gravcomp="1">
            <joint name="arm_roll" axis="1 0 0" range="-150 150" class="wrist"/>
            <geom class="robot" type="box" size=".02 .075 .022" pos=".085 0 0" mass=".4" material="chassis"/>
            {_finger('left', 1)}
            {_finger('right', -1)}
          </body>
        </body>
      </body>
    </body>
  </body>
</body>"""


def _finger(side: str, sign: int) -> str:
    return f"""<body name="finger_{side}" pos=".105 0 0" gravcomp="1">
              <joint name="finger_{side}" type="slide" axis="0 {sign} 0" range="0 {FINGER_OPEN_M}" damping="8"
                armature=".05"/>
              <geom name="pad_{side}" class="pad" type="box" size=".045 .006 .02" pos=".045 {sign * 0.006} 0"
                mass=".08"/>
              <geom class="trim" type="box" size=".046 .004 .021" pos=".044 {sign * 0.015} 0" material="chassis"/>
            </body>"""


def robot_actuators() -> str:
    """Return actuators, the coupling of the two fingers, and sensors."""
    arms = ''.join(
        f'<position name="{name}" joint="{name}" kp="{kp}" kv="{kv}" forcerange="-{limit} {limit}"/>'
        for name, kp, kv, limit in (
            ('arm_yaw', 1500, 120, 80),
            ('arm_shoulder', 2500, 180, 120),
            ('arm_elbow', 1800, 120, 80),
            ('arm_wrist', 500, 30, 30),
            ('arm_roll', 80, 4, 4),
        )
    )
    return f"""
<actuator>
  <velocity name="base_x" joint="base_x" kv="6000" forcerange="-600 600"/>
  <velocity name="base_y" joint="base_y" kv="6000" forcerange="-600 600"/>
  <velocity name="base_yaw" joint="base_yaw" kv="900" forcerange="-150 150"/>
  {arms}
  <position name="finger" joint="finger_left" kp="1500" kv="40" forcerange="-60 60"/>
</actuator>
<equality><joint joint1="finger_right" joint2="finger_left" polycoef="0 1 0 0 0" solref=".004 1"/></equality>
"""
