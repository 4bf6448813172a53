"""Numbered Cypher migrations, packaged as `zoo_graph.schema`."""
