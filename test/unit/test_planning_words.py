# SPDX-License-Identifier: Apache-2.0
"""What code reads out of a command before and after the model: numbers, names, clauses; what a draft may then say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gemma4_ros.backends.scripted import ScriptedModel
from gemma4_ros.core.errors import DraftError
from gemma4_ros.core.facts import parse_fact
from gemma4_ros.core.planning import coverage, surface
from gemma4_ros.core.planning.clauses import Clauses
from gemma4_ros.core.planning.hint import hint
from gemma4_ros.core.planning.mentions import Lexicon
from gemma4_ros.core.planning.numbers import quantities
from gemma4_ros.core.planning.planner import Planner
from gemma4_ros.core.planning.symbolic import Symbolic
from gemma4_ros.core.tools import load_tools
from gemma4_ros.core.world_file import load_world

ROOT = Path(__file__).resolve().parents[2]


def robot(world: str, tools: str) -> Symbolic:
    """Load one of the robots of the configuration."""
    loaded = load_world((ROOT / world).read_text(encoding='utf-8'), world)
    return Symbolic(loaded, load_tools([(tools, (ROOT / tools).read_text(encoding='utf-8'))], loaded))


CELL = robot('config/world.yaml', 'config/tools/cell.yaml')
LEXICON = Lexicon(CELL.world, CELL.toolset)
CLAUSES = Clauses(CELL.toolset)
START = CELL.world.initial


def reasons(text: str, draft: str) -> list[str]:
    """Return every reason why a draft is no answer to a command."""
    parsed = surface.parse(draft, CELL.toolset, CELL.world)
    reading = LEXICON.read(text)
    found = (
        *coverage.gaps(parsed, reading, CELL.world, CELL.toolset, START),
        *CLAUSES.gaps(parsed, reading, LEXICON.known, is_first=True),
    )
    return [gap.reason for gap in found]


# Numbers -------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ('words', 'values'),
    [
        ('3.2 bar', [3.2]),
        ('3,2 bar', [3.2]),
        ('three point two five bar', [3.25]),
        ('point five bar', [0.5]),
        ('minus two bar', [-2.0]),
        ('half a bar', [0.5]),
        ('five and a half bar', [5.5]),
        ('twenty five seconds', [25.0]),
        ('one hundred and twenty seconds', [120.0]),
        ('one hundred seconds', [100.0]),
        ('ninety nine', [99.0]),
        ('twenty to thirty', [20.0, 30.0]),
        ('two three', [2.0, 3.0]),
        ('the blue one', []),
        ('one bar', [1.0]),
        ('point at it', []),
        ('go to the pump', []),
    ],
)
def test_numbers_as_people_say_them(words: str, values: list[float]) -> None:
    assert [quantity.value for quantity in quantities(tuple(words.split()))] == values


@pytest.mark.parametrize(
    ('text', 'converted'),
    [
        ('450 kpa', (4.5, 'bar')),
        ('50 psi', (3.447, 'bar')),
        ('2 minutes', (120.0, 's')),
        ('1.5 hours', (5400.0, 's')),
        ('1.5 kg', (1500.0, 'g')),
        ('250 grams', None),
        ('4 bar', None),
        ('4 psi of lentils', (0.276, 'bar')),
    ],
)
def test_units_are_converted_to_those_of_the_tools(text: str, converted: tuple[float, str] | None) -> None:
    (quantity,) = quantities(tuple(text.split()))
    assert quantity.converted(['bar', 's', 'g']) == converted
    assert quantity.converted(['volt']) is None


@pytest.mark.parametrize(
    ('text', 'numbers'),
    [('set it to -2', (-2.0,)), ('pump P-7', ()), ('a twenty-five bar limit', (25.0,)), ('.5 bar', (0.5,))],
)
def test_signs_and_names_are_told_apart(text: str, numbers: tuple[float, ...]) -> None:
    assert LEXICON.read(text).numbers == numbers


# Drafts that are right, and drafts that are not ----------------------------------------------------------------------
@pytest.mark.parametrize(
    ('text', 'draft'),
    [
        ('set the panel to 7 bar', 'set_panel_value(setpoint_panel, 7)'),
        (
            'close the valve if the gauge reads above four point five',
            'if read_gauge(pressure_gauge) > 4.5 {\nclose_valve(main_valve)\n}',
        ),
        ('set the panel to .5 bar', 'set_panel_value(setpoint_panel, 0.5)'),
        ('set the panel to point five bar', 'set_panel_value(setpoint_panel, 0.5)'),
        ('set the panel to 40 psi', 'set_panel_value(setpoint_panel, 2.8)'),
        ('leave the valve alone and go to the dock', 'navigate_to(charging_dock)'),
        ('bring the crate to the pump instead of the toolbox', 'bring(blue_crate, pump)'),
        ('bring the crate, no toolbox, to the pump', 'bring(blue_crate, pump)'),
        ('go to the dock and charge', 'charge()'),
        (
            "don't close the valve unless the pressure is above 4",
            'if read_gauge(pressure_gauge) > 4 {\nclose_valve(main_valve)\n}',
        ),
        ('do not forget the toolbox when you go to the pump', 'bring(red_toolbox, pump)'),
        ('close the bypass, no wait, not the bypass, the main valve', 'close_valve(main_valve)'),
        ('go to the pump and read the gauge', 'read_gauge(pressure_gauge)'),
        ('stow the arm and go home', 'move_arm(stowed)\nnavigate_to(charging_dock)'),
        ('swap these two please: filter to storage and crate to the control desk',
         'bring(spare_filter, storage)\nbring(blue_crate, control_desk)'),
        ('go to the pump, but do not take a photo of the pump', 'navigate_to(pump)'),
        ('open the main valve, then close the main valve', 'open_valve(main_valve)\nclose_valve(main_valve)'),
        ('zero the set-point', 'set_panel_value(setpoint_panel, 0)'),
        ('raise the pressure set-point to five and a half bar', 'set_panel_value(setpoint_panel, 5.5)'),
        ('read it once more, the gauge', 'read_gauge(pressure_gauge)'),
        ('take a picture of the desk for the shift log', 'take_photo(control_desk)'),
        ('bring the red one to the pump', 'bring(red_toolbox, pump)'),
        ('shut the main line', 'close_valve(main_valve)'),
    ],
)  # fmt: skip
def test_a_right_draft_has_no_gap(text: str, draft: str) -> None:
    assert reasons(text, draft) == []


@pytest.mark.parametrize(
    ('text', 'draft', 'saying'),
    [
        ('close the valve if the pressure is above 7',
         'if read_gauge(pressure_gauge) > 4 {\nclose_valve(main_valve)\n}', '7'),
        ('set the panel to .5 bar', 'set_panel_value(setpoint_panel, 5)', '0.5'),
        ('set the panel to minus two bar', 'set_panel_value(setpoint_panel, 2)', '-2'),
        ('set the panel to -2 bar', 'set_panel_value(setpoint_panel, 2)', '-2'),
        ('go to the pump and set the panel to 2 bar', 'navigate_to(pump)\nset_panel_value(setpoint_panel, 5)', '2'),
        ('set the panel to sixty bar', 'set_panel_value(setpoint_panel, 3)', '60'),
        ('set the panel to one bar', 'set_panel_value(setpoint_panel, 3)', '1'),
        ('set the panel to half a bar', 'set_panel_value(setpoint_panel, 3)', '0.5'),
        ('keep away from the pump', 'navigate_to(pump)', 'not to do'),
        ('close the bypass, no wait, not the bypass, the main valve',
         'close_valve(bypass_valve)\nclose_valve(main_valve)', 'not to do'),
        ('take the filter to the pump, then take a photo of the pump',
         'take_photo(pump)\ntake_photo(spare_filter)', 'add bring'),
        ('take a photo of the main valve, then close it',
         'take_photo(main_valve)\nclose_valve(bypass_valve)', 'nobody named bypass_valve'),
        ('put the crate at the valve station, photograph the crate',
         'place(blue_crate, valve_station)', 'add take_photo'),
        ('leave the filter at the valve station, then go charging', 'place(spare_filter, valve_station)', 'add charge'),
        ('take a photo of the pump and move the arm to ready', 'take_photo(pump)', 'add move_arm'),
        ('take four readings of the gauge, then photograph it',
         'repeat 4 {\ntake_photo(pressure_gauge)\n}', 'add read_gauge'),
        ('restart the pump', 'navigate_to(pump)', "no call can 'restart'"),
        ('read the temperature of the pump', 'read_gauge(pressure_gauge)', "no 'temperature'"),
        ('turn the valve', 'open_valve(main_valve)', 'open_valve or close_valve'),
        ('photograph the bypass', 'if valve(bypass_valve) == open {\ntake_photo(bypass_valve)\n}', 'no condition'),
        ('photograph the bypass', 'repeat 3 {\ntake_photo(bypass_valve)\n}', 'no repetition'),
        ('if the pressure is above 4 bar close the main valve',
         'close_valve(main_valve)\nset_panel_value(setpoint_panel, 4)', 'condition'),
        ('pick up the pump', 'take_photo(pump)', 'add pick'),
        ('go to the pump but do not go to the pump', 'navigate_to(pump)', 'says not to'),
        ('close the main valve but do not close the main valve', 'close_valve(main_valve)', 'says not to'),
        (
            'open and close the main valve at the same time',
            'open_valve(main_valve)\nclose_valve(main_valve)',
            'undo each other',
        ),
        ('photograph the pump, and the panel last', 'take_photo(pump)\ntake_photo(control_desk)', 'panel'),
    ],
)  # fmt: skip
def test_a_wrong_draft_has_a_gap_that_says_what(text: str, draft: str, saying: str) -> None:
    found = reasons(text, draft)
    assert any(saying in reason for reason in found), found


# What the command may be about ---------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ('text', 'inside', 'outside'),
    [
        (
            'bring the toolbox to the pump',
            {'red_toolbox', 'pump', 'storage'},
            {'blue_crate', 'control_desk', 'charging_dock'},
        ),
        ('everything in storage goes to the pump', {'red_toolbox', 'blue_crate'}, {'spare_filter', 'valve_station'}),
        ('do not touch the bypass, close the main valve', {'main_valve'}, {'bypass_valve'}),
        ('put it down here', {'charging_dock'}, {'pump', 'red_toolbox'}),
    ],
)
def test_a_command_is_about_what_it_names(text: str, inside: set[str], outside: set[str]) -> None:
    found = coverage.spoken_of(LEXICON.read(text), CELL.world, START)
    assert found is not None and inside <= found and not outside & found


@pytest.mark.parametrize('text', ['inspect something', 'make a round', 'bring the ladder to the pump'])
def test_an_open_command_may_be_about_anything(text: str) -> None:
    assert coverage.spoken_of(LEXICON.read(text), CELL.world, START) is None


def test_a_grammar_of_names_offers_no_others() -> None:
    ways = surface.Ways(
        names=frozenset({'red_toolbox', 'pump'}), numbers=frozenset({4.5, 99.0}), values_said=frozenset({'ready'})
    )
    rules = dict(line.split(': ', 1) for line in surface.grammar(CELL.toolset, CELL.world, ways).splitlines())
    assert rules['c_bring'] == '"bring(" ("red_toolbox") ", " ("pump") ")"'
    assert rules['c_move_arm'] == '"move_arm(" ("ready") ")"'
    assert 'c_close_valve' not in rules['call'] and 'c_take_photo' in rules['call']
    assert (
        rules['c_set_panel_value'] == '"set_panel_value(" ("setpoint_panel") ", " ("4.5") ")"'
    )  # the only panel; 99 is too much
    assert rules['condition'].startswith('c_read_gauge OP ("4.5" | "99")')
    everything = surface.grammar(CELL.toolset, CELL.world)
    assert 'c_set_panel_value' in everything and 'blue_crate' in everything


def test_a_grammar_without_names_offers_no_call_that_wants_one() -> None:
    nothing = surface.Ways(names=frozenset(), numbers=frozenset(), branch=False, loop=False, both=False)
    rules = dict(line.split(': ', 1) for line in surface.grammar(CELL.toolset, CELL.world, nothing).splitlines())
    assert set(rules['call'].split(' | ')) == {'c_charge', 'c_dock', 'c_undock', 'c_move_arm', 'c_read_gauge'}
    assert rules['item'] == 'call'


# Hints ---------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ('text', 'told'),
    [
        (
            'bring the toolbox to the pump, then take it back',
            'toolbox = red_toolbox; pump = pump; back = storage for red_toolbox',
        ),
        ('everything in storage goes to the pump', 'everything in storage = red_toolbox, blue_crate; pump = pump'),
        ('move the crate to where the filter is', 'crate = blue_crate; filter = spare_filter (it is at control_desk)'),
        ('set the panel to 450 kPa', 'panel = setpoint_panel; 450 kpa = 4.5 bar'),
        (
            'take the box to the pump, not the crate',
            'box = red_toolbox or blue_crate; pump = pump; not crate = blue_crate',
        ),
        ('put it down here', 'here = charging_dock'),
        ('hello', ''),
    ],
)
def test_the_hint_says_what_the_words_stand_for(text: str, told: str) -> None:
    assert hint(LEXICON.read(text), CELL.world, CELL.toolset, START) == told


def test_the_hint_follows_the_state() -> None:
    moved = START.with_facts([parse_fact('at(spare_filter, pump)')])
    assert 'it is at pump' in hint(LEXICON.read('go to where the filter is'), CELL.world, CELL.toolset, moved)


def test_what_code_refuses_the_parser_knows() -> None:
    with pytest.raises(DraftError):
        surface.parse('bring(ladder, pump)', CELL.toolset, CELL.world)


def test_values_said_narrow_no_names() -> None:
    reading = LEXICON.read('close the main valve and then open the bypass')
    names = coverage.spoken_of(reading, CELL.world, START)
    ways = surface.Ways(names=names, numbers=frozenset(), values_said=CLAUSES.values_said(reading))
    rules = dict(line.split(': ', 1) for line in surface.grammar(CELL.toolset, CELL.world, ways).splitlines())
    assert rules['c_open_valve'] == '"open_valve(" ("main_valve" | "bypass_valve") ")"'


# Order by order ------------------------------------------------------------------------------------------------------
def test_an_order_that_no_call_does_is_not_left_out() -> None:
    lost = 'navigate_to(charging_dock)'
    model = ScriptedModel([lost] * 5)
    outcome = Planner(CELL.world, CELL.toolset, model).plan(
        'bring the crate to the pump, then polish the main valve', START
    )
    assert outcome.kind != 'plan'


def test_an_instrument_that_nobody_names_may_be_read_for_a_comparison() -> None:
    instruments = coverage.instruments(CELL.toolset)
    assert instruments == {'pressure_gauge'}
    compared = coverage.spoken_of(LEXICON.read('if it is above 4 close the main valve'), CELL.world, START, instruments)
    assert compared is not None and 'pressure_gauge' in compared
    plain = coverage.spoken_of(LEXICON.read('close the main valve'), CELL.world, START, instruments)
    assert plain is not None and 'pressure_gauge' not in plain


def test_blocks_nest_to_a_limit_so_that_a_draft_ends() -> None:
    rules = dict(line.split(': ', 1) for line in surface.grammar(CELL.toolset, CELL.world).splitlines())
    assert rules[f'item_{surface.MOST_NESTED}'] == 'call'
    assert 'branch_1' in rules['item_1'] and rules['block_1'].endswith(f'{{0,{surface.MOST_ITEMS - 1}}}')


def test_a_condition_with_a_number_looks_at_a_reading() -> None:
    ways = surface.Ways(numbers=frozenset({4.0}), numbers_compared=True)
    rules = dict(line.split(': ', 1) for line in surface.grammar(CELL.toolset, CELL.world, ways).splitlines())
    assert rules['condition'] == 'c_read_gauge OP ("4")'


def test_a_draft_that_does_not_end_is_asked_for_again() -> None:
    right = 'navigate_to(pump)\nnavigate_to(valve_station)'
    model = ScriptedModel([right, right])
    outcome = Planner(CELL.world, CELL.toolset, _Endless(model)).plan('make a round: pump, valve station', START)
    assert (
        outcome.kind == 'plan'
        and 'draft 1 refused: the draft does not end: write only what the command asks for' in outcome.notes
    )


class _Endless:
    """A model whose first answer is cut off."""

    model_id = 'endless'

    def __init__(self, after: ScriptedModel) -> None:
        self._after, self._is_first = after, True

    def generate(self, request: Any, **options: Any) -> Any:
        answer = self._after.generate(request, **options)
        answer = replace(answer, finish='length') if self._is_first else answer
        self._is_first = False
        return answer
