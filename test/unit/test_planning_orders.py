# SPDX-License-Identifier: Apache-2.0
"""Commands taken apart into orders, and the calls that say just what an order says: code does it, no model."""

from __future__ import annotations

from pathlib import Path

import pytest

from gemma4_ros.backends.scripted import ScriptedModel
from gemma4_ros.core.errors import DraftError
from gemma4_ros.core.planning import surface
from gemma4_ros.core.planning.assembly import Assembly
from gemma4_ros.core.planning.candidates import Candidates
from gemma4_ros.core.planning.clauses import Clauses
from gemma4_ros.core.planning.mentions import Lexicon
from gemma4_ros.core.planning.outline import AtOnce, Fork, Order, Outlines
from gemma4_ros.core.planning.planner import Planner
from gemma4_ros.core.planning.scope import Scope
from gemma4_ros.core.planning.symbolic import Symbolic
from gemma4_ros.core.tools import load_tools
from gemma4_ros.core.world_file import load_world

ROOT = Path(__file__).resolve().parents[2]


class Robot:
    """What takes commands apart for one of the robots of the configuration."""

    def __init__(self, world: str, tools: str) -> None:
        self.world = load_world((ROOT / world).read_text(encoding='utf-8'), world)
        self.toolset = load_tools([(tools, (ROOT / tools).read_text(encoding='utf-8'))], self.world)
        self.symbolic = Symbolic(self.world, self.toolset)
        self.lexicon, self.clauses = Lexicon(self.world, self.toolset), Clauses(self.toolset)
        self.outlines = Outlines(self.clauses, self.lexicon)
        self.scope = Scope(self.symbolic, self.lexicon, self.clauses)
        self.assembly = Assembly(self.symbolic, self.lexicon, self.clauses, self.scope)
        self.candidates = Candidates(self.symbolic, self.lexicon, self.clauses)

    def assembled(self, text: str) -> str:
        """Return the draft that needs no model; a DraftError where a choice is left."""

        def write(order: str, earlier: tuple[str, ...], ways: surface.Ways, found: tuple[str, ...]) -> str:
            raise DraftError(f'{order!r}: {" or ".join(found)}')

        state = self.world.initial
        return self.assembly.text(self.assembly.read(text, state), state, write)


CELL = Robot('config/world.yaml', 'config/tools/cell.yaml')
GREENHOUSE = Robot('config/worlds/greenhouse.yaml', 'config/tools/greenhouse.yaml')
BREWERY = Robot('config/worlds/brewery.yaml', 'config/tools/brewery.yaml')
PACKING = Robot('config/worlds/packing.yaml', 'config/tools/packing.yaml')


# Outlines ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ('text', 'orders'),
    [
        ('take the filter to the pump, then take a photo of the pump',
         ('take the filter to the pump', 'take a photo of the pump')),
        ('before you go charging, leave the filter at the valve station',
         ('leave the filter at the valve station', 'you go charging')),
        ('read the gauge after you close the main valve', ('you close the main valve', 'read the gauge')),
        ('read the gauge before you close the main valve', ('read the gauge', 'you close the main valve')),
        ('read the gauge and after that close the main valve', ('read the gauge', 'close the main valve')),
        ('Get going: undock, valve station, ready the arm.', ('undock', 'valve station', 'ready the arm')),
        ('blue crate to the pump, toolbox to the valve station',
         ('blue crate to the pump', 'toolbox to the valve station')),
        ('I need the filter and the toolbox at the pump, then go and charge.',
         ('i need the filter and the toolbox at the pump', 'charge')),
        ('bring the crate and the toolbox to the pump', ('bring the crate and the toolbox to the pump',)),
        ('go to the pump, but do not take a photo', ('go to the pump',)),
        ('read the gauge twice, then go home', ('read the gauge twice', 'go home')),
    ],
)  # fmt: skip
def test_a_command_is_taken_apart_into_its_orders(text: str, orders: tuple[str, ...]) -> None:
    assert CELL.outlines.read(CELL.lexicon.read(text)) == tuple(Order(order) for order in orders)


@pytest.mark.parametrize(
    ('text', 'condition', 'is_unless', 'then', 'otherwise'),
    [
        ('if it is above 4 bar close the main valve', 'it is above 4 bar', False, ['close the main valve'], []),
        ('close the main valve if it is above 4', 'it is above 4', False, ['close the main valve'], []),
        ('unless it is over 4 bar, open the bypass', 'it is over 4 bar', True, ['open the bypass'], []),
        (
            'if the main valve is open, close it, otherwise go charge',
            'the main valve is open',
            False,
            ['close it'],
            ['go charge'],
        ),
        (
            'if the pressure is below 2 bar then open the bypass and read the gauge, else go charge',
            'the pressure is below 2 bar',
            False,
            ['open the bypass', 'read the gauge'],
            ['go charge'],
        ),
    ],
)  # fmt: skip
def test_a_condition_holds_its_orders(
    text: str, condition: str, is_unless: bool, then: list[str], otherwise: list[str]
) -> None:
    (fork,) = CELL.outlines.read(CELL.lexicon.read(text))
    assert isinstance(fork, Fork)
    assert (fork.condition, fork.is_unless) == (condition, is_unless)
    assert [node.text for node in fork.then if isinstance(node, Order)] == then
    assert [node.text for node in fork.otherwise if isinstance(node, Order)] == otherwise


