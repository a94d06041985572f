# SPDX-License-Identifier: Apache-2.0
"""Layout, arm geometry, map, process and pictures of the cell."""

from __future__ import annotations

import math
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip('mujoco')

import itertools

from gemma4_ros.core.errors import WorldError
from gemma4_ros.core.world import World
from gemma4_ros.core.world_file import load_world
from gemma4_ros.sim.camera import CameraError, Cameras
from gemma4_ros.sim.cell import Cell
from gemma4_ros.sim.drawing import draw_dial, draw_display, draw_keys, draw_label
from gemma4_ros.sim.equipment_model import DIAL_RADIUS_M
from gemma4_ros.sim.grid import Grid
from gemma4_ros.sim.hmi import HEIGHT_PX, WIDTH_PX, Screen, draw_screen
from gemma4_ros.sim.kinematics import FORE_M, SHOULDER_HEIGHT_M, UPPER_M, ArmPose, joints_of, wrap
from gemma4_ros.sim.layout import Layout, build_layout
from gemma4_ros.sim.pacer import Pacer
from gemma4_ros.sim.process import Process
from gemma4_ros.sim.script import let_pass

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.timeout(60)


def load(path: str = 'config/world.yaml') -> World:
    return load_world((ROOT / path).read_text())


@pytest.fixture(scope='module')
def layout() -> Layout:
    return build_layout(load())


# layout --------------------------------------------------------------------------------------------------------------
def test_objects_stand_on_the_bench_of_their_place(layout: Layout) -> None:
    bench = layout.benches['storage']
    assert bench.pose.local(*bench.slot(layout.items['red_toolbox'].slot))[0] == pytest.approx(0.62)
    assert layout.items['red_toolbox'].slot != layout.items['blue_crate'].slot
    assert layout.place_of(-3.1, 2.1) == 'storage'
    assert layout.place_of(0.0, 0.0) == ''


def test_the_doorway_parts_the_room_between_places(layout: Layout) -> None:
    assert layout.doorway is not None
    assert all(abs(b.pose.x - layout.doorway.x) > 1.0 for b in layout.benches.values())


def test_a_place_without_a_pose_is_named() -> None:
    world = load()
    entities = dict(world.entities)
    entities['pump'] = replace(entities['pump'], pose=None)
    with pytest.raises(WorldError, match='pump'):
        build_layout(replace(world, entities=entities))


def test_a_bench_with_too_many_objects_is_named() -> None:
    world = load()
    entities = dict(world.entities)
    for k in range(4):
        entities[f'box_{k}'] = replace(entities['red_toolbox'], id=f'box_{k}')
    with pytest.raises(WorldError, match='storage'):
        build_layout(replace(world, entities=entities))


@pytest.mark.parametrize('path', ['config/worlds/lab.yaml', 'config/worlds/warehouse.yaml'])
def test_other_worlds_make_a_cell_too(path: str) -> None:
    cell = Cell(load(path))
    let_pass(cell, 0.5)
    for name, item in cell.layout.items.items():
        assert cell.facts()['at', name] == item.place


# arm -----------------------------------------------------------------------------------------------------------------
@given(
    yaw=st.floats(-2.0, 2.0),
    radius=st.floats(0.1, 0.7),
    height=st.floats(0.3, 1.2),
    pitch=st.floats(-1.6, 0.3),
    roll=st.floats(-2.0, 2.0),
)
def test_joint_angles_bring_the_wrist_where_it_should_be(
    yaw: float, radius: float, height: float, pitch: float, roll: float
) -> None:
    joints = joints_of(ArmPose(yaw, radius, height, pitch, roll))
    distance = math.hypot(radius, height - SHOULDER_HEIGHT_M)
    if joints is None:
        assert distance < 0.125 or distance > UPPER_M + FORE_M - 0.01
        return
    _, upper, elbow, wrist, _ = joints
    assert UPPER_M * math.cos(upper) + FORE_M * math.cos(upper + elbow) == pytest.approx(radius, abs=1e-6)
    assert UPPER_M * math.sin(upper) + FORE_M * math.sin(upper + elbow) == pytest.approx(
        height - SHOULDER_HEIGHT_M, abs=1e-6
    )
    assert wrap(upper + elbow + wrist - pitch) == pytest.approx(0.0, abs=1e-6)


