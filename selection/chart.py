"""The race as a picture: one line a candidate, who left when, and what it was called.

matplotlib is imported when a picture is drawn, and used without its global state.
"""

import io
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from selection.records import Outcome, Standing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TEXT, MUTED, LINE, PAGE, WINNER, FAILED = "#1c2430", "#5b6572", "#d5dae1", "#ffffff", "#1f5fd0", "#b3261e"
_VARIABLES = {PAGE: "--page", TEXT: "--text", MUTED: "--muted", LINE: "--line", WINNER: "--winner", FAILED: "--failed"}
_MAX_NAMES = 20


def png(outcome: Outcome, width: float = 10, dots_per_inch: int = 144) -> bytes:
    """The race on white, as a PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure = _figure(outcome, width)
    FigureCanvasAgg(figure)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dots_per_inch, facecolor="white", metadata={"Software": None})
    return buffer.getvalue()


def svg(outcome: Outcome, width: float = 10) -> str:
    """The race as an SVG element without background, its colours the page's CSS variables."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    figure = _figure(outcome, width)
    FigureCanvasSVG(figure)
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    drawing = buffer.getvalue()
    drawing = drawing[drawing.index("<svg") :]
    for colour, variable in _VARIABLES.items():
        drawing = drawing.replace(colour, f"var({variable})")
    return drawing


def short_name(model: str, length: int = 26) -> str:
    """The model's last path component, its middle left out where it is long."""
    name = model.rstrip("/").rsplit("/", 1)[-1]
    half = (length - 1) // 2
    return name if len(name) <= length else f"{name[:half]}…{name[-half:]}"


def how_it_ended(standing: Standing) -> str:
    """Two to four words: won, raced to the end, left at step 25, failed ..."""
    step = standing.progress.step
    if standing.place == 1:
        return "won"
    if standing.dropped is None:
        return "raced to the end"
    if standing.dropped == "failed":
        return f"failed in rung {standing.rung}"
    where = f"at step {step}" if standing.rung else "at the probe"
    return f"left {where}" if standing.dropped == "dropped" else f"cut off {where}"


def _figure(outcome: Outcome, width: float) -> "Figure":
    from matplotlib.figure import Figure

    n_names = min(len(outcome.standings), _MAX_NAMES)
    figure = Figure(figsize=(width, max(4.2, 1.2 + 0.24 * n_names)))
    axes = figure.add_axes((0.075, 0.13, 0.585, 0.76))
    _frame(axes, outcome)
    for standing in reversed(outcome.standings):
        _curve(axes, standing)
    _places(axes, outcome.standings)
    _names(figure, outcome.standings)
    return figure


def quiet(axes: "Axes", grid: Literal["x", "y"]) -> None:
    """Leaves of the axes' frame the bottom line, behind a faint grid along one axis."""
    axes.grid(axis=grid, color=LINE, linewidth=0.7)
    axes.tick_params(colors=MUTED, length=0, labelsize=9)
    axes.set_axisbelow(True)
    for name, spine in axes.spines.items():
        spine.set_visible(name == "bottom")
        spine.set_color(LINE)


def _frame(axes: "Axes", outcome: Outcome) -> None:
    total = outcome.plan.rungs[-1].until_step
    axes.set_xlim(0, total * 1.05)
    axes.set_xlabel("training step", color=MUTED, fontsize=10)
    axes.set_ylabel(f"validation {outcome.metric}", color=MUTED, fontsize=10, parse_math=False)
    quiet(axes, "y")
    for rung in outcome.plan.rungs[:-1]:
        raced, went_on = (sum(one.rung >= index for one in outcome.standings) for index in (rung.index, rung.index + 1))
        if went_on == raced:
            continue
        axes.axvline(rung.until_step, color=LINE, linewidth=1, linestyle=(0, (3, 3)))
        cut = f"{raced} → {went_on}"
        axes.annotate(
            cut if rung.index else f"probe {cut}",
            (rung.until_step, 1.02),
            xycoords=("data", "axes fraction"),
            ha="center",
            fontsize=9,
            color=MUTED,
        )


def _colour(standing: Standing) -> str:
    return WINNER if standing.place == 1 else FAILED if standing.dropped == "failed" else MUTED


def _curve(axes: "Axes", standing: Standing) -> None:
    is_winner = standing.place == 1
    axes.plot(
        standing.progress.curve_steps,
        standing.progress.curve,
        color=_colour(standing),
        linewidth=2.6 if is_winner else 1.3,
        alpha=1.0 if is_winner else 0.75,
        marker="o",
        markersize=4 if is_winner else 2.5,
        zorder=3 if is_winner else 2,
    )


def _places(axes: "Axes", standings: Sequence[Standing]) -> None:
    """Writes each place beside the end of its line; those that would overlap are moved apart."""
    ends: dict[int, list[tuple[float, Standing]]] = {}
    for one in standings:
        seen = [point for point in zip(one.progress.curve_steps, one.progress.curve, strict=True) if _is_number(point)]
        if seen:
            ends.setdefault(seen[-1][0], []).append((seen[-1][1], one))
    low, high = axes.get_ylim()
    for step, group in ends.items():
        group.sort(key=lambda end: end[0])
        heights = spread([height for height, _ in group], (high - low) * 0.048)
        for height, (_, standing) in zip(heights, group, strict=True):
            axes.annotate(
                str(standing.place),
                (step, height),
                xytext=(7, 0),
                textcoords="offset points",
                va="center",
                fontsize=9,
                color=_colour(standing),
                fontweight="bold" if standing.place == 1 else "normal",
                bbox={"facecolor": PAGE, "edgecolor": "none", "pad": 0.8},
                zorder=4,
            )


def _is_number(point: tuple[int, float]) -> bool:
    return math.isfinite(point[1])


def spread(heights: Sequence[float], least: float) -> list[float]:
    """Ascending heights moved apart to at least `least`, their mean unchanged.

    >>> spread([1.0, 1.0, 5.0], 1.0)
    [0.666..., 1.666..., 4.666...]
    """
    moved: list[float] = []
    for height in heights:
        moved.append(max(height, moved[-1] + least) if moved else height)
    shift = (sum(moved) - sum(heights)) / max(1, len(moved))
    return [height - shift for height in moved]


def _names(figure: "Figure", standings: Sequence[Standing]) -> None:
    """The key, in order of places, at the right."""
    inches = figure.get_figheight()
    for row, one in enumerate(standings[:_MAX_NAMES]):
        colour = TEXT if _colour(one) == MUTED else _colour(one)
        style: dict[str, Any] = {"color": colour, "fontsize": 9, "fontweight": "bold" if one.place == 1 else "normal"}
        y = 0.89 - row * 0.24 / inches
        figure.text(0.7, y, str(one.place), ha="right", va="top", **style)
        figure.text(0.712, y, short_name(one.candidate.model), va="top", parse_math=False, **style)
        figure.text(0.99, y, how_it_ended(one), ha="right", va="top", color=MUTED, fontsize=8)
    if len(standings) > _MAX_NAMES:
        text = f"and {len(standings) - _MAX_NAMES} more, in the table"
        figure.text(0.712, 0.89 - _MAX_NAMES * 0.24 / inches, text, va="top", color=MUTED, fontsize=8)
