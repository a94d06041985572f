# SPDX-License-Identifier: Apache-2.0
"""The surface that the model writes: what the grammar lets through, what the parser reads, and that both agree."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gemma4_ros.core.errors import DraftError
from gemma4_ros.core.planning import surface
from gemma4_ros.core.planning.draft import Branch, Call, Draft, Item, Loop, Together, calls
from gemma4_ros.core.tools import Arg, Intent, Tool, Toolset, load_tools
from gemma4_ros.core.world import World
from gemma4_ros.core.world_file import load_world

llguidance = pytest.importorskip('llguidance')
ROOT = Path(__file__).resolve().parents[2]
FILES = [
    ('config/world.yaml', 'config/tools/cell.yaml'),
    ('config/worlds/bench.yaml', 'config/tools/arm.yaml'),
    ('config/worlds/lab.yaml', 'config/tools/lab.yaml'),
    ('config/worlds/warehouse.yaml', 'config/tools/warehouse.yaml'),
]


def _load(world_file: str, tools_file: str) -> tuple[Toolset, World]:
    world = load_world((ROOT / world_file).read_text(encoding='utf-8'), world_file)
    return load_tools([(tools_file, (ROOT / tools_file).read_text(encoding='utf-8'))], world), world


HALL_TOOLS, HALL = _load('test/data/hall/world.yaml', 'test/data/hall/tools.yaml')


def parse(text: str) -> Draft:
    """Read one answer of the model."""
    return surface.parse(text, HALL_TOOLS, HALL)


def items(text: str) -> tuple[Item, ...]:
    """Read an answer that is something to do."""
    draft = parse(text)
    assert (draft.kind, draft.text, draft.choices) == ('do', '', ())
    return draft.items


def refusal(text: str) -> str:
    """Return what is said about an answer that is none."""
    with pytest.raises(DraftError) as caught:
        parse(text)
    return str(caught.value)


HALT, DOOR, RACK = Call('halt', {}), Call('drive', {'to': 'door'}), Call('drive', {'to': 'rack'})


# Parser: forms -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ('text', 'call'),
    [
        ('halt()', HALT),
        ('drive(rack)', RACK),
        ('  drive( rack )  ', RACK),
        ('grip(box, 2.5)', Call('grip', {'item': 'box', 'force_n': 2.5})),
        ('grip(jar, -2)', Call('grip', {'item': 'jar', 'force_n': -2.0})),
        ('grip(box,2.7)', Call('grip', {'item': 'box', 'force_n': 2.5})),  # in the tool's steps
        ('turn(12)', Call('turn', {'times': 12})),
        ('turn(-0)', Call('turn', {'times': 0})),
        ('tilt(true)', Call('tilt', {'up': True})),
        ('tilt(false)', Call('tilt', {'up': False})),
        ('free(0.125)', Call('free', {'share': 0.125})),
        ('bring(jar, door)', Call('bring', {'item': 'jar', 'to': 'door'})),
    ],
)
def test_a_call_of_a_tool_or_intent(text: str, call: Call) -> None:
    assert items(text) == (call,)
    assert list(items(text)[0].args) == list(call.args)  # type: ignore[union-attr]


def test_numbers_have_the_type_of_their_argument() -> None:
    turn, grip = items('turn(3)\ngrip(box, 3)')
    assert isinstance(turn, Call) and isinstance(grip, Call)
    assert type(turn.args['times']) is int and type(grip.args['force_n']) is float
    (free,) = items('free(-0.0)')
    assert str(free) == 'free(0.0)'  # no sign, which canonical JSON cannot write


def test_calls_stand_one_a_line_in_their_order() -> None:
    assert items('drive(rack)\n\n  halt()\r\ndrive(door)\n') == (RACK, HALT, DOOR)


@pytest.mark.parametrize('op', ['<', '<=', '>', '>=', '==', '!='])
def test_a_condition_compares_a_reading_with_a_number(op: str) -> None:
    (branch,) = items(f'if gauge(dial) {op} 4.5 {{\nhalt()\n}}')
    # the first number that the tool returns, in the unit of what is read, though a text stands before it
    assert branch == Branch(Call('gauge', {'dial': 'dial'}), 'value', op, 4.5, '$dial.unit', (HALT,), ())  # type: ignore[arg-type]


def test_a_condition_has_two_branches() -> None:
    (branch,) = items('if count() > 2 {\ndrive(door)\nhalt()\n} else {\ndrive(rack)\n}')
    assert branch == Branch(Call('count', {}), 'found', '>', 2.0, '1', (DOOR, HALT), (RACK,))


def test_conditions_on_texts_truths_and_the_state() -> None:
    text, truth, state, other = items(
        'if label(jar) == A-7 {\nhalt()\n}\n'
        'if full(box) == true {\nhalt()\n}\n'
        'if at(box) == rack {\nhalt()\n}\n'
        'if lamp(robot) == lit {\nhalt()\n} else {\ndrive(rack)\n}'
    )
    assert text == Branch(Call('label', {'item': 'jar'}), 'text', '==', 'A-7', '', (HALT,))
    assert truth == Branch(Call('full', {'item': 'box'}), 'full', '==', True, '', (HALT,))
    assert state == Branch(Call('at', {'of': 'box'}), '', '==', 'rack', '', (HALT,))
    assert other == Branch(Call('lamp', {'of': 'robot'}), '', '==', 'lit', '', (HALT,), (RACK,))


def test_a_negative_threshold_is_a_number() -> None:
    (branch,) = items('if gauge(dial) < -0.5 {\nhalt()\n}')
    assert isinstance(branch, Branch) and branch.value == -0.5


@pytest.mark.parametrize('times', [1, 2, 19, 20])
def test_a_repetition(times: int) -> None:
    assert items(f'repeat {times} {{\ndrive(door)\ndrive(rack)\n}}') == (Loop(times, (DOOR, RACK)),)


def test_two_things_at_once() -> None:
    assert items('both {\ndrive(door)\n} and {\nhalt()\nhalt()\n}') == (Together(((DOOR,), (HALT, HALT))),)


def test_blocks_stand_in_blocks() -> None:
    text = """\
