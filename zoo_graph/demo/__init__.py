"""The demo zoo: real weights and texts out of packages, measured and shown from end to end."""
