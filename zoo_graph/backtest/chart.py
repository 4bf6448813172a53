"""A backtest as a picture: what the first 1, 3, 5 and 10 models of each ranker miss, beside the baseline.

matplotlib is imported when a picture is drawn, and used without its global state.
"""

import io
import math
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from selection.chart import MUTED, PAGE, TEXT, WINNER, quiet
from zoo_graph.backtest.quality import RANKS
from zoo_graph.backtest.summary import Results, Unit

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_OURS = "ours"


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
    """One row a ranker, the least regret at the top; one panel for each number of models tried."""
    from matplotlib.figure import Figure

    rankers = _ranked(found, matrices, over)
    height = 1.3 + 0.27 * max(1, len(rankers))
    figure = Figure(figsize=(12, height))
    bottom, top = 0.55 / height, 1 - 0.75 / height
    for panel, k in enumerate(RANKS):
        axes = figure.add_axes((0.22 + 0.198 * panel, bottom, 0.168, top - bottom))
        _frame(axes, rankers if panel == 0 else [""] * len(rankers), f"best of {k}" if k > 1 else "first pick")
        _panel(axes, found, matrices, over, baseline, rankers, f"regret{k}")
    most = max((found.mean(name, "regret1", matrices, over).n for name in rankers), default=0)
    about = f"Regret, {found.regime}: mean of up to {most} {over} ± standard error, change against {baseline}"
    figure.text(0.01, 1 - 0.3 / height, about, fontsize=11, color=TEXT, parse_math=False)
    return figure


def _ranked(found: Results, matrices: Collection[str] | None, over: Unit) -> list[str]:
    """The rankers that have a regret here, by its mean over the numbers tried."""
    means = {
        name: sum(found.mean(name, f"regret{k}", matrices, over).value for k in RANKS)
        for name in found.rankers
        if found.mean(name, "regret1", matrices, over).n
    }
    return sorted(means, key=means.__getitem__)


def _frame(axes: "Axes", names: Sequence[str], title: str) -> None:
    axes.set_title(title, fontsize=10, color=TEXT, loc="left")
    axes.set_yticks(range(len(names)), names, fontsize=9, parse_math=False)
    axes.set_ylim(len(names) - 0.4, -0.6)
    quiet(axes, "x")
    for label, name in zip(axes.get_yticklabels(), names, strict=True):
        label.set_color(WINNER if name == _OURS else TEXT)


def _panel(
    axes: "Axes",
    found: Results,
    matrices: Collection[str] | None,
    over: Unit,
    baseline: str,
    rankers: Sequence[str],
    metric: str,
) -> None:
    means = [found.mean(name, metric, matrices, over) for name in rankers]
    plain = found.mean(baseline, metric, matrices, over)
    if plain.n:
        axes.axvline(plain.value, color=TEXT, linewidth=1)
    for row, (name, mean) in enumerate(zip(rankers, means, strict=True)):
        colour = WINNER if name == _OURS else TEXT if name == baseline else MUTED
        error = 0.0 if math.isnan(mean.stderr) else mean.stderr
        axes.errorbar(mean.value, row, xerr=error, color=colour, fmt="o", markersize=5, linewidth=1.3)
        paired = found.paired(name, metric, matrices, over, baseline)
        if name != baseline and paired.difference.n and math.isfinite(paired.relative):
            axes.annotate(
                f"{paired.relative:+.0%}",
                (1.0, row),
                xycoords=("axes fraction", "data"),
                ha="right",
                va="center",
                fontsize=8,
                color=colour,
                bbox={"facecolor": PAGE, "edgecolor": "none", "pad": 0.5, "alpha": 0.8},
            )
    reach = max((mean.value for mean in means), default=0.0)
    # The last third of the panel is for the figures.
    axes.set_xlim(0, 1.45 * reach if reach > 0 else 1.0)
