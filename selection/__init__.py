"""Chooses the checkpoint to fine-tune: proxy scores, recall, successive halving by real fine-tuning. Knows no graph."""