# map -----------------------------------------------------------------------------------------------------------------
def test_ways_lead_through_the_doorway(layout: Layout) -> None:
    grid = Grid(layout)
    way = grid.way((-3.0, 2.0), (3.0, -2.0))
    assert way is not None and way[0] == (-3.0, 2.0) and way[-1] == (3.0, -2.0)
    crossing = [
        a[1] + (b[1] - a[1]) * (1.5 - a[0]) / (b[0] - a[0]) for a, b in itertools.pairwise(way) if a[0] <= 1.5 < b[0]
    ]
    assert len(crossing) == 1 and abs(crossing[0]) < 0.35


def test_what_is_seen_in_the_doorway_closes_it_until_it_is_forgotten(layout: Layout) -> None:
    grid = Grid(layout)
    seen = [grid.see(1.5, y) for y in np.arange(-0.45, 0.5, 0.1)]
    assert any(seen)
    assert grid.way((0.0, 0.0), (3.0, 2.0)) is None
    grid.forget()
    assert grid.way((0.0, 0.0), (3.0, 2.0)) is not None


def test_known_walls_are_no_news(layout: Layout) -> None:
    grid = Grid(layout)
    assert not grid.see(1.5, 2.0)
    assert not grid.see(99.0, 99.0)


def test_every_place_is_free(layout: Layout) -> None:
    grid = Grid(layout)
    assert all(grid.is_free((b.pose.x, b.pose.y)) for b in layout.benches.values())
    assert not grid.is_free((-3.0, 2.6))


# process -------------------------------------------------------------------------------------------------------------
def settled(setpoint: float, main: float, bypass: float) -> float:
    process = Process()
    process.setpoint_bar = setpoint
    for _ in range(1000):
        process.tick(0.02, {'main_valve': main, 'bypass_valve': bypass})
    return process.pressure_bar


def test_pressure_follows_set_point_and_valves() -> None:
    assert settled(4.0, 1.0, 0.0) == pytest.approx(4.0, abs=0.06)
    assert settled(6.5, 1.0, 0.0) == pytest.approx(6.5, abs=0.06)
    assert settled(4.0, 0.0, 0.0) == pytest.approx(0.0, abs=0.06)
    assert settled(4.0, 1.0, 1.0) == pytest.approx(2.6, abs=0.06)


def test_pressure_takes_its_time() -> None:
    process = Process()
    process.setpoint_bar = 8.0
    process.tick(0.02, {})
    assert process.pressure_bar < 4.5
    for _ in range(75):  # one time constant
        process.tick(0.02, {})
    assert process.pressure_bar == pytest.approx(4.2 + 3.8 * 0.63, abs=0.15)


def test_alarms_name_their_limit() -> None:
    process = Process()
    process.setpoint_bar = 0.0
    for _ in range(500):
        process.tick(0.02, {'main_valve': 0.0})
    assert process.alarms({'main_valve': 0.0}) == ('A-102 LOW PRESSURE, LIMIT 1.0 bar', 'A-110 MAIN VALVE CLOSED')
    assert process.alarms({'main_valve': 1.0}) == ('A-102 LOW PRESSURE, LIMIT 1.0 bar',)


