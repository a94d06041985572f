# SPDX-License-Identifier: Apache-2.0
"""The rules that hold a draft against the operator's words, a table each: commands, names, numbers, gaps, doubts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gemma4_ros.backends.scripted import ScriptedModel
from gemma4_ros.core.errors import CommandError
from gemma4_ros.core.facts import State, parse_fact
from gemma4_ros.core.planning import command, coverage, english, surface
from gemma4_ros.core.planning.clauses import Clauses
from gemma4_ros.core.planning.mentions import Lexicon, Reading, stem
from gemma4_ros.core.planning.planner import Outcome, Planner
from gemma4_ros.core.planning.symbolic import Symbolic
from gemma4_ros.core.tools import load_tools
from gemma4_ros.core.world_file import load_world

ROOT = Path(__file__).resolve().parents[2]


def _load(world_file: str, tools_file: str) -> Symbolic:
    world = load_world((ROOT / world_file).read_text(encoding='utf-8'), world_file)
    return Symbolic(world, load_tools([(tools_file, (ROOT / tools_file).read_text(encoding='utf-8'))], world))


CELL = _load('config/world.yaml', 'config/tools/cell.yaml')
BENCH = _load('config/worlds/bench.yaml', 'config/tools/arm.yaml')
WORDS = {id(robot): Lexicon(robot.world, robot.toolset) for robot in (CELL, BENCH)}


def read(text: str, robot: Symbolic = CELL) -> Reading:
    """Take the words of a command apart."""
    return WORDS[id(robot)].read(text)


def state(*facts: str, robot: Symbolic = CELL) -> State:
    """Return the state at the start with other facts."""
    return robot.world.initial.with_facts(parse_fact(text) for text in facts)


def reasons(text: str, draft: str, robot: Symbolic = CELL, facts: tuple[str, ...] = ()) -> list[str]:
    """Return what a draft leaves out of a command."""
    parsed = surface.parse(draft, robot.toolset, robot.world)
    now = state(*facts, robot=robot)
    return [gap.reason for gap in coverage.gaps(parsed, read(text, robot), robot.world, robot.toolset, now)]


# Command: what is taken at all ---------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ('text', 'cleaned'),
    [
        ('  go \t to\nthe\u00a0dock ', 'go to the dock'),
        ('caf\u0065\u0301', 'caf\u00e9'),
        ('x' * command.MAX_CHARACTERS, 'x' * command.MAX_CHARACTERS),
        ('7', '7'),
    ],
)
def test_a_command_is_taken_in_one_form(text: str, cleaned: str) -> None:
    assert command.clean(text) == cleaned == command.clean(cleaned)


@pytest.mark.parametrize(
    ('text', 'saying'),
    [
        ('', 'is empty; say what to do'),
        (' \n ', 'is empty'),
        ('?!...', 'is empty'),
        ('x' * 1001, 'has 1001 characters; at most 1000 are taken'),
        ('go\x07', r'control character \(U\+0007\) at position 3; type it again'),
        ('go\u202e to', r'U\+202E'),
        ('g\u200bo', r'U\+200B'),
        ('\ud800go', r'U\+D800'),
    ],
)
def test_a_command_that_cannot_be_taken_says_why(text: str, saying: str) -> None:
    with pytest.raises(CommandError, match=saying):
        command.clean(text)


@pytest.mark.parametrize(
    ('text', 'share', 'languages', 'is_taken'),
    [
        ('fahre bitte zur Pumpe', 0.1, ('en',), False),
        ('fahre bitte zur Pumpe', 0.1, ('en', 'de'), True),
        ('go to the pump', command.MIN_KNOWN_SHARE, ('en',), True),
        ('stop now', 0.0, ('en',), True),  # two words say nothing about a language
        ('иди к насосу', 1.0, ('en',), False),
        ('打开阀门', 1.0, ('en',), False),
        ('go to the café', 1.0, ('en',), True),
    ],
)
def test_the_language_is_checked_where_the_model_reads_english_only(
    text: str, share: float, languages: tuple[str, ...], is_taken: bool
) -> None:
    if is_taken:
        command.check_language(text, share, languages)
        return
    with pytest.raises(CommandError, match='English only; say it in English'):
        command.check_language(text, share, languages)


@pytest.mark.parametrize(
    'text',
    [
        'set the panel to 8e0 bar', 'set the panel to 0x8 bar', 'set it to 1_000 pascal', 'set it to 1,000 pascal',
        'set 1.2.3 bar', 'set it to 3/4 bar', 'set it to ½ bar', 'set it to ٣ bar', 'a dozen bar', 'half a dozen bar',
        'lower it by 0.4 bar', 'raise the pressure by about half a bar', 'reduce it by 0.4', 'add another 0.5 bar',
        'turn the speed up by 200 rpm', 'increase the speed by 0.2 m/s',
        'set it 0.4 bar higher', 'ten percent less', 'turn it down by ten percent',
        'set it to 1,000, then go to the dock',
        'set it to 8e0, then go', 'set it to 1e3bar', 'set it to 3/4, then go', 'set it to 1,234,567, ok',
        'lower it 0.4 bar', 'increase the pressure 0.5 bar', 'raise the temperature by 5 degrees',
    ],
)  # fmt: skip
def test_a_number_that_could_be_another_one_is_refused(text: str) -> None:
    with pytest.raises(CommandError, match=r'is not taken as a number|changes a value by an amount'):
        _numbers(text)


@pytest.mark.parametrize(
    'text',
    [
        'set it to 2,5 bar', 'set it to 0.75 bar', 'set it to 1000 pascal', 'increase the pressure to 3 bar',
        'if it is 4 bar or more close the valve', 'if it is more than 4 bar close it', 'is it lower than 3 bar',
        'back up by 0.5 m', 'lower the arm by 10 cm', 'wait 20 seconds more', 'read it once more',
        'turn left by 1.5 rad', 'turn by 90', 'turn left by 90 degrees', 'wait another 5 minutes',
        'wait 5 minutes more',
        'wait another 10 sec', 'raise the arm by 20 centimeters', 'lower the lift by 10 inches',
        'bring me the box by 3 pm',
        'drop the box by bay 4', 'bring the crate by table 2', 'turn around by tank 3', 'go to bays 1,2,3',
        'go to tank T-1/2',
        'if the gauge reads 3 bar lower the arm', 'raise the 5 kg box', 'raise the flag if the pressure is 3 bar',
        'read the CO₂ sensor',
        'bring the red box by the pump and wait 3 seconds', 'pick another two boxes', 'go to bay 3 and pump 2',
    ],
)  # fmt: skip
def test_a_plain_number_is_taken(text: str) -> None:
    _numbers(text)


def _numbers(text: str) -> None:
    command.check_numerals(command.clean(text))
    reading = WORDS[id(CELL)].read(text)
    command.check_changes(reading.words, reading.quantities)


# Words: names, negations, numbers, what is not there -----------------------------------------------------------------
@pytest.mark.parametrize(
    ('word', 'stemmed'),
    [
        ('valves', 'valve'),
        ('Boxes', 'box'),
        ('batteries', 'battery'),
        ('switches', 'switch'),
        ('glasses', 'glass'),
        ('glass', 'glass'),
        ('status', 'status'),
        ('axis', 'axis'),
        ('gas', 'gas'),
        ('its', 'its'),
    ],
)
def test_a_plural_has_the_stem_of_its_singular(word: str, stemmed: str) -> None:
    assert stem(word) in (stemmed, stem(stemmed))


def test_word_classes_of_one_sentence_do_not_contradict() -> None:
    assert not english.NEGATIONS & english.DETERMINERS
    assert not english.NEGATIONS & english.CLAUSE_ENDS  # or a negation would end where it begins
    assert english.NEGATIONS <= english.FUNCTION_WORDS and set(english.NUMBERS) <= english.FUNCTION_WORDS


@pytest.mark.parametrize(
    ('text', 'named'),
    [
        ('bring the red toolbox to the pump', ['red_toolbox', 'pump']),
        ('bring the RED-TOOLBOX to the red_toolbox', ['red_toolbox', 'red_toolbox']),
        ('close the main line valve', ['main_valve']),
        ('close the bypass valve', ['bypass_valve']),
        ('take it to the charging station', ['charging_dock']),
        ('photo of pump P-7', ['pump']),
        ('take the filters', ['spare_filter']),
        ('sing a song', []),
    ],
)
def test_names_and_other_words_for_things_are_found(text: str, named: list[str]) -> None:
    mentions = read(text).mentions
    assert [mention.ids for mention in mentions] == [(name,) for name in named]
    assert all(mention.is_exact for mention in mentions)


def test_the_last_word_of_names_may_stand_for_several_things() -> None:
    (mention,) = read('take the box').mentions
    assert set(mention.ids) == {'red_toolbox', 'blue_crate'} and not mention.is_exact and not mention.is_plural
    assert all(read(text).mentions[0].is_plural for text in ('take the boxes', 'take both box', 'take every box'))


@pytest.mark.parametrize(
    ('text', 'negated'),
    [
        ("don't open the bypass", {'bypass_valve'}),
        ('do not open the bypass, take the crate', {'bypass_valve'}),
        ('bring the crate but not the toolbox', {'red_toolbox'}),
        ('bring the crate, never the toolbox; then go to the pump', {'red_toolbox'}),
        ('bring the crate without the filter', {'spare_filter'}),
        ('leave the crate alone', {'blue_crate'}),
        ('leave the bypass valve as it is, then go to the pump', {'bypass_valve'}),
        ('leave the crate at the pump', set()),  # put it there
        ("don't take the crate and then go to the pump", {'blue_crate'}),
        ('skip the pump. bring the crate', {'pump'}),
        ('bring the crate to the pump', set()),
    ],
)
def test_a_negation_reaches_to_the_end_of_its_clause(text: str, negated: set[str]) -> None:
    mentions = read(text).mentions
    assert {mention.ids[0] for mention in mentions if mention.is_negated} == negated


@pytest.mark.parametrize(
    ('text', 'numbers'),
    [
        ('set it to 3.2 bar', [3.2]),
        ('set it to 3,2 bar', [3.2]),
        ('wait 10s', [10.0]),
        ('above two, below 7.5', [2.0, 7.5]),
        ('set it to three point two five bar', [3.25]),
        ('five and a half bar', [5.5]),
        ('zero point five', [0.5]),
        ('ten point five', [10.5]),
        ('read it twice', [2.0]),
        ('take the red one', []),
        ('go to pump P-7', []),
        ('no number here', []),
    ],
)
def test_numbers_in_digits_and_in_words(text: str, numbers: list[float]) -> None:
    assert list(read(text).numbers) == pytest.approx(numbers)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(value=st.integers(0, 99_999), digits=st.integers(0, 3))
def test_any_decimal_number_is_read_as_it_is_written(value: int, digits: int) -> None:
    text = f'{value / 10**digits:.{digits}f}'
    assert list(read(f'set the panel to {text} bar').numbers) == [float(text)]


@pytest.mark.parametrize(
    ('text', 'unknown'),
    [
        ('bring the ladder to the pump', ['ladder']),
        ('bring the big green ladder', ['big green ladder']),
        ('take a hammer and the crate', ['hammer']),
        ('bring the crate to the pump', []),
        ('pick up that thing', []),
        ('have a look at the gauge', []),
        ('go there', []),
    ],
)
def test_things_that_the_world_has_not_are_found(text: str, unknown: list[str]) -> None:
    assert list(read(text).unknown) == unknown


def test_the_share_of_known_words_tells_english_from_other_languages() -> None:
    for text in ('bring the red toolbox to the pump', 'if the pressure is above 4 close the valve, otherwise go back'):
        assert read(text).known_share > 0.9
    for text in ('fahre bitte sofort zur Pumpe hin', 'apporte la caisse rouge ici'):
        assert read(text).known_share < command.MIN_KNOWN_SHARE
    assert read('42').known_share == 1.0


@settings(max_examples=200, deadline=None, derandomize=True)
@given(text=st.text(max_size=60))
def test_any_text_can_be_taken_apart(text: str) -> None:
    reading = read(text)
    assert 0.0 <= reading.known_share <= 1.0
    assert all(0 <= m.start < m.end <= len(reading.words) and m.ids for m in reading.mentions)


def test_tools_are_known_by_their_own_words() -> None:
    def tools(text: str) -> set[str]:
        return {name for clause in Clauses(CELL.toolset).read(read(text)) for name in clause.tools}

    assert tools('please turn off the bypass') == {'close_valve'}
    assert 'bring' in tools('fetch the crate')
    assert tools('sing the songs') == set()
    assert tools('openly') == set()  # whole words only
    assert tools('go charging') == {'dock', 'charge'}
    assert tools('move the arm to ready') == {'move_arm'}  # the longest phrase that fits


# Gaps between words and draft ----------------------------------------------------------------------------------------
IF_HIGH = 'if read_gauge(pressure_gauge) > 4 {\nclose_valve(main_valve)\n}'


@pytest.mark.parametrize(
    ('text', 'draft'),
    [
        ('bring the toolbox to the pump', 'bring(red_toolbox, pump)'),
        ('bring the toolbox from storage to the pump', 'bring(red_toolbox, pump)'),  # its place explains storage
        ('go to the valve station and close the main valve', 'close_valve(main_valve)'),
        ('go to the dock and dock', 'dock()'),  # what docking needs holds the dock
        ('set the pressure set-point to 3 bar', 'set_panel_value(setpoint_panel, 3)'),
        ('take the red box to the pump', 'bring(red_toolbox, pump)'),
        ('take the box, I mean the toolbox, to the pump', 'bring(red_toolbox, pump)'),
        ('take both boxes to the pump', 'bring(red_toolbox, pump)\nbring(blue_crate, pump)'),
        ('bring the crate to the pump, but not the toolbox', 'bring(blue_crate, pump)'),
        ('go to where the filter is', 'navigate_to(control_desk)'),
        ('take the toolbox to where the bottle is', 'bring(red_toolbox, pump)'),
        ('read the gauge three times', 'repeat 3 {\nread_gauge(pressure_gauge)\n}'),
        ('close the valve if the gauge reads above 4', IF_HIGH),
        ('if it is above four bar at the pump, close the valve', IF_HIGH),
        ('set the panel to 320 kPa', 'set_panel_value(setpoint_panel, 3.2)'),
        ('set the panel to 3200 mbar', 'set_panel_value(setpoint_panel, 3.2)'),
        ('set the panel to 0.32 MPa', 'set_panel_value(setpoint_panel, 3.2)'),
        ('set the panel to 3,2 bar', 'set_panel_value(setpoint_panel, 3.2)'),
        ('set the panel to zero point five bar', 'set_panel_value(setpoint_panel, 0.5)'),
    ],
)
def test_a_draft_that_uses_every_word_has_no_gap(text: str, draft: str) -> None:
    assert reasons(text, draft) == []


@pytest.mark.parametrize(
    ('text', 'draft', 'saying'),
    [
        ('bring the toolbox to the pump', 'pick(red_toolbox)', "'pump' (pump) is in the command but not"),
        ('bring the toolbox to the pump', 'bring(blue_crate, pump)', "'toolbox' (red_toolbox) is in the command"),
        ('bring the crate and the filter to the pump', 'bring(blue_crate, pump)', "'filter'"),
        ('close the bypass', 'close_valve(main_valve)', "'bypass'"),
        ('bring the ladder to the pump', 'bring(red_toolbox, pump)', "there is no 'ladder' in the lists"),
        ('go to where the filter is', 'navigate_to(pump)', "'filter'"),
        ('take the box to the pump', 'bring(red_toolbox, pump)', "'box' may be red_toolbox or blue_crate: ask which"),
        (
            "bring the crate to the pump, don't touch the toolbox",
            'bring(blue_crate, pump)\npick(red_toolbox)',
            'not to',
        ),
        (
            'bring the toolbox to storage, not to the pump',
            'bring(red_toolbox, pump)',
            "not to do something with 'pump'",
        ),
        (
            'close the valve, but leave the bypass alone',
            'close_valve(main_valve)\nclose_valve(bypass_valve)',
            "'bypass'",
        ),
        ('set the panel to 3.2 bar', 'set_panel_value(setpoint_panel, 3.3)', 'the number 3.2 is in the command'),
        ('set the panel to 3,2 bar', 'set_panel_value(setpoint_panel, 3)', 'the number 3.2'),
        ('set the panel to three point two bar', 'set_panel_value(setpoint_panel, 3)', 'the number 3.2'),
        ('set the panel to 5 bar', 'set_panel_value(setpoint_panel, 500)', 'the number 5'),
        ('set the panel to 320 kPa', 'set_panel_value(setpoint_panel, 3.1)', 'the number 320'),
        ('set the panel to 320', 'set_panel_value(setpoint_panel, 3.2)', 'the number 320'),  # bar is not kPa
        ('read the gauge three times', 'read_gauge(pressure_gauge)', 'the number 3'),
        ('close the valve if the pressure is above 6', IF_HIGH, 'the number 6'),
        ('close the valve if the pressure is above 4', 'close_valve(main_valve)', 'the number 4'),
    ],
)
def test_a_draft_that_leaves_out_or_adds_something_has_a_gap(text: str, draft: str, saying: str) -> None:
    found = reasons(text, draft)
    assert any(saying in reason for reason in found), found


def test_a_thing_that_may_be_several_comes_with_the_choices() -> None:
    draft = surface.parse('bring(red_toolbox, pump)', CELL.toolset, CELL.world)
    (gap,) = coverage.gaps(draft, read('take the box to the pump'), CELL.world, CELL.toolset, state())
    assert set(gap.choices) == {'red_toolbox', 'blue_crate'}
    (gap,) = coverage.gaps(draft, read('take the ladder to the pump'), CELL.world, CELL.toolset, state())
    assert gap.unknown == 'ladder' and gap.choices == ()


def test_the_place_tells_which_of_several_things_is_meant() -> None:
    apart = ('at(blue_crate, valve_station)',)
    text = 'take the box from storage to the pump'
    assert reasons(text, 'bring(red_toolbox, pump)', facts=apart) == []
    assert any('ask which' in reason for reason in reasons(text, 'bring(red_toolbox, pump)'))  # both stand there
    assert reasons(text, 'bring(blue_crate, pump)', facts=apart)


def test_units_of_another_robot() -> None:
    assert reasons('wait 90 seconds', 'wait(90)', BENCH) == []
    assert reasons('grip with 35 newton', 'set_grip_force(35)', BENCH) == []
    assert any('35' in reason for reason in reasons('grip with 35 newton', 'set_grip_force(36)', BENCH))


# Pronouns ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ('text', 'draft', 'facts', 'is_unclear'),
    [
        ('pick it up', 'pick(red_toolbox)', (), True),
        ('bring it to the pump', 'bring(sample_bottle, pump)', (), True),
        ('put that down at the pump', 'place(red_toolbox, pump)', (), True),
        ('close them', 'close_valve(main_valve)', (), True),
        # what the hand holds is no riddle
        (
            'put it down here',
            'place(red_toolbox, pump)',
            ('holding(robot, red_toolbox)', 'at(red_toolbox, robot)'),
            False,
        ),
        ('take the toolbox and bring it to the pump', 'bring(red_toolbox, pump)', (), False),
        ('pick it up, the toolbox', 'pick(red_toolbox)', (), False),
        ('go to the pump and read it', 'navigate_to(pump)\nread_gauge(pressure_gauge)', (), False),
        ('bring that toolbox to the pump', 'bring(red_toolbox, pump)', (), False),
        ('go to the pump', 'navigate_to(pump)', (), False),
        ('take it easy and go to the pump', 'navigate_to(pump)', (), False),  # nothing was picked for it
    ],
)
def test_a_pronoun_without_anything_before_it_is_asked_about(
    text: str, draft: str, facts: tuple[str, ...], is_unclear: bool
) -> None:
    parsed = surface.parse(draft, CELL.toolset, CELL.world)
    gap = coverage.unclear_pronoun(parsed, read(text), CELL.world, state(*facts))
    assert (gap is not None) == is_unclear
    if gap is not None:
        assert 'ask which' in gap.reason and len(gap.choices) > 1


# Answers that are doubted --------------------------------------------------------------------------------------------
def ask(text: str, *answers: str, **more: Any) -> tuple[Outcome, int]:
    """Return the planner's outcome and how often the model was asked."""
    model = ScriptedModel(answers)
    outcome = Planner(CELL.world, CELL.toolset, model).plan(text, state(), **more)
    return outcome, len(model.requests)


def test_an_order_is_not_answered_as_if_it_were_a_question() -> None:
    outcome, calls = ask('arm into ready position', 'answer(at(robot))', 'move_arm(ready)')
    assert (outcome.kind, calls) == ('plan', 2)
    outcome, calls = ask('where is the toolbox?', 'answer(at(red_toolbox))')
    assert (outcome.kind, calls) == ('answer', 1) and 'storage' in outcome.text


def test_a_refusal_of_what_is_not_there_is_believed() -> None:
    outcome, calls = ask('bring the ladder to the pump', 'cannot("no such thing: ladder")')
    assert (outcome.kind, calls) == ('cannot', 1) and 'ladder' in outcome.text


def test_a_guess_becomes_a_question_with_the_choices() -> None:
    outcome, _ = ask('take the box to the pump', *['bring(red_toolbox, pump)'] * 3)
    assert outcome.kind == 'ask' and set(outcome.choices) == {'red_toolbox', 'blue_crate'}
    outcome, _ = ask('pick it up', *['pick(red_toolbox)'] * 3)
    assert outcome.kind == 'ask' and 'red_toolbox' in outcome.choices