def test_orders_before_and_after_a_condition_stand_outside_it() -> None:
    text = 'go to the pump. if it reads over 7 bar close the main valve. Then drive to the control desk'
    before, fork, after = CELL.outlines.read(CELL.lexicon.read(text))
    assert (before, after) == (Order('go to the pump'), Order('drive to the control desk'))
    assert isinstance(fork, Fork) and fork.then == (Order('close the main valve'),)


def test_things_at_once() -> None:
    (both,) = GREENHOUSE.outlines.read(GREENHOUSE.lexicon.read('while you roll to bay 3 read me the humidity'))
    assert both == AtOnce((Order('you roll to bay 3'),), (Order('read me the humidity'),))


@pytest.mark.parametrize(
    'text',
    [
        'is the main valve open?',
        'bring everything from storage to the pump',
        'close the bypass, no wait, not the bypass, the main valve',
        'go to the pump and come back',
        'read the gauge until it is above 4 bar',
        'open and close the bypass two times',
        'if the gauge is above 4 close the main valve, if it is below 2 open it',
    ],
)
def test_what_is_not_certain_is_left_to_the_model(text: str) -> None:
    assert CELL.outlines.read(CELL.lexicon.read(text)) == ()


# Drafts without a model ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ('robot', 'text', 'draft'),
    [
        (CELL, 'bring the red toolbox to the valve station', 'bring(red_toolbox, valve_station)'),
        (CELL, 'crate to the pump', 'bring(blue_crate, pump)'),
        (
            CELL,
            'should the gauge show less than 3.5 bar, set the panel to 4 bar',
            'if read_gauge(pressure_gauge) < 3.5 {\nset_panel_value(setpoint_panel, 4)\n}',
        ),
        (
            BREWERY,
            'start the agitator provided the mash is at least 62 C, otherwise switch the pump off',
            'if read_out(mash_thermometer) >= 62 {\nswitch(agitator, on)\n} else {\nswitch(transfer_pump, off)\n}',
        ),
        (
            BREWERY,
            "if it's hotter than 149 fahrenheit in the mash tun put the stirrer on, if not put the light on",
            'if read_out(mash_thermometer) > 65 {\nswitch(agitator, on)\n} else {\nswitch(lamp, on)\n}',
        ),
        (
            BREWERY,
            "if the pump's still running shut it off",
            'if runs(transfer_pump) == on {\nswitch(transfer_pump, off)\n}',
        ),
        (
            BREWERY,
            'put the pump to 900 rpm, but only if the outlet valve is open',
            'if valve(outlet_valve) == open {\npump_speed(transfer_pump, 900)\n}',
        ),
        (BREWERY, 'pump off pls, but do not turn off the lamp', 'switch(transfer_pump, off)'),
        (BREWERY, 'set the pump to half its top speed', 'pump_speed(transfer_pump, 1500)'),
        (BREWERY, 'pump to 1.8k rpm', 'pump_speed(transfer_pump, 1800)'),
        (BREWERY, 'set the pump speed to 20 revolutions per second', 'pump_speed(transfer_pump, 1200)'),
        (BREWERY, 'could you set the kettle to 158 fahrenheit', 'kettle_temp(kettle, 70)'),
        (
            BREWERY,
            'take the jar to the bottling hall, snap a photo of it there',
            'deliver(sample_jar, bottling_hall)\nphotograph(sample_jar)',
        ),
        (
            BREWERY,
            'read the mash temperature, then the tank pressure',
            'read_out(mash_thermometer)\nread_out(tank_gauge)',
        ),
        (CELL, 'set the panel to 450 kPa', 'set_panel_value(setpoint_panel, 4.5)'),
        (CELL, 'read the pressure twice', 'repeat 2 {\nread_gauge(pressure_gauge)\n}'),
        (CELL, 'go to the pump and back to storage, twice', 'repeat 2 {\nnavigate_to(pump)\nnavigate_to(storage)\n}'),
        (CELL, 'before you go charging, read the gauge', 'read_gauge(pressure_gauge)\ncharge()'),
        (CELL, 'go to the pump but do not take any pictures', 'navigate_to(pump)'),
        (
            CELL,
            'bring the toolbox to the pump, read the gauge, then take it back',
            'bring(red_toolbox, pump)\nread_gauge(pressure_gauge)\nbring(red_toolbox, storage)',
        ),
        (
            CELL,
            'unless the pressure is above 4 bar, open the bypass',
            'if read_gauge(pressure_gauge) <= 4 {\nopen_valve(bypass_valve)\n}',
        ),
        (
            CELL,
            'if the main valve is still open, close it',
            'if valve(main_valve) == open {\nclose_valve(main_valve)\n}',
        ),
        (
            CELL,
            'if the main valve is not open, crate to the pump',
            'if valve(main_valve) == closed {\nbring(blue_crate, pump)\n}',
        ),
        (
            CELL,
            'read the gauge and if it does not exceed 4 bar take a photo of the panel',
            'if read_gauge(pressure_gauge) <= 4 {\ntake_photo(setpoint_panel)\n}',
        ),
        (GREENHOUSE, "get the seeds out of the cold room, I'm at the bench", 'haul(seed_box, potting_bench)'),
        (
            GREENHOUSE,
            'shut both vents and turn the sprinkler in bay 1 on',
            'crank_shut(roof_vent)\ncrank_shut(side_vent)\nstart_sprinkler(sprinkler_1)',
        ),
        (GREENHOUSE, 'three shots of the tomatoes', 'repeat 3 {\nsnap(tomato_tray)\n}'),
        (
            PACKING,
            'if the oil weighs more than 950 g put a fragile label on the large carton',
            'if weigh(oil_bottle) > 950 {\nstick_label(large_carton, fragile)\n}',
        ),
    ],
)
def test_only_one_draft_says_what_the_command_says(robot: Robot, text: str, draft: str) -> None:
    assert robot.assembled(text) == draft


