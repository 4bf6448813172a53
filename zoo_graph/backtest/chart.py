"""A backtest as a picture: what each ranker's first k miss, and by how much that differs from the baseline.

matplotlib is imported when a picture is drawn, and used without its global state.
"""

import io
import math
from collections.abc import Collection
from typing import TYPE_CHECKING

from selection.chart import LINE, MUTED, PAGE, TEXT, WINNER, spread
from zoo_graph.backtest.quality import RANKS
from zoo_graph.backtest.summary import Results, Unit

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLOURS = ("#b3261e", "#2e7d4f", "#8a5a00", "#6a3fa0", "#00788a", "#a03f6e", "#5b6572", "#3f5a9c")
_OURS = "ours"
_PLACES = tuple(range(len(RANKS)))


def png(
    found: Results,
    matrices: Collection[str] | None = None,
    over: Unit = "targets",
    baseline: str = "history",
    dots_per_inch: int = 144,
) -> bytes:
    """The picture on white, as a PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure = _figure(found, matrices, over, baseline)
    FigureCanvasAgg(figure)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dots_per_inch, facecolor=PAGE, metadata={"Software": None})
    return buffer.getvalue()


def svg(
    found: Results, matrices: Collection[str] | None = None, over: Unit = "targets", baseline: str = "history"
) -> str:
    """The picture on white, as an SVG file."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    figure = _figure(found, matrices, over, baseline)
    FigureCanvasSVG(figure)
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", facecolor=PAGE, metadata={"Date": None, "Creator": None})
    return buffer.getvalue()


def _figure(found: Results, matrices: Collection[str] | None, over: Unit, baseline: str) -> "Figure":
    from matplotlib.figure import Figure

    rankers = [name for name in found.rankers if found.mean(name, "regret1", matrices, over).n]
    colours = _colours(rankers, baseline)
    figure = Figure(figsize=(11, 4.6))
    left, right = figure.add_axes((0.06, 0.13, 0.36, 0.74)), figure.add_axes((0.62, 0.13, 0.22, 0.74))
    n = found.mean(baseline, "regret1", matrices, over).n
    _frame(left, f"regret of the best of k, {found.regime}, mean of {n} {over}")
    _frame(right, f"less regret than {baseline} (below 0), ± standard error")
    ends = []
    for name in rankers:
        means = [found.mean(name, f"regret{k}", matrices, over) for k in RANKS]
        width = 2.6 if name == _OURS else 1.5
        left.plot(_PLACES, [one.value for one in means], color=colours[name], linewidth=width, marker="o", markersize=3)
        ends.append((means[-1].value, name))
    # In a picture of means near 0, chance would fill the axis: it may leave it at the top.
    shown = [found.mean(name, "regret1", matrices, over).value for name in rankers if name != "random"]
    if shown:
        left.set_ylim(0, 1.15 * max(shown) or 1.0)
    _names(left, ends, colours)
    _compare(right, found, matrices, over, baseline, colours)
    return figure


def _colours(rankers: list[str], baseline: str) -> dict[str, str]:
    others = [name for name in rankers if name not in (_OURS, baseline)]
    found = {name: _COLOURS[place % len(_COLOURS)] for place, name in enumerate(others)}
    return {**found, _OURS: WINNER, baseline: TEXT}


def _frame(axes: "Axes", title: str) -> None:
    axes.set_title(title, fontsize=10, color=TEXT, loc="left", parse_math=False)
    axes.set_xticks(_PLACES, [str(k) for k in RANKS])
    axes.set_xlabel("models tried (k)", color=MUTED, fontsize=10)
    axes.set_xlim(-0.2, len(RANKS) - 0.8)
    axes.grid(axis="y", color=LINE, linewidth=0.7)
    axes.tick_params(colors=MUTED, length=0, labelsize=9)
    axes.set_axisbelow(True)
    for name, spine in axes.spines.items():
        spine.set_visible(name == "bottom")
        spine.set_color(LINE)


def _names(axes: "Axes", ends: list[tuple[float, str]], colours: dict[str, str]) -> None:
    """Each line's name beside its end; those that would overlap are moved apart."""
    ends = sorted(end for end in ends if math.isfinite(end[0]))
    low, high = axes.get_ylim()
    for height, (_, name) in zip(spread([end[0] for end in ends], (high - low) * 0.055), ends, strict=True):
        axes.annotate(
            name,
            (_PLACES[-1], height),
            xytext=(8, 0),
            textcoords="offset points",
            va="center",
            fontsize=9,
            color=colours[name],
            parse_math=False,
            annotation_clip=False,
        )


def _compare(
    axes: "Axes",
    found: Results,
    matrices: Collection[str] | None,
    over: Unit,
    baseline: str,
    colours: dict[str, str],
) -> None:
    axes.axhline(0, color=TEXT, linewidth=1)
    names = [name for name in colours if name not in (baseline, "random") and name in found.rankers]
    for index, name in enumerate(names):
        all_paired = [found.paired(name, f"regret{k}", matrices, over, baseline).difference for k in RANKS]
        if not all_paired[0].n:
            continue
        shift = (index - (len(names) - 1) / 2) * min(0.12, 0.6 / max(1, len(names)))
        axes.errorbar(
            [place + shift for place in _PLACES],
            [one.value for one in all_paired],
            yerr=[0.0 if math.isnan(one.stderr) else one.stderr for one in all_paired],
            color=colours[name],
            fmt="o",
            markersize=5 if name == _OURS else 3.5,
            linewidth=1.2,
        )
