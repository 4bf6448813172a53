"""Pieces of a page: its styles, tables and lists. What is put into them is HTML already, but for a list's items."""

from collections.abc import Iterable, Sequence
from html import escape

STYLE = """
:root { color-scheme: light dark; --text: #1c2430; --muted: #5b6572; --line: #d5dae1; --page: #ffffff;
  --card: #f4f6f9; --winner: #1f5fd0; --failed: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --text: #e4e8ee; --muted: #9aa5b3; --line: #38414d; --page: #14181e;
  --card: #1d232b; --winner: #7fb0ff; --failed: #ff9a90; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--text);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif; }
main { max-width: 62rem; margin: 0 auto; padding: 2.5rem 1.25rem 4rem; }
h1 { font-size: 1.15rem; font-weight: 500; color: var(--muted); margin: 0 0 .75rem; }
h2 { font-size: 1.2rem; margin: 2.75rem 0 .5rem; }
p { margin: .4rem 0; max-width: 46rem; }
.answer { background: var(--card); border-left: 4px solid var(--winner); border-radius: 4px;
  padding: 1.25rem 1.5rem; }
.answer .name { font-size: 1.75rem; line-height: 1.25; font-weight: 650; margin: 0 0 .75rem; overflow-wrap: anywhere; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .3rem 1.25rem; margin: 0; }
dt { color: var(--muted); }
dd { margin: 0; overflow-wrap: anywhere; }
code { font: .9em ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; overflow-wrap: anywhere; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .92rem; }
th { text-align: left; font-weight: 500; color: var(--muted); }
th, td { padding: .45rem .9rem .45rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
td.t { white-space: nowrap; }
td.model { overflow-wrap: anywhere; min-width: 9rem; }
tr.winner td { font-weight: 600; }
tr.said td { border-bottom: 0; padding-bottom: 0; }
tr.failed td { color: var(--failed); }
small, .quiet { color: var(--muted); font-size: .88rem; font-weight: 400; }
figure { margin: .75rem 0; }
figure svg { width: 100%; min-width: 34rem; height: auto; display: block; }
figcaption { color: var(--muted); font-size: .88rem; max-width: 46rem; }
.range { width: 8.5rem; height: 1.1rem; display: block; }
.bar { height: .7rem; border-radius: 2px; background: var(--muted); min-width: 2px; opacity: .55; }
.bar.winner { background: var(--winner); opacity: 1; }
ul { padding-left: 1.2rem; margin: .4rem 0; max-width: 50rem; }
footer { margin-top: 3rem; color: var(--muted); font-size: .85rem; }
@media print { body { font-size: 12px; } .answer { border: 1px solid var(--line); } }
"""


def bullets(items: Iterable[str]) -> str:
    """A list of plain texts, escaped; nothing where there are none."""
    inside = "".join(f"<li>{escape(item)}</li>" for item in items)
    return f"<ul>{inside}</ul>\n" if inside else ""


_CLASSES = {"t": ' class="t"', "n": ' class="n"', "m": ' class="model"', "p": ""}


def table_row(tag: str, cells: Sequence[str], kinds: str, row_class: str = "") -> str:
    """A table row of cells that are HTML already; `kinds` has a letter for each: number, model, one-liner, plain."""
    scope = ' scope="col"' if tag == "th" else ""
    inside = "".join(f"<{tag}{scope}{_CLASSES[kind]}>{cell}</{tag}>" for cell, kind in zip(cells, kinds, strict=True))
    return f'<tr class="{row_class}">{inside}</tr>' if row_class else f"<tr>{inside}</tr>"


def table(head: str, rows: str) -> str:
    """A table that scrolls where the screen is too narrow for it."""
    return f'<div class="scroll"><table><thead>{head}</thead><tbody>{rows}</tbody></table></div>\n'
