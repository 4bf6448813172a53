"""Every Cypher statement outside schema/, as constants with parameters only; one section per room.

All are written for both stores: Neo4j 5 and the embedded engine (no MERGE on relationships, few wide rows).
"""
