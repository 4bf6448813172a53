"""Where trials run: on this machine, or over a cluster."""
