# SPDX-License-Identifier: Apache-2.0
"""The page that a run leaves behind: one HTML file without network, script or outside picture.

Texts of models, topics and people are data: each is escaped where it is put in, and the page's own policy allows no
script.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ['animate', 'write_summary']

PICTURES = ('.png', '.jpg', '.jpeg', '.webp', '.gif')
LARGEST_WIDTH_PX = 960
MOST_PICTURES = 24
MOST_EMBEDDED_BYTES = 12_000_000
MOST_TEXT = 20_000
DECISIONS = ('ALLOW', 'HOLD', 'NEEDS_APPROVAL', 'DENY')
STATES = ('IDLE', 'RUNNING', 'SUCCEEDED', 'FAILED', 'CANCELLED', 'SKIPPED')
TONES = {
    'ALLOW': 'good', 'SUCCEEDED': 'good', 'DENY': 'bad', 'FAILED': 'bad', 'CANCELLED': 'bad',
    'HOLD': 'warn', 'NEEDS_APPROVAL': 'warn', 'RUNNING': 'warn',
}  # fmt: skip

STYLE = """
:root{color-scheme:light dark;--paper:#fbfbf9;--ink:#1d2126;--soft:#626a73;--line:#dfe1df;--card:#fff;
--good:#1f7a44;--bad:#b3261e;--warn:#93650a;--mark:#2457a6}
@media(prefers-color-scheme:dark){:root{--paper:#15181b;--ink:#e7e9ea;--soft:#98a1aa;--line:#2d3338;--card:#1c2024;
--good:#63c98b;--bad:#ff8a80;--warn:#e2b45a;--mark:#8db4f2}}
*{box-sizing:border-box}body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.5 system-ui,sans-serif}
main{max-width:62rem;margin:0 auto;padding:2rem 1.2rem 4rem}h1{font-size:1.6rem;line-height:1.25;margin:.2rem 0 .6rem}
h2{font-size:1.05rem;margin:2.2rem 0 .6rem;padding-bottom:.25rem;border-bottom:1px solid var(--line)}
.soft{color:var(--soft);font-size:.9rem}.badge{display:inline-block;padding:.05rem .5rem;border-radius:.3rem;
border:1px solid currentColor;font-size:.78rem;font-weight:600;white-space:nowrap}
.good{color:var(--good)}.bad{color:var(--bad)}.warn{color:var(--warn)}
.scroll{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:.92rem}
th{text-align:left;color:var(--soft);font-weight:500;padding:.3rem .7rem .3rem 0;border-bottom:1px solid var(--line)}
td{padding:.35rem .7rem .35rem 0;border-bottom:1px solid var(--line);vertical-align:top;overflow-wrap:anywhere}
td.tight{white-space:nowrap;overflow-wrap:normal}
td.number{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
code,pre{font-family:ui-monospace,monospace;font-size:.86rem}pre{background:var(--card);border:1px solid var(--line);
border-radius:.4rem;padding:.8rem;overflow-x:auto;margin:0;white-space:pre-wrap;overflow-wrap:anywhere}
.reading{display:flex;gap:1.2rem;flex-wrap:wrap;align-items:center;background:var(--card);border:1px solid var(--line);
border-radius:.5rem;padding:1rem;margin-bottom:.8rem}.reading img{width:15rem;max-width:100%;border-radius:.3rem}
.value{font-size:2rem;font-weight:600;font-variant-numeric:tabular-nums}
.film{display:grid;grid-template-columns:repeat(auto-fill,minmax(13rem,1fr));gap:.7rem}
.wide{max-width:40rem}.film img,.wide img{width:100%;border-radius:.35rem;display:block;border:1px solid var(--line)}
figure{margin:0}figcaption{font-size:.78rem;color:var(--soft);overflow-wrap:anywhere}a{color:var(--mark)}
details summary{cursor:pointer;color:var(--soft)}ul{padding-left:1.2rem}blockquote{margin:0;padding-left:.8rem;
border-left:3px solid var(--line)}
"""
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; form-action 'none'; base-uri 'none'"


def write_summary(folder: Path, report: Mapping[str, Any]) -> Path:
    """
    Write ``index.html`` into a folder and return its path.

    Parameters
    ----------
    folder : Path
        Where the run's files lie; pictures and links are taken from below it only.
    report : mapping
        All keys are optional: ``command``, ``transcript``, ``model``, ``started``, ``duration_s``, ``outcome`` (``ok``,
        ``text``), ``draft``, ``plan`` (any JSON; its steps are listed), ``verdicts`` (fields of Verdict), ``tree``
        (fields of TreeNode), ``results`` (``step_id``, ``tool``, ``values``), ``readings`` (fields of Reading and
        ``image``), ``animation``, ``pictures``, ``recording`` and ``audit`` (names of files in the folder), ``next``
        (what to try next).

    """
    page = _Page(folder.resolve())
    body = ''.join(
        (
            page.head(report),
            page.animation(report.get('animation')),
            page.readings(report.get('readings', ())),
            page.json_section('The draft', report.get('draft'), is_open=True),
            page.plan(report.get('plan')),
            page.verdicts(report.get('verdicts', ())),
            page.tree(report.get('tree', ())),
            page.results(report.get('results', ())),
            page.pictures(report.get('pictures')),
            page.files(report),
            page.next_steps(report.get('next', ())),
        )
    )
    title = _text(report.get('command') or 'gemma4_ros')
    html = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>{title}</title><style>{STYLE}</style></head><body><main>{body}</main></body></html>\n'
    )
    path = folder / 'index.html'
    path.write_text(html, encoding='utf-8')
    return path


def animate(frames: Sequence[NDArray[np.uint8]], path: Path, period_s: float = 0.2, width_px: int = 480) -> Path:
    """
    Write frames as a small endless animation.

    Parameters
    ----------
    frames : sequence of (H, W, 3) uint8, RGB
        At least one; all of one size.
    path : Path
        ``.webp`` or ``.gif``.
    period_s : float
        Time that each frame is shown.
    width_px : int
        Wider frames are made smaller.

    """
    if not frames or path.suffix not in ('.webp', '.gif'):
        raise ValueError(f'an animation needs frames and a name in .webp or .gif, got {len(frames)} and {path.name}')
    animation = cv2.Animation()
    animation.frames = [cv2.cvtColor(_narrow(frame, width_px), cv2.COLOR_RGB2BGRA) for frame in frames]
    animation.durations = [max(20, round(1000 * period_s))] * len(frames)
    quality = [cv2.IMWRITE_WEBP_QUALITY, 70] if path.suffix == '.webp' else []
    if not cv2.imwriteanimation(str(path), animation, quality):
        raise OSError(f'cannot write the animation {path}')
    return path


def _narrow(image: NDArray[np.uint8], width_px: int) -> NDArray[np.uint8]:
    height, width = image.shape[:2]
    if width <= width_px:
        return image
    return np.asarray(cv2.resize(image, (width_px, round(height * width_px / width)), interpolation=cv2.INTER_AREA))


def _text(value: Any, limit: int = MOST_TEXT) -> str:
    """Return any value as escaped text, shortened, without control characters."""
    text = value if isinstance(value, str) else _json(value) if isinstance(value, (dict, list, tuple)) else str(value)
    shown = ''.join(c if c.isprintable() or c in '\n\t' else '\N{REPLACEMENT CHARACTER}' for c in text[:limit])
    return escape(shown + (' …' if len(text) > limit else ''))


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=1, default=str)


def _named(value: Any, names: Sequence[str]) -> str:
    return names[value] if isinstance(value, int) and 0 <= value < len(names) else str(value)


def _badge(name: str) -> str:
    return f'<span class="badge {TONES.get(name, "soft")}">{_text(name.replace("_", " "), 40)}</span>'


def _steps(node: Any, depth: int = 0) -> list[Mapping[str, Any]]:
    """Return the steps below a node of a plan in their order."""
    if depth > 64:
        return []
    if isinstance(node, Mapping) and isinstance(node.get('tool'), str):
        return [node]
    below: Iterable[Any] = node.values() if isinstance(node, Mapping) else node if isinstance(node, list) else ()
    return [step for child in below for step in _steps(child, depth + 1)]


def _number(value: Any, digits: int = 2) -> str:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return f'{value:.{digits}f}' if is_number else _text(value, 40)


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    cells = ''.join(f'<tr>{"".join(row)}</tr>' for row in rows)
    top = ''.join(f'<th>{head}</th>' for head in heads)
    return f'<div class="scroll"><table><thead><tr>{top}</tr></thead><tbody>{cells}</tbody></table></div>'


def _cell(content: str, kind: str = '') -> str:
    return f'<td class="{kind}">{content}</td>' if kind else f'<td>{content}</td>'


class _Page:
    """The sections of the page; what is not in the report is left out."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._embedded = 0

    def head(self, report: Mapping[str, Any]) -> str:
        outcome = report.get('outcome') or {}
        facts = [
            f'{label} {_text(report[key], 200)}'
            for key, label in (('started', ''), ('model', 'model'), ('duration_s', 'took'))
            if report.get(key) not in (None, '')
        ]
        if 'duration_s' in report:
            facts[-1] += ' s'
        parts = [f'<p class="soft">gemma4_ros · {" · ".join(fact.strip() for fact in facts)}</p>']
        parts.append(f'<h1>{_text(report.get("command") or "A command", 500)}</h1>')
        if outcome:
            tone, word = ('good', 'done') if outcome.get('ok') else ('bad', 'not done')
            parts.append(f'<p><span class="badge {tone}">{word}</span> {_text(outcome.get("text", ""), 1000)}</p>')
        if report.get('transcript'):
            parts.append(f'<blockquote class="soft">heard: {_text(report["transcript"], 2000)}</blockquote>')
        return ''.join(parts)

    def animation(self, name: Any) -> str:
        source = self._source(name, whole=True)
        return f'<h2>What the cell saw</h2><div class="wide"><img alt="the run" src="{source}"></div>' if source else ''

    def readings(self, readings: Iterable[Mapping[str, Any]]) -> str:
        cards = [self._reading(reading) for reading in readings]
        return f'<h2>Readings</h2>{"".join(cards)}' if cards else ''

    def _reading(self, reading: Mapping[str, Any]) -> str:
        unit = _text(reading.get('unit', ''), 16)
        if reading.get('status', 0) in (0, 'OK'):
            interval = f'{_number(reading.get("low"))} to {_number(reading.get("high"))} {unit}'
            value = f'<div class="value">{_number(reading.get("value"))} {unit}</div>'
            detail = f'95 % interval {interval} · confidence {_number(reading.get("confidence", ""))}'
        else:
            value = '<div class="value warn">cannot read</div>'
            detail = _text(reading.get('reason', ''), 300)
        source = self._source(reading.get('image'))
        image = f'<img alt="evidence" src="{source}">' if source else ''
        name, method = _text(reading.get('name', ''), 64), _text(reading.get('method', ''), 64)
        digest = _text(reading.get('image_sha256', ''), 64)
        evidence = f'<div class="soft"><code>{digest[:16]}</code> {method}</div>' if digest or method else ''
        lines = f'<b>{name}</b>{value}<div class="soft">{detail}</div>{evidence}'
        return f'<div class="reading">{image}<div>{lines}</div></div>'

    def plan(self, plan: Any) -> str:
        rows = [
            [
                _cell(_text(step.get('id', ''), 64), 'tight'),
                _cell(f'<code>{_text(step["tool"], 64)}</code>'),
                _cell(', '.join(f'{_text(k, 64)} = {_text(v, 200)}' for k, v in (step.get('args') or {}).items())),
                _cell(_text(step.get('why', ''), 200), 'soft'),
            ]
            for step in _steps(plan)
        ]
        if not rows:
            return self.json_section('The completed plan', plan, is_open=True)
        return f'<h2>The completed plan</h2>{_table(("step", "tool", "arguments", ""), rows)}' + self._details(plan)

    def json_section(self, title: str, value: Any, is_open: bool = False) -> str:
        if value in (None, '', [], {}):
            return ''
        content = f'<pre>{_text(value)}</pre>'
        return f'<h2>{title}</h2>{content if is_open else self._details(value)}'

    def _details(self, value: Any) -> str:
        return f'<details><summary>as JSON</summary><pre>{_text(value)}</pre></details>'

    def verdicts(self, verdicts: Iterable[Mapping[str, Any]]) -> str:
        rows = [
            [
                _cell(_badge(_named(verdict.get('decision', ''), DECISIONS)), 'tight'),
                _cell(_text(verdict.get('step_id') or 'plan', 64), 'tight'),
                _cell(f'<code>{_text(verdict.get("rule", ""), 64)}</code>'),
                _cell(_text(verdict.get('text', ''), 512)),
            ]
            for verdict in verdicts
        ]
        return f"<h2>The gate's verdicts</h2>{_table(('verdict', 'of', 'rule', 'reason'), rows)}" if rows else ''

    def tree(self, nodes: Iterable[Mapping[str, Any]]) -> str:
        depth: dict[Any, int] = {}
        rows = []
        for node in nodes:
            level = depth.get(node.get('parent_id'), -1) + 1
            depth[node.get('id')] = level
            attempt = int(node.get('attempt', 1) or 0)
            again = f' <span class="soft">attempt {attempt}</span>' if attempt > 1 else ''
            label = _text(node.get('label') or node.get('kind', ''), 256)
            rows.append(
                [
                    _cell(f'<span style="padding-left:{1.2 * min(level, 12):.1f}rem"></span>{label}{again}'),
                    _cell(_badge(_named(node.get('status', ''), STATES)), 'tight'),
                    _cell(f'{_number(node.get("duration_s", 0.0), 1)} s', 'number'),
                    _cell(_text(node.get('text', ''), 512)),
                ]
            )
        return f'<h2>The tree at the end</h2>{_table(("node", "state", "time", "result"), rows)}' if rows else ''

    def results(self, results: Iterable[Mapping[str, Any]]) -> str:
        rows = [
            [
                _cell(_text(result.get('step_id', ''), 64), 'tight'),
                _cell(f'<code>{_text(result.get("tool", ""), 64)}</code>', 'tight'),
                _cell(f'<code>{_text(result.get("values", result.get("text", "")), 1000)}</code>'),
            ]
            for result in results
        ]
        heads = ('step', 'tool', 'result')
        return f'<h2>What the controllers answered</h2>{_table(heads, rows)}' if rows else ''

    def pictures(self, names: Any) -> str:
        chosen = list(names) if names is not None else sorted(
            p.name for p in self._folder.iterdir() if p.suffix in PICTURES[:3]
        )  # fmt: skip
        step = max(1, -(-len(chosen) // MOST_PICTURES))
        figures = []
        for name in chosen[::step]:
            source = self._source(name)
            if source:
                caption = _text(Path(str(name)).stem, 100)
                figures.append(
                    f'<figure><img alt="{caption}" src="{source}"><figcaption>{caption}</figcaption></figure>'
                )
        return f'<h2>Pictures</h2><div class="film">{"".join(figures)}</div>' if figures else ''

    def files(self, report: Mapping[str, Any]) -> str:
        lines = []
        for key, label in (('recording', 'Recording (MCAP)'), ('audit', 'Audit log of the gate')):
            path = self._below(report.get(key))
            if path is not None:
                name = escape(path.relative_to(self._folder).as_posix(), quote=True)
                lines.append(f'<li>{label}: <a href="./{name}">{name}</a>, {path.stat().st_size / 1000:.0f} kB</li>')
        return f'<h2>Files</h2><ul>{"".join(lines)}</ul>' if lines else ''

    def next_steps(self, lines: Iterable[str]) -> str:
        items = ''.join(f'<li><code>{_text(line, 300)}</code></li>' for line in lines)
        return f'<h2>What to try next</h2><ul>{items}</ul>' if items else ''

    def _below(self, name: Any) -> Path | None:
        """Return a file of the folder, never one outside of it."""
        if not isinstance(name, (str, Path)) or not str(name):
            return None
        try:
            path = (self._folder / name).resolve()
            return path if path.is_relative_to(self._folder) and path.is_file() else None
        except (OSError, ValueError):
            return None

    def _source(self, name: Any, whole: bool = False) -> str:
        """Return a picture as a data URI, made smaller unless it is to stay whole; empty where there is none."""
        path = self._below(name)
        if path is None or path.suffix.lower() not in PICTURES:
            return ''
        if whole:
            data, kind = path.read_bytes(), path.suffix.lower().lstrip('.')
        else:
            pixels = cv2.imread(str(path), cv2.IMREAD_COLOR)
            if pixels is None:
                return ''
            small = _narrow(np.asarray(pixels, np.uint8), LARGEST_WIDTH_PX)
            data, kind = cv2.imencode('.jpg', small, [cv2.IMWRITE_JPEG_QUALITY, 82])[1].tobytes(), 'jpeg'
        if self._embedded + len(data) > MOST_EMBEDDED_BYTES:
            return ''
        self._embedded += len(data)
        return f'data:image/{kind.replace("jpg", "jpeg")};base64,{base64.b64encode(data).decode()}'
