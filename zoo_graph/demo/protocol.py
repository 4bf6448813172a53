"""How the demo zoo is measured: which candidates, which tasks, how many rows and steps. `zoo demo` runs by the same.

wordllama is left out: its OPT architecture has no token classification head to average over the tokens.
"""

from selection.datasets import Limits
from selection.records import Precision, Recipe

LIMITS = Limits(train=800, validation=250, test=1000)
# Evaluations of a run of brute force; a race evaluates where it decides.
POINTS = 6
# Where measured curves have points: the ends of five equal stages, as published policies race, and of our rungs.
STOPS = (10, 16, 20, 32, 40, 48, 64, 80)
CANDIDATES = (
    "sentence-transformers/all-MiniLM-L6-v2",
    "sentence-transformers/all-MiniLM-L6-v2@L0",
    "sentence-transformers/all-MiniLM-L6-v2@L1",
    "sentence-transformers/all-MiniLM-L6-v2@L2",
    "sentence-transformers/all-MiniLM-L6-v2@L3",
    "sentence-transformers/all-MiniLM-L6-v2@L4",
    "sentence-transformers/all-MiniLM-L6-v2@last3",
    "sentence-transformers/all-MiniLM-L6-v2@alt3",
    "sentence-transformers/paraphrase-MiniLM-L3-v2",
    "sentence-transformers/paraphrase-MiniLM-L3-v2@L1",
    "sentence-transformers/paraphrase-MiniLM-L3-v2@L2",
    "sentence-transformers/all-mpnet-base-v2@L0",
    "sentence-transformers/all-mpnet-base-v2@L1",
    "sentence-transformers/all-mpnet-base-v2@L2",
    "sentence-transformers/all-mpnet-base-v2@L4",
    "zoo-graph/random-MiniLM-L3",
)
# Short texts first: they are measured soonest.
TASKS = (
    "clinc10-domain",
    "spam-subject",
    "friends-speaker",
    "sms-spam",
    "election-tweets",
    "slovene-topic",
    "clinc150",
    "ag-news-test",
    "book-passages",
    "chinese-reviews",
    "reuters-r8",
    "20newsgroups",
    "spam-assassin",
    "slovene-sentiment",
    "reuters-r52",
)
# On every task, for the noise.
SEEDS = (0, 1, 2)


def recipe(precision: Precision, seed: int = 0) -> Recipe:
    """The demo's fine-tune: 80 steps of 16 texts of at most 48 tokens, on one thread."""
    return Recipe(
        learning_rate=2e-4,
        head_learning_rate=2e-2,
        batch_size=16,
        total_steps=80,
        warmup_steps=8,
        max_length=48,
        precision=precision,
        seed=seed,
    )
