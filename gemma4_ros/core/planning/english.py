# SPDX-License-Identifier: Apache-2.0
"""Closed word classes of English, for the lexical checks. Other languages go past these checks, not through them."""

from __future__ import annotations

DETERMINERS = frozenset(('the', 'a', 'an', 'my', 'our', 'your', 'that', 'this', 'some', 'another'))
NEGATIONS = frozenset(
    ("don't", 'not', 'never', 'without', 'except', "doesn't", 'dont', "won't", "shouldn't", 'skip', 'avoid', 'ignore')
)
NEGATING_PHRASES = (
    ('instead', 'of'),
    ('no', 'need'),
    ('not', 'necessary'),
    ('rather', 'than'),
    ('keep', 'away'),
    ('stay', 'away'),
    ('keep', 'clear'),
    ('stay', 'clear'),
)
NOT_NEGATING = ('forget', 'only', 'just')  # after "do not"
CORRECTIONS = (
    'no wait',
    'wait no',
    'sorry',
    'i mean',
    'i meant',
    'scratch that',
    'correction',
    'actually',
    'no not',
    'no , not',
    'rather',
)
CONDITIONS = frozenset((
    'if', 'unless', 'when', 'whenever', 'should', 'otherwise', 'else', 'case', 'below', 'above', 'under', 'over',
    'more', 'less', 'exceeds', 'exceed', 'exceeding', 'least', 'most', 'whether', 'until', 'depending',
    'depends', 'than', 'provided', 'assuming', 'suppose', 'beyond', 'reaches', 'drops', 'rises', 'falls', 'long',
    'higher', 'lower', 'greater', 'fewer',
))  # fmt: skip
COMPARED = frozenset((
    'below', 'above', 'under', 'over', 'more', 'less', 'exceeds', 'exceed', 'exceeding', 'least', 'most', 'than',
    'beyond', 'higher', 'lower', 'greater', 'fewer', 'reaches', 'drops', 'rises', 'falls',
))  # fmt: skip
FORKS = frozenset(('if', 'unless', 'when', 'until', 'provided', 'assuming'))
TELLING = frozenset(('is', 'are', 'was', 'were', 'reads', 'shows', 'says', "isn't", "aren't"))
ABOVE = frozenset((
    'over', 'above', 'more', 'exceeds', 'exceed', 'exceeding', 'beyond', 'higher', 'greater', 'rises', 'warmer',
    'hotter', 'heavier', 'longer', 'bigger', 'larger', 'faster', 'stronger', 'fuller', 'goes',
))  # fmt: skip
BELOW = frozenset((
    'under', 'below', 'less', 'lower', 'fewer', 'drops', 'falls', 'colder', 'cooler', 'lighter', 'shorter', 'smaller',
    'slower', 'weaker', 'emptier',
))  # fmt: skip
COUNTS = frozenset(
    ('times', 'time', 'twice', 'thrice', 'again', 'several', 'repeat', 'repeatedly', 'more', 'each', 'both', 'every')
)
CLAUSES = frozenset((
    '.', ';', ':', '!', '?', ',', 'and', 'but', 'then', 'afterwards', 'afterward', 'before', 'after', 'while',
    'otherwise', 'else', 'if', 'unless', 'once', 'when', 'until', 'instead',
))  # fmt: skip
POLITE = frozenset((
    'please', 'pls', 'plz', 'thanks', 'thx', 'cheers', 'could', 'can', 'would', 'will', 'you', 'now',
    'just', 'kindly', 'robot', 'ok', 'okay', 'hey', 'hi',
    'hello', 'first', 'next', 'also', 'finally', 'to', 'go', 'i', 'need', 'want', 'we', 'let', 'us', "let's", 'me',
    'the', 'a',
))  # fmt: skip
TOGETHER = frozenset(
    ('while', 'same', 'simultaneously', 'together', 'parallel', 'meanwhile', 'both', 'concurrently', 'once')
)
AT_ONCE = ('at the same time', 'simultaneously', 'at once', 'in parallel', 'while', 'meanwhile')
CLAUSE_ENDS = frozenset(('.', ';', '!', '?', ',', 'but', 'then', 'instead', 'just', 'only', 'if', 'otherwise', 'else'))
MANY = frozenset(('all', 'both', 'every', 'each', 'everything', 'any', 'two', 'three', 'four', 'five', 'either'))
NUMBERS = {
    'zero': 0, 'one': 1, 'two': 2, 'three': 3, 'four': 4, 'five': 5, 'six': 6, 'seven': 7, 'eight': 8, 'nine': 9,
    'ten': 10, 'eleven': 11, 'twelve': 12, 'thirteen': 13, 'fourteen': 14, 'fifteen': 15, 'sixteen': 16,
    'seventeen': 17, 'eighteen': 18, 'nineteen': 19, 'twenty': 20, 'thirty': 30, 'forty': 40, 'fifty': 50,
    'sixty': 60, 'seventy': 70, 'eighty': 80, 'ninety': 90, 'hundred': 100, 'once': 1, 'twice': 2, 'thrice': 3,
}  # fmt: skip
PRONOUNS = frozenset(('it', 'them', 'there', 'one', 'ones', 'that', 'this', 'those', 'these', 'here', 'back'))
QUESTIONS = frozenset(
    ('where', 'what', 'which', 'who', 'how', 'is', 'are', 'do', 'does', 'did', 'can', 'could', 'when', 'why')
)

