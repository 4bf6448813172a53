"""The race as a picture: one line a candidate, who left when, where it was expected to end, and what it was called.

matplotlib is imported when a picture is drawn, and used without its global state.
"""

import io
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

from selection.outlook import last_end, reached, stops
from selection.records import Estimate, Outcome, Standing
from selection.wording import metric_name, stop_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TEXT, MUTED, LINE, PAGE, WINNER, FAILED = "#1c2430", "#5b6572", "#d5dae1", "#ffffff", "#1f5fd0", "#b3261e"
_VARIABLES = {PAGE: "--page", TEXT: "--text", MUTED: "--muted", LINE: "--line", WINNER: "--winner", FAILED: "--failed"}
_MAX_NAMES = 20


def png(outcome: Outcome, width: float = 10, dots_per_inch: int = 144) -> bytes:
    """The race on white, as a PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure = draw(outcome, width)
    FigureCanvasAgg(figure)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dots_per_inch, facecolor="white", metadata={"Software": None})
    return buffer.getvalue()


def svg(outcome: Outcome, width: float = 10) -> str:
    """The race as an SVG element without background, its colours the page's CSS variables."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    figure = draw(outcome, width)
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


def draw(outcome: Outcome, width: float = 10) -> "Figure":
    """The race as a figure: the curves, beside them (policy "racing") the expected ends, and the key."""
    from matplotlib.figure import Figure

    n_names = min(len(outcome.standings), _MAX_NAMES)
    figure = Figure(figsize=(width, max(4.2, 1.2 + 0.24 * n_names)))
    ends = [(one, end) for one in outcome.standings[:_MAX_NAMES] if (end := last_end(one)) is not None]
    axes = figure.add_axes((0.075, 0.13, 0.455 if ends else 0.585, 0.76))
    _frame(axes, outcome)
    for standing in reversed(outcome.standings):
        _curve(axes, standing)
    if ends:
        _ways(axes, ends, outcome.plan.rungs[-1].until_step)
        _ends(figure.add_axes((0.54, 0.13, 0.12, 0.76), sharey=axes), outcome, ends)
    _places(axes, outcome.standings[:_MAX_NAMES])
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
    axes.set_ylabel(f"validation {metric_name(outcome.metric)}", color=MUTED, fontsize=10, parse_math=False)
    quiet(axes, "y")
    _stops(axes, outcome, total)


def _stops(axes: "Axes", outcome: Outcome, total: int) -> None:
    """Dashed lines, and above them what was decided, in two rows; a text that has no room in either is left out."""
    taken = [-math.inf, -math.inf]
    for step, text in _cuts(outcome):
        axes.axvline(step, color=LINE, linewidth=1, linestyle=(0, (3, 3)))
        half = 0.007 * total * len(text)
        row = next((row for row, end in enumerate(taken) if end <= step - half), None)
        if row is None:
            continue
        taken[row] = step + half
        axes.annotate(
            text,
            (step, 1),
            xycoords=("data", "axes fraction"),
            xytext=(0, 5 + 12 * row),
            textcoords="offset points",
            ha="center",
            fontsize=9,
            color=MUTED,
        )


def _cuts(outcome: Outcome) -> Iterator[tuple[int, str]]:
    """Steps at which anyone left or came back; in words how many raced, went on, and of these had left before."""
    known = {stop.rung: (stop.n_raced, len(stop.went_on), stop.n_back) for stop in stops(outcome)}
    for rung in outcome.plan.rungs[:-1]:
        counted = (sum(one.rung >= index for one in outcome.standings) for index in (rung.index, rung.index + 1))
        raced, went_on, back = known.get(rung.index) or (*counted, 0)
        if back or went_on < raced:
            returned = f", {back} back" if back else ""
            yield rung.until_step, f"{'' if rung.index else 'probe '}{raced} → {went_on}{returned}"


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


def _ways(axes: "Axes", ends: Sequence[tuple[Standing, Estimate]], total: int) -> None:
    """Dotted lines from where curves stop to where the runs were expected to end."""
    for one, end in ends:
        step, score = _last_point(one) or (total, end.score)
        if step < total:
            dotted: dict[str, Any] = {"linewidth": 1, "linestyle": (0, (1, 2.5)), "zorder": 1}
            axes.plot([step, total], [score, end.score], color=_colour(one), **dotted)


def _ends(axes: "Axes", outcome: Outcome, ends: Sequence[tuple[Standing, Estimate]]) -> None:
    """Beside the race, a column for each place: the expected end with its interval, and what the run came to."""
    n = ends[-1][0].place
    axes.set_xlim(0.3, n + 0.7)
    axes.set_xticks(range(1, n + 1) if n <= 6 else [1, *range(5, n + 1, 5)])
    axes.set_xlabel("place", color=MUTED, fontsize=10)
    quiet(axes, "y")
    axes.tick_params(labelleft=False)
    for one, end in ends:
        style: dict[str, Any] = {"color": _colour(one), "alpha": 1.0 if one.progress.curve else 0.5}
        axes.plot([one.place] * 2, [end.low, end.high], linewidth=1.3, solid_capstyle="butt", **style)
        axes.plot(one.place, end.score, marker="o", markersize=4.5, markerfacecolor=PAGE, **style)
    whole = [(one, score) for one, _ in ends if (score := reached(outcome, one)) is not None]
    for one, score in whole:
        axes.plot(one.place, score, marker="D", markersize=3.5, color=_colour(one))
    where = stop_name(outcome.plan, ends[0][0].expected[-1].rung)
    said = f"○ test score expected at {where}\nwith 90 % interval{'   ◆ reached' if whole else ''}"
    axes.set_title(said, color=MUTED, fontsize=8, linespacing=1.3)


def _last_point(standing: Standing) -> tuple[int, float] | None:
    """The last evaluation that gave a number."""
    progress = standing.progress
    seen = [point for point in zip(progress.curve_steps, progress.curve, strict=True) if math.isfinite(point[1])]
    return seen[-1] if seen else None


def _places(axes: "Axes", standings: Sequence[Standing]) -> None:
    """Writes each place beside the end of its line; those that would overlap are moved apart."""
    ends: dict[int, list[tuple[float, Standing]]] = {}
    for one in standings:
        point = _last_point(one)
        if point is not None:
            ends.setdefault(point[0], []).append((point[1], one))
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
