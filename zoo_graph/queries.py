"""Every Cypher statement outside schema/, as constants with parameters only; one section per room.

All are written for both stores: Neo4j 5 and the embedded engine (no MERGE on relationships, few wide rows).
"""

# -- snapshot
SNAPSHOT_VERSION = (
    "MATCH (g:Graph {id: 'zoo'}) "
    "RETURN coalesce(g.instance, '') AS instance, coalesce(g.version, 0) - coalesce(g.derived, 0) AS version"
)
# Every write raises `version`; writes of derived things also raise `derived`, so the difference moves only
# with what was imported or measured, and a refresh does not make its own snapshot stale.
COUNT_DERIVED_WRITE = "MATCH (g:Graph {id: 'zoo'}) SET g.derived = coalesce(g.derived, 0) + 1"
NAME_INSTANCE = "MATCH (g:Graph {id: 'zoo'}) WHERE g.instance IS NULL SET g.instance = $instance"
SNAPSHOT_MODELS = (
    "MATCH (m:Model) WHERE m.id > $after WITH m ORDER BY m.id LIMIT $limit "
    "RETURN collect([m.id, m.name, m.family, m.architecture, m.modality, m.tasks, m.n_parameters, m.license, "
    "m.source, m.created]) AS rows"
)
SNAPSHOT_DATASETS = (
    "MATCH (d:Dataset) WHERE d.id > $after WITH d ORDER BY d.id LIMIT $limit "
    "RETURN collect([d.id, d.name, d.task, d.modality, d.n_classes, d.n_samples, d.features_digest]) AS rows"
)
SNAPSHOT_RESULT_COUNTS = (
    "MATCH (m:Model)-[r:MEASURED]->(:Dataset) WITH m.id AS id, count(r) AS n RETURN collect(id) AS ids, collect(n) AS n"
)
SNAPSHOT_RESULTS = (
    "UNWIND $models AS id MATCH (:Model {id: id})-[r:MEASURED]->(d:Dataset) "
    "RETURN id AS model, collect(d.id) AS dataset, collect([r.id, r.score, r.metric, r.split, r.method, r.n_shot, "
    "r.seed, r.source, r.harness, r.date, r.config, r.seconds]) AS rows"
)
SNAPSHOT_PROXY_COUNTS = (
    "MATCH (m:Model)-[p:PROXY]->(:Dataset) WITH m.id AS id, count(p) AS n RETURN collect(id) AS ids, collect(n) AS n"
)
SNAPSHOT_PROXIES = (
    "UNWIND $models AS id MATCH (:Model {id: id})-[p:PROXY]->(d:Dataset) RETURN id AS model, "
    "collect(d.id) AS dataset, collect([p.name, p.score, p.seconds, p.sample_digest, p.n_samples]) AS rows"
)
SNAPSHOT_LINEAGE_COUNTS = (
    "MATCH (m:Model)-[l:DERIVED_FROM]->(:Model) WITH m.id AS id, count(l) AS n RETURN collect(id) AS ids, collect(n) AS n"
)
SNAPSHOT_LINEAGE = (
    "UNWIND $models AS id MATCH (:Model {id: id})-[l:DERIVED_FROM]->(b:Model) "
    "RETURN id AS model, collect(b.id) AS base, collect([l.kind]) AS rows"
)
SNAPSHOT_PRETRAINED_COUNTS = (
    "MATCH (m:Model)-[p:PRETRAINED_ON]->(:Dataset) WITH m.id AS id, count(p) AS n "
    "RETURN collect(id) AS ids, collect(n) AS n"
)
SNAPSHOT_PRETRAINED = (
    "UNWIND $models AS id MATCH (:Model {id: id})-[:PRETRAINED_ON]->(d:Dataset) "
    "RETURN id AS model, collect(d.id) AS dataset, collect([]) AS rows"
)
