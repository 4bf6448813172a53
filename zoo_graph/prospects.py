"""Which candidates' proxies are run in the time there is: what each is expected to gain, from the graph's evidence.

Knows recall's posterior, communities and `selection.planning`. Opens no checkpoint.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from selection.planning import LEAST_GAIN, Order, Prospects, ProxyPolicy, order_by
from selection.recall import Evidence
from zoo_graph import queries
from zoo_graph.errors import InputError
from zoo_graph.store import Connection

if TYPE_CHECKING:
    from selection.probing import Probed
    from selection.recall import Constraints

_BY = {
    "gain": "by expected gain per second",
    "representatives": "the communities' representatives only",
    "all": "as they come",
}


@dataclass(frozen=True, slots=True)
class Spending:
    """How the proxies' time is spent: by which policy, within how many seconds (None: without end), in which order.

    `n_worth` models are expected to gain something by their proxies; None where the policy does not ask.
    """

    policy: ProxyPolicy
    seconds: float | None = None
    order: Order | None = None
    n_worth: int | None = None

    def note(self, probed: "Probed") -> str:
        """What was probed, in which time, and what was not; empty where all were to be probed and none was left out."""
        left_out = len(probed.not_begun)
        if self.seconds is None and not left_out:
            return ""
        n_models = len(probed.scores) + len(probed.failures) + len(probed.cut_off) + left_out
        of = "" if self.seconds is None else f" of {self.seconds:g}"
        parts = [
            f"proxies were computed for {len(probed.scores)} of {n_models} models whose weights are known, in "
            f"{probed.seconds:.1f}{of} seconds, {_BY[self.policy]}"
        ]
        if probed.cut_off:
            parts.append(f"{', '.join(one.model for one in probed.cut_off)} ran out of that time")
        if left_out:
            parts.append(f"{left_out} were not begun{self._why(left_out)}")
        return "; ".join(parts)

    def _why(self, left_out: int) -> str:
        if self.n_worth == 0:
            return ": on the zoo's past datasets proxies did not tell more than is known of these models already"
        reasons = []
        if self.seconds is not None:
            reasons.append("their expected seconds did not fit")
        if self.policy == "gain":
            reasons.append("no change of the picks was expected of them")
        if self.policy == "representatives":
            reasons.append("another model stands for them")
        return f": {', or '.join(reasons)}"


def plan_spending(
    connection: Connection,
    learn: Callable[[], Evidence],
    *,
    policy: ProxyPolicy | None,
    seconds: float | None,
    names: Sequence[str],
    constraints: "Constraints",
    probed: Sequence[str],
    k: int,
) -> Spending:
    """How to spend `seconds` on the proxies `names` of the models `probed`, for choosing `k` within `constraints`.

    Without a policy it is "gain" where seconds are given, else "all". `learn` tells what is known before; proxies
    `names` that the graph holds of the target are left out of account.

    Raises:
        InputError: representatives are asked for and the zoo has no communities.
    """
    from selection.recall.constraints import admit
    from selection.recall.posterior import learn_posterior
    from selection.recall.worth import probe_gains

    policy = policy or ("all" if seconds is None else "gain")
    if policy == "all":
        return Spending(policy, seconds)
    communities = communities_of(connection)
    if policy == "representatives" and not communities:
        raise InputError(
            "got the proxy policy representatives and the zoo has no communities: refresh it first (zoo refresh), or "
            "choose gain or all"
        )
    known, asked = learn(), set(names)
    known = replace(known, proxies={name: values for name, values in known.proxies.items() if name not in asked})
    posterior = learn_posterior(known, 0.9)
    places = {candidate.model: place for place, candidate in enumerate(known.candidates)}
    rows = [places[model] for model in probed]
    kept = sorted({*admit(known.candidates, constraints, known.seen).kept, *rows})
    gains = probe_gains(known, posterior, names, kept, k)
    prospects = Prospects(
        means=dict(zip(probed, posterior.prediction.mean[rows].tolist(), strict=True)),
        gains=dict(zip(probed, gains[rows].tolist(), strict=True)),
        communities=communities,
    )
    n_worth = int(np.count_nonzero(gains[rows] > LEAST_GAIN)) if policy == "gain" else None
    return Spending(policy, seconds, order_by(policy, prospects, seconds), n_worth)


def communities_of(connection: Connection) -> dict[str, str]:
    """The community of each model that has one."""
    row = connection.read(queries.COMMUNITY_MEMBERS)[0]
    return dict(zip(row["models"], row["communities"], strict=True))