repeat 2 {
  if gauge(dial) > 1 {
    both {
      halt()
    } and {
      repeat 3 {
        drive(door)
      }
    }
  } else {
    if count() == 0 {
      drive(rack)
    }
  }
  halt()
}
drive(door)"""
    inner = Branch(Call('count', {}), 'found', '==', 0.0, '1', (RACK,))
    branch = Branch(
        Call('gauge', {'dial': 'dial'}),
        'value',
        '>',
        1.0,
        '$dial.unit',
        (Together(((HALT,), (Loop(3, (DOOR,)),))),),
        (inner,),
    )
    read = items(text)
    assert read == (Loop(2, (branch, HALT)), DOOR)
    assert [call.name for call in calls(read)] == ['gauge', 'halt', 'drive', 'count', 'drive', 'halt', 'drive']


@pytest.mark.parametrize(
    ('text', 'draft'),
    [
        ('cannot("no such thing: ladder")', Draft('cannot', text='no such thing: ladder')),
        ('  cannot(" x ")\n', Draft('cannot', text='x')),
        ('ask(object)', Draft('ask', text='object', choices=('object',))),
        ('ask(box, jar)', Draft('ask', text='box, jar', choices=('box', 'jar'))),
        ('answer(at(box))', Draft('answer', text='at(box)')),
        ('ask( box,jar )', Draft('ask', text=' box,jar ', choices=('box', 'jar'))),
        ('answer( lamp( robot ) )', Draft('answer', text='lamp(robot)')),
        ('answer(contents(rack))', Draft('answer', text='contents(rack)')),
        ('answer(tools)', Draft('answer', text='tools')),
    ],
)
def test_answers_that_are_nothing_to_do(text: str, draft: Draft) -> None:
    assert parse(text) == draft


# Parser: refusals ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ('text', 'saying'),
    [
        ('', 'the model wrote nothing'),
        (' \n\t\n', 'the model wrote nothing'),
        ('Sure! I will drive to the rack.', "line 1: 'Sure! I will drive to the rack.' is no call of a known tool"),
        ('halt()\nDone.', "line 2: 'Done.' is no call"),
        ('halt(); drive(door)', 'line 1: '),
        ('1. halt()', 'line 1: '),
        ('halt', "line 1: 'halt' is no call"),
        ('halt(', "line 1: 'halt(' is no call"),
        ('fly(door)', "line 1: 'fly(door)' is no call of a known tool"),
        ('Halt()', 'line 1: '),
        ('drive()', 'line 1: drive takes 1 arguments, got 0'),
        ('drive(door, rack)', 'line 1: drive takes 1 arguments, got 2'),
        ('halt(door)', 'line 1: halt takes 0 arguments, got 1'),
        ('bring(jar)', 'line 1: bring takes 2 arguments, got 1'),
        ('drive(moon)', "line 1: to: unknown 'moon'"),
        ('drive(box)', "line 1: to: unknown 'box'"),
        ('drive("door")', 'line 1: to: unknown'),
        ('halt()\nbring(door, jar)', "line 2: item: unknown 'door'"),
        *[(f'grip(box, {n})', f"line 1: '{n}' is no number") for n in ('strong', 'nan', '-inf', '1e999', '', '1e3')],
        *[(f'grip(box, {n})', f"line 1: '{n}' is no number") for n in ('1_0', '４', '.5', '+5', '5.', '0x5', '1 2')],
        *[(f'turn({n})', f"1: times: '{n}' is no whole number; write digits") for n in ('2.5', '2.0', '1e3', '²')],
        *[(f'tilt({word})', f"line 1: '{word}' is neither true nor false") for word in ('maybe', 'True', '1')],
        pytest.param(f'turn({"9" * 5000})', 'is no whole number', id='a long number'),
        ('answer', "line 1: 'answer' is no call"),
        ('answer()', 'line 1: answer(): write one of tools, places, objects, equipment, at(...), lamp(...), contents('),
        *[(f'answer({q})', f'answer({q}): write one of') for q in ('weather', 'weather(box)', 'near(box)', 'at')],
        ('answer(at(bxo))', "line 1: at: unknown 'bxo'; did you mean 'box'?"),
        ('answer(at())', "line 1: at: unknown ''"),
        ('answer(at(box, jar))', "line 1: at: unknown 'box, jar'"),
        ('answer(contents(box))', "line 1: contents: unknown 'box'; known are door, rack"),
        ('answer(tools)\nhalt()', "line 1: 'answer(tools)' is no call of a known tool, and stands alone"),
        ('ask(box, jar)\nhalt()', "line 1: 'ask(box, jar)' is no call of a known tool, and stands alone"),
        ('ask()', "line 1: ask takes one of task, object, place, value, or two things or more; got ''"),
        ('ask(box)', "or two things or more; got 'box'"),
        ('ask(ladder)', "or two things or more; got 'ladder'"),
        ('ask(box, ladder)', "line 1: ask: unknown 'ladder'; known are box, dial, door, jar, rack"),
        *[(f'ask(box, {word})', f"line 1: ask: unknown '{word}'") for word in ('task', 'robot', '')],
        ('cannot(it is far)', 'line 1: '),
        ('halt()\ncannot("x")', 'line 2: '),
        ('halt()\nask(object)', 'line 2: '),
        ('cannot("x")\nhalt()', 'line 1: '),
        ('if {\nhalt()\n}', 'line 1: '),
        ('if gauge(dial) {\nhalt()\n}', "line 1: 'gauge(dial)' is no condition"),
        ('if gauge(dial) > {\nhalt()\n}', 'line 1: '),
        ('if gauge(dial) > high {\nhalt()\n}', "line 1: 'high' is no number"),
        ('if gauge(dial)>4 {\nhalt()\n}', "line 1: 'gauge(dial)>4' is no condition"),
        ('if gauge(clock) > 4 {\nhalt()\n}', "line 1: dial: unknown 'clock'"),
        ('if weather() > 4 {\nhalt()\n}', "line 1: 'weather()' is no call of a known tool"),
        ('if halt() > 4 {\nhalt()\n}', 'line 1: halt returns nothing to compare'),
        ('if bring(box, door) > 4 {\nhalt()\n}', 'line 1: bring returns nothing to compare'),
        ('if gauge(dial) > 4e0 {\nhalt()\n}', "line 1: '4e0' is no number"),
        ('if grip(box, 1) > 1 {\nhalt()\n}', 'line 1: grip does more than read; a condition looks at gauge, label,'),
        ('if at(ladder) == rack {\nhalt()\n}', "line 1: at: unknown 'ladder'"),
        ('if at(box == rack {\nhalt()\n}', "line 1: 'at(box' is no call"),
        ('if at(box) == moon {\nhalt()\n}', "line 1: at: unknown 'moon'"),
        ('if near(box) == yes {\nhalt()\n}', "line 1: 'near(box)' is no call of a known tool"),
        ('if contents(rack) == box {\nhalt()\n}', "line 1: 'contents(rack)' is no call of a known tool"),
        *[(f'if {c} > {v} {{\n', f'1: {c} is no number') for c, v in (('at(box)', 'rack'), ('full(box)', 'true'))],
        ('halt()\nif label(box) < a {\nhalt()\n}', 'line 2: label(box) is no number: compare it with ==, not <'),
        ('if label(box) == a b {\nhalt()\n}', "line 1: 'a b' is no text of letters"),
        ('if full(box) == maybe {\nhalt()\n}', "line 1: 'maybe' is neither true nor false"),
        ('if gauge(dial) > 4 {\n}', 'line 2: an empty block'),
        ('if gauge(dial) > 4 {\nhalt()\n} else {\n}', 'line 4: an empty block'),
        ('if gauge(dial) > 4 {\nhalt()', "line 3: '}' is missing"),
        ('if gauge(dial) > 4 {\nhalt()\n} else {\nhalt()', "line 5: '}' is missing"),
        ('if gauge(dial) > 4 {\nhalt()\n} otherwise {\nhalt()\n}', "line 3: '}' is missing"),
        ('} else {\nhalt()\n}', 'line 1: an empty block'),
        ('halt()\n}', "line 2: '}' closes nothing"),
        *[pytest.param(f'{h} {{\n' * 999, '14: blocks stand deeper than 13 in', id=h) for h in ('repeat 2', 'both')],
        ('if at(box) == rack {\n' * 13 + 'halt()\n} else {\nboth {\n', 'line 16: blocks stand deeper'),
        *[(f'repeat {n} {{\nhalt()\n}}', f"line 1: repeat takes 1 to 20 times, got '{n}'") for n in ('0', '21', '-2')],
        *[(f'repeat {n} {{\nhalt()\n}}', f"takes 1 to 20 times, got '{n}'") for n in ('2.5', 'often', '²', '٣', '100')],
        ('repeat {\nhalt()\n}', 'line 1: '),
        ('repeat 2 {\n}', 'line 2: an empty block'),
        ('repeat 2 {', 'line 2: an empty block'),
        ('both {\nhalt()\n}', "line 3: '} and {' is missing"),
        ('both {\nhalt()\n} and {\n}', 'line 4: an empty block'),
        ('both {\nhalt()\n} and {\nhalt()', "line 5: '}' is missing"),
        ('both {\n} and {\nhalt()\n}', 'line 2: an empty block'),
    ],
)
def test_what_is_none_of_the_forms_is_refused_with_its_line(text: str, saying: str) -> None:
    assert saying in refusal(text)


def test_blocks_stand_in_each_other_up_to_the_limit() -> None:
    (item,) = items('repeat 2 {\n' * 13 + 'halt()\n' + '}\n' * 13)
    for _ in range(13):
        assert isinstance(item, Loop)
        (item,) = item.body
    assert item == HALT


def test_a_long_wrong_line_is_not_repeated_in_full() -> None:
    assert len(refusal('x' * 5000)) < 200


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    lines=st.lists(
        st.one_of(
            st.sampled_from(
                ['halt()', 'drive(door)', 'grip(box, 1)', '}', '} else {', '} and {', 'both {', 'repeat 2 {', 'turn(x)']
            ),
            st.sampled_from(['if gauge(dial) > 1 {', 'if at(box) == rack {', 'if count() {', 'cannot("x")', 'turn(2']),
            st.text(st.characters(exclude_categories=('Cs',)), max_size=12),
        ),
        max_size=8,
    )
)
def test_any_text_gives_a_draft_or_a_refusal(lines: list[str]) -> None:
    text = '\n'.join(lines)
    try:
        draft = parse(text)
    except DraftError:
        return
    if draft.kind == 'do':
        assert parse(surface.write(draft.items)).items == draft.items


# Grammar -------------------------------------------------------------------------------------------------------------
TOKENIZER = llguidance.LLTokenizer('byte')


def compiled(toolset: Toolset, world: World, ways: surface.Ways | None = None) -> str:
    """Return the grammar as the engine takes it."""
    text = surface.grammar(toolset, world) if ways is None else surface.grammar(toolset, world, ways)
    grammar: str = llguidance.LLMatcher.grammar_from_lark(text)
    return grammar


def lets_through(grammar: str, text: str) -> bool:
    """Say whether the model could have written this text, and nothing more."""
    matcher = llguidance.LLMatcher(TOKENIZER, grammar)
    data = text.encode()
    return matcher.try_consume_tokens(list(data)) == len(data) and bool(matcher.is_accepting())


GRAMMAR = compiled(HALL_TOOLS, HALL)


@pytest.mark.parametrize(
    'text',
    [
        'halt()',
        'bring(box, door)\ndrive(rack)',
        'grip(box, -2)',
        'grip(box, 7.5)',
        'turn(12)',
        'free(0.25)',
        'tilt(true)',
        'if gauge(dial) > 4.0 {\nhalt()\n}',
        'if gauge(dial) <= -4 {\nhalt()\n} else {\ndrive(rack)\n}',
        'if label(box) == A-7 {\nhalt()\n}',
        'if full(box) == false {\nhalt()\n}',
        'if at(box) == rack {\nhalt()\n}',
        'repeat 2 {\nhalt()\n}',
        'repeat 20 {\nrepeat 3 {\nhalt()\n}\n}',
        'both {\nhalt()\n} and {\ndrive(rack)\n}',
        'ask(task)',
        'ask(box, jar)',
        'answer(at(box))',
        'answer(contents(door))',
        'answer(tools)',
        'cannot("no such thing: ladder")',
    ],
)
def test_every_form_can_be_written_and_read(text: str) -> None:
    assert lets_through(GRAMMAR, text)
    parse(text)


@pytest.mark.parametrize(
    'text',
    [
        '',
        'Sure: halt()',
        'halt()\n',
        'halt() ',
        'fly(door)',
        'drive(moon)',
        'drive(box)',
        'drive(door, rack)',
        'grip(box, 8)',
        'grip(box, -2.5)',
        'turn(13)',
        'turn(0)',
        'turn(1.5)',
        'turn(1e0)',
        'free(1.01)',
        'tilt(maybe)',
        'tilt(True)',
        'ask()',
        'answer()',
        'repeat ² {\nhalt()\n}',
        # what moves is no reading, what is no number has no order
        *(f'if {c} {{\nhalt()\n}}' for c in ('at(box) > rack', 'label(box) < a', 'full(box) > true')),
        *(f'if {c} {{\nhalt()\n}}' for c in ('drive(door) > 1', 'grip(box, 1) > 1', 'halt() > 1')),
        *(f'if {c} {{\nhalt()\n}}' for c in ('gauge(dial) > high', 'at(door) == rack', 'at(box) == moon')),
        *(f'if {c} {{\nhalt()\n}}' for c in ('near(box) == yes', 'contents(rack) == box')),
        'if gauge(dial) > 4 {\n}',
        'if gauge(dial) > 4 {\nhalt()',
        'repeat 21 {\nhalt()\n}',
        'repeat 0 {\nhalt()\n}',
        'both {\nhalt()\n}',
        'ask(ladder)',
        'ask(box)',
        'answer(at(ladder))',
        'answer(weather)',
        'answer(near(box))',
        'answer(contents(box))',
        'answer(contents(robot))',
        'cannot("")',
        'cannot("a\nb")',
        'cannot("' + 'x' * 200 + '")',
        'halt()\ncannot("x")',
        'ask(task)\nhalt()',
    ],
)
def test_nothing_else_can_be_written(text: str) -> None:
    assert not lets_through(GRAMMAR, text)


KINDS = {'do': 'halt()', 'ask': 'ask(task)', 'cannot': 'cannot("x")', 'answer': 'answer(tools)'}


@pytest.mark.parametrize('left_out', KINDS)
def test_a_way_that_is_not_offered_cannot_be_taken(left_out: str) -> None:
    grammar = compiled(HALL_TOOLS, HALL, surface.Ways(**{left_out: False}))
    assert {kind for kind, text in KINDS.items() if lets_through(grammar, text)} == set(KINDS) - {left_out}


def test_without_readings_and_functions_there_are_no_conditions() -> None:
    tools = {name: HALL_TOOLS.tools[name] for name in ('halt', 'drive')}
    world = World('hall', 'map', 'robot', HALL.entities, {}, {}, {}, HALL.initial)
    grammar = compiled(Toolset(tools), world)
    assert lets_through(grammar, 'repeat 2 {\nhalt()\n}') and lets_through(grammar, 'ask(box, jar)')
    assert not lets_through(grammar, 'if gauge(dial) > 1 {\nhalt()\n}')


def test_a_question_is_left_where_nothing_else_is_and_where_nothing_is_to_choose_from() -> None:
    nothing = surface.Ways(ask=False, cannot=False, answer=False, names=frozenset())
    robot_only = World('hall', 'map', 'robot', {'robot': HALL.entities['robot']}, {}, {}, {}, HALL.initial)
    for grammar in (compiled(Toolset({}), HALL, nothing), compiled(Toolset({}), robot_only)):
        assert lets_through(grammar, 'ask(task)')
        assert not lets_through(grammar, 'halt()')


@pytest.mark.parametrize('number', [0.000012, 0.25, 7.0, 12345678.5, 1e15])
def test_a_number_of_the_command_is_offered_as_the_parser_reads_it(number: float) -> None:
    arg = Arg('force_n', 'number', low=0.0, high=1e15)
    (text,) = surface.Ways(numbers=frozenset({number})).values(arg, HALL)
    grammar = compiled(HALL_TOOLS, HALL, surface.Ways(numbers=frozenset({number})))
    condition = f'if gauge(dial) > {text} {{\nhalt()\n}}'
    assert lets_through(grammar, condition) and parse(condition).items[0].value == number  # type: ignore[union-attr]


def test_what_is_at_a_place_is_asked_only_where_things_have_places() -> None:
    assert surface.places_with_contents(HALL) == ('door', 'rack')
    for functions in ({}, {'lamp': HALL.functions['lamp']}):
        world = World('hall', 'map', 'robot', HALL.entities, {}, {}, functions, HALL.initial)
        assert surface.places_with_contents(world) == ()
        assert not lets_through(compiled(HALL_TOOLS, world), 'answer(contents(rack))')


def test_readings_are_the_tools_that_only_read_and_return_something() -> None:
    assert [tool.name for tool in surface.readings(HALL_TOOLS)] == ['gauge', 'label', 'full', 'count']
    results = [surface.main_return(HALL_TOOLS.tools[name]) for name in ('gauge', 'label', 'halt')]
    assert [result and result.name for result in results] == ['value', 'text', None]


# Grammar and parser --------------------------------------------------------------------------------------------------
def _written(grammar: str, seed: int) -> str:
    """Write a text at random, a byte at a time, as the grammar allows; empty where it did not end."""
    chance = random.Random(seed)
    matcher = llguidance.LLMatcher(TOKENIZER, grammar)
    data = bytearray()
    while len(data) < 1500:
        mask = matcher.compute_bitmask()
        allowed = [byte for byte in range(256) if mask[byte // 8] >> (byte % 8) & 1]
        if matcher.is_accepting() and (not allowed or chance.random() < 0.3):
            return data.decode()
        if ord('}') in allowed and chance.random() < 0.7:  # close what is open, or it seldom ends
            allowed = [ord('}')]
        if ord('\n') in allowed and data.endswith(b'}'):
            allowed = [ord('\n')]
        byte = chance.choice(allowed)
        assert matcher.consume_token(byte)
        data.append(byte)
    return ''


@pytest.mark.parametrize('index', range(-1, len(FILES)))
def test_whatever_the_grammar_lets_through_the_parser_reads(index: int) -> None:
    toolset, world = (HALL_TOOLS, HALL) if index < 0 else _load(*FILES[index])
    grammar = compiled(toolset, world)
    texts = [text for text in (_written(grammar, seed) for seed in range(60)) if text]
    kinds = set()
    for text in texts:
        draft = surface.parse(text, toolset, world)
        kinds.add(draft.kind)
        assert all(
            call.name in toolset.tools or call.name in toolset.intents or 'of' in call.args
            for call in calls(draft.items)
        )
        assert draft.kind != 'do' or draft.items
    assert len(texts) > 30 and kinds == {'do', 'ask', 'cannot', 'answer'}


def _args_of(tool: Tool | Intent) -> st.SearchStrategy[dict[str, Any]]:
    strategies: dict[str, st.SearchStrategy[Any]] = {}
    for arg in tool.args.values():
        if arg.type == 'enum':
            strategies[arg.name] = st.sampled_from(arg.values)
        elif arg.type == 'boolean':
            strategies[arg.name] = st.booleans()
        elif arg.type == 'integer':
            strategies[arg.name] = st.integers(int(arg.low), int(arg.high))
        elif arg.step:
            count = round((arg.high - arg.low) / arg.step)
            strategies[arg.name] = st.integers(0, count).map(lambda n, a=arg: round(a.low + n * a.step, 9))
        else:
            strategies[arg.name] = st.floats(arg.low, arg.high).map(lambda value: value + 0.0)
    return st.fixed_dictionaries(strategies)


def _call_of(tool: Tool | Intent) -> st.SearchStrategy[Call]:
    return _args_of(tool).map(lambda args: Call(tool.name, {name: args[name] for name in tool.args}))


CALLS = st.one_of([_call_of(tool) for tool in (*HALL_TOOLS.tools.values(), *HALL_TOOLS.intents.values())])
OPS = st.sampled_from(['<', '<=', '>', '>=', '=='])
NUMBERS = st.floats(-99_999, 99_999).map(lambda value: round(value, 3) + 0.0)


def _block(nodes: st.SearchStrategy[Item]) -> st.SearchStrategy[tuple[Item, ...]]:
    return st.lists(nodes, min_size=1, max_size=3).map(tuple)


def _deeper(nodes: st.SearchStrategy[Item]) -> st.SearchStrategy[Item]:
    block = _block(nodes)
    rest = st.one_of(st.just(()), block)
    read = Call('gauge', {'dial': 'dial'})
    return st.one_of(
        st.builds(Loop, st.integers(2, 20), block),
        st.builds(lambda a, b: Together((a, b)), block, block),
        st.builds(lambda op, v, a, b: Branch(read, 'value', op, v, '$dial.unit', a, b), OPS, NUMBERS, block, rest),
        st.builds(
            lambda i, v, a, b: Branch(Call('label', {'item': i}), 'text', '==', v, '', a, b),
            st.sampled_from(['box', 'jar']),
            st.from_regex(r'[a-zA-Z0-9_-]{1,32}', fullmatch=True),
            block,
            rest,
        ),
        st.builds(
            lambda i, v, a, b: Branch(Call('full', {'item': i}), 'full', '==', v, '', a, b),
            st.sampled_from(['box', 'jar']),
            st.booleans(),
            block,
            rest,
        ),
        st.builds(
            lambda i, v, a, b: Branch(Call('at', {'of': i}), '', '==', v, '', a, b),
            st.sampled_from(['box', 'jar', 'robot']),
            st.sampled_from(['door', 'rack', 'robot']),
            block,
            rest,
        ),
    )


@settings(max_examples=200, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(wanted=_block(st.recursive(CALLS, _deeper, max_leaves=8)))
def test_what_is_written_is_in_the_grammar_and_is_read_back(wanted: tuple[Item, ...]) -> None:
    text = surface.write(wanted)
    assert lets_through(GRAMMAR, text), text
    assert parse(text) == Draft('do', wanted)