@pytest.mark.parametrize(
    ('robot', 'text'),
    [
        (CELL, 'polish the main valve'),
        (CELL, 'bring the box to the pump'),
        (CELL, 'bring it over here'),
        (CELL, 'set the panel to 12 bar'),
        (CELL, 'pick up the pump'),
        (CELL, 'if the gauge is above 4 polish the main valve'),
        (CELL, 'bring the crate to the pump, then polish the main valve'),
        (GREENHOUSE, 'bring the tray to the bench'),
        (GREENHOUSE, 'if it is below 40 start the first sprinkler'),  # thermometer or hygrometer
        (BREWERY, 'set the pump to 80 percent'),
        (BREWERY, 'set the kettle to 3 bar'),
        (BREWERY, 'switch the agitator'),
        (PACKING, 'fragile label on the box'),
        (PACKING, 'put the bottle in the small carton'),
    ],
)
def test_what_cannot_be_told_is_not_guessed(robot: Robot, text: str) -> None:
    with pytest.raises(DraftError):
        robot.assembled(text)


def test_an_order_already_done_by_the_one_before_is_done_once() -> None:
    assert CELL.assembled('the yellow filter to storage, put it there') == 'bring(spare_filter, storage)'


# In the planner ------------------------------------------------------------------------------------------------------
def test_a_draft_that_fails_is_put_together_from_its_orders_without_another_answer() -> None:
    model = ScriptedModel(['bring(blue_crate, pump)'])
    text = 'bring the toolbox to the pump pronto, then read the gauge'
    outcome = Planner(CELL.world, CELL.toolset, model).plan(text, CELL.world.initial)
    assert outcome.kind == 'plan' and outcome.draft == 'bring(red_toolbox, pump)\nread_gauge(pressure_gauge)'
    assert len(model.requests) == 1
    assert outcome.notes[0] == 'put together order by order (sure)'


def test_an_evident_command_needs_no_model() -> None:
    model = ScriptedModel([])
    text = 'bring the toolbox to the pump, then read the gauge'
    outcome = Planner(CELL.world, CELL.toolset, model).plan(text, CELL.world.initial)
    assert outcome.kind == 'plan' and outcome.draft == 'bring(red_toolbox, pump)\nread_gauge(pressure_gauge)'
    assert not model.requests and outcome.effort.calls == 0
    assert outcome.notes[0] == 'put together order by order (evident)'


def test_a_refusal_of_a_command_that_can_be_told_is_not_believed() -> None:
    model = ScriptedModel(['cannot("no such thing: toolbox")', 'cannot("no such thing: toolbox")'])
    outcome = Planner(CELL.world, CELL.toolset, model).plan('toolbox to the pump', CELL.world.initial)
    assert outcome.kind == 'plan' and outcome.draft == 'bring(red_toolbox, pump)'


def test_of_several_drafts_that_fit_the_model_chooses_one() -> None:
    chosen = 'place(blue_crate, valve_station)'
    model = ScriptedModel(['navigate_to(storage)', chosen])
    text = 'grab the crate, carry it to the valve station, put it down and get the arm ready'
    Planner(CELL.world, CELL.toolset, model).plan(text, CELL.world.initial)
    offered = model.requests[1].grammar
    assert offered.startswith('start: "') and f'"{chosen}"' in offered and 'ask' not in offered
