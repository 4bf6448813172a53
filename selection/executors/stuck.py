"""When a piece of work counts as stuck. Plain numbers; knows no clock."""

# It takes longer than both: the estimate may be far off, and others work on the same cores.
STUCK_TIMES = 20.0
STUCK_SECONDS = 900.0


def limit_seconds(expected_seconds: float | None, least_seconds: float = STUCK_SECONDS) -> float | None:
    """The seconds after which a piece is cut off; None, never, where nobody knows what it takes."""
    return None if expected_seconds is None else max(least_seconds, STUCK_TIMES * expected_seconds)


def why_cut_off(expected_seconds: float | None, least_seconds: float = STUCK_SECONDS) -> str:
    """The reason of a piece that was cut off."""
    limit = limit_seconds(expected_seconds, least_seconds) or 0.0
    expected = expected_seconds or 0.0
    return f"cut off by the clock: stuck for {limit:.0f} s, where about {expected:.0f} s were expected"