_PREPOSITIONS = """
to from at in on into onto over under by with of for off out up down near next beside behind between inside around
through before after until till during about above below per than as against across along via towards toward
"""
_CONJUNCTIONS = 'and or but then if else otherwise when while because so once unless whether'
BREAKS = frozenset((
    *_PREPOSITIONS.split(), *_CONJUNCTIONS.split(), 'please', 'now', 'again', 'is', 'are', 'was', 'has', 'have',
    'will', 'can', 'should', 'that', 'which', 'who', 'you', 'i', 'we', 'it', 'reads', 'shows', 'says', 'goes',
    'needs', 'exceeds', 'stays', 'drops', 'falls', 'rises', 'first', 'there', 'here', 'not', 'too', 'back', 'instead',
))  # fmt: skip
_COMMON = """
i me my we us our you your he she they them their it its this that these those here there who what which where when
why how be is am are was were been being do does did done have has had having will would shall should can could may
might must let lets please thanks thank hey hi hello ok okay yes no not never just only also too again still already
soon now today first second third last next one two three four five six seven eight nine ten zero half more less most
least much many few all both each every any some none other another same different new old good bad right left top
bottom front side middle center end start begin time times minute minutes hour hours moment second seconds way thing
things stuff place job task work sure
pls plz thx cheers pic pics careful carefully quick quickly fast slow slowly soon later afterwards afterward
finally back away forward backward ahead home room area spot need needs want wants like make made sure know tell show
say give let's get got if then else otherwise unless until while because so and or but before after during look see
find check want trip turn round order case condition value reading result number level percent degree degrees bar
meter metre reads read shows says exceeds stays drops falls rises greater higher lower bigger smaller equal equals
least robot buddy friend mate kindly could would everything anything something nothing somebody someone anybody nobody
rest both pair once twice thrice bit little lot favour favor name report update status question answer idea problem
help thanks hand hands operator shift lunch break morning evening night day week
"""
PLAIN = frozenset(
    (
        *FORKS,
        *CONDITIONS,
        *ABOVE,
        *BELOW,
        *COUNTS,
        *POLITE,
        "it's",
        "that's",
        "i'm",
        "what's",
        "there's",
        "let's",
        'its',
        'yet',
        'though',
        'well',
        'real',
        'running',
        'stopped',
        'opened',
        'closed',
        'shut',
        'full',
        'top',
        'maximum',
        'max',
        'possible',
        'current',
        'currently',
        'afterward',
    )
)
"""Words of no thing and no deed: a command of these and of the robot's own words is understood."""
FUNCTION_WORDS = frozenset((
    *DETERMINERS, *NEGATIONS, *CLAUSE_ENDS, *MANY, *NUMBERS, *PRONOUNS, *QUESTIONS, *_PREPOSITIONS.split(),
    *_CONJUNCTIONS.split(), *_COMMON.split(),
))  # fmt: skip