# pictures ------------------------------------------------------------------------------------------------------------
def test_pictures_have_their_sizes_and_show_their_content() -> None:
    dial = draw_dial(512, {'min': 0, 'max': 10, 'start_deg': -135, 'end_deg': 135}, 'bar')
    assert dial.shape == (512, 512, 3) and dial[256, 256].min() > 200
    assert dial[40:60, 256].min() < 60  # the mark at 12 o'clock
    assert draw_keys(256).shape == (256, 256, 3)
    assert draw_label('pump', 512, 96, (0, 0, 0), (255, 200, 0)).shape == (96, 512, 3)
    assert not np.array_equal(
        draw_display(256, 128, '4.20', 'bar', False), draw_display(256, 128, '4.21', 'bar', False)
    )


def screen(**changes: object) -> Screen:
    values = {
        'mode': 'AUTO', 'estop': False, 'pressure_bar': 4.2, 'setpoint_bar': 4.2, 'flow_m3h': 6.3, 'speed_rpm': 1481.0,
        'temperature_c': 41.0, 'valves': (('main_valve', 1.0),), 'alarms': (), 'clock': '08:00:00',
    }  # fmt: skip
    return Screen(**{**values, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    'changes',
    [
        {'mode': 'MANUAL'},
        {'estop': True},
        {'pressure_bar': 4.3},
        {'alarms': ('A-101',)},
        {'valves': (('main_valve', 0.0),)},
    ],
)
def test_every_value_of_the_screen_is_seen(changes: dict[str, object]) -> None:
    plain, changed = draw_screen(screen()), draw_screen(screen(**changes))
    assert plain.shape == (HEIGHT_PX, WIDTH_PX, 3)
    assert np.count_nonzero(plain != changed) > 100


# cameras -------------------------------------------------------------------------------------------------------------
def test_the_gauge_is_large_and_upright_and_its_needle_shows_the_pressure() -> None:
    cell = Cell(load())
    pose = cell.layout.benches['pump'].pose
    for name, value in (('base_x', pose.x), ('base_y', pose.y), ('base_yaw', pose.yaw)):
        cell.physics.set_joint(name, value)
    cell.robot.base.reset()
    let_pass(cell, 1.0)
    try:
        cameras = Cameras(cell.camera_model(), 640, 480)
    except CameraError as error:
        pytest.skip(str(error))
    picture = cameras.render('front', *cell.view())
    cameras.close()
    red = (picture[:, :, 0] > 110) & (picture[:, :, 1] < 70) & (picture[:, :, 2] < 70)
    rows, columns = np.nonzero(red[:240])
    assert len(rows) > 60, 'no needle'
    white = (picture.min(axis=2) > 200).astype(np.uint8)
    _, _, areas, _ = cv2.connectedComponentsWithStats(white[:240])
    left, top, width, height, _ = max(areas[1:], key=lambda area: area[4])
    assert min(width, height) >= 110
    centre = left + width / 2, top + height / 2
    far = np.argmax(np.hypot(columns - centre[0], rows - centre[1]))
    angle = math.degrees(math.atan2(columns[far] - centre[0], centre[1] - rows[far]))
    value = (angle + 135.0) / 270.0 * 10.0
    assert value == pytest.approx(cell.robot.process.pressure_bar, abs=0.25)
    assert DIAL_RADIUS_M == 0.18


class Slow:
    """A cell whose tick takes longer than it may, and ends the pacer after some."""

    def __init__(self) -> None:
        me: Any = self
        self.ticks, self.pacer = 0, Pacer(me, speed=20.0)

    def tick(self) -> None:
        self.ticks += 1
        time.sleep(0.003)
        if self.ticks == 10:
            self.pacer._stopped.set()


class Noting(threading.Event):
    """An event that notes how long it was waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float | None] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.waits.append(timeout)
        return super().wait(timeout)


def test_a_pacer_that_is_late_leaves_the_lock_to_others_after_each_tick() -> None:
    slow, noting = Slow(), Noting()
    slow.pacer._stopped = noting
    slow.pacer._pace()
    assert len(noting.waits) == slow.ticks == 10
    assert all(wait is not None and wait > 0.0 for wait in noting.waits)
