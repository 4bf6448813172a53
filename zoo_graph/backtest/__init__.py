"""The zoo's own proof: every dataset left out in turn, every ranker judged on it side by side."""
