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
    "RETURN collect([d.id, d.name, d.task, d.modality, d.n_classes, d.n_samples, d.features_digest, "
    "d.labels_digest, d.tags, d.embedding, d.embedding_by]) AS rows"
)
SNAPSHOT_RESULT_COUNTS = (
    "MATCH (m:Model)-[r:MEASURED]->(:Dataset) WITH m.id AS id, count(r) AS n RETURN collect(id) AS ids, collect(n) AS n"
)
# The conditions come as one text: most results share theirs, and the driver takes a microsecond for each value.
SNAPSHOT_RESULTS = (
    "UNWIND $sources AS id MATCH (:Model {id: id})-[r:MEASURED]->(d:Dataset) "
    "RETURN id AS model, collect(d.id) AS dataset, collect([r.id, r.score, r.seconds, coalesce(r.metric, '') + $cut + "
    "coalesce(r.split, '') + $cut + coalesce(r.method, '') + $cut + coalesce(toString(r.n_shot), '') + $cut + "
    "coalesce(toString(r.seed), '') + $cut + coalesce(r.source, '') + $cut + coalesce(r.harness, '') + $cut + "
    "coalesce(toString(r.date), '') + $cut + coalesce(r.config, '')]) AS rows"
)
SNAPSHOT_PROXY_COUNTS = (
    "MATCH (m:Model)-[p:PROXY]->(:Dataset) WITH m.id AS id, count(p) AS n RETURN collect(id) AS ids, collect(n) AS n"
)
SNAPSHOT_PROXIES = (
    "UNWIND $sources AS id MATCH (:Model {id: id})-[p:PROXY]->(d:Dataset) RETURN id AS model, "
    "collect(d.id) AS dataset, collect([p.name, p.score, p.seconds, p.sample_digest, p.n_samples]) AS rows"
)
SNAPSHOT_LINEAGE_COUNTS = (
    "MATCH (m:Model)-[l:DERIVED_FROM]->(:Model) WITH m.id AS id, count(l) AS n "
    "RETURN collect(id) AS ids, collect(n) AS n"
)
SNAPSHOT_LINEAGE = (
    "UNWIND $sources AS id MATCH (:Model {id: id})-[l:DERIVED_FROM]->(b:Model) "
    "RETURN id AS model, collect(b.id) AS base, collect([l.kind]) AS rows"
)
SNAPSHOT_PRETRAINED_COUNTS = (
    "MATCH (m:Model)-[p:PRETRAINED_ON]->(:Dataset) WITH m.id AS id, count(p) AS n "
    "RETURN collect(id) AS ids, collect(n) AS n"
)
SNAPSHOT_PRETRAINED = (
    "UNWIND $sources AS id MATCH (:Model {id: id})-[:PRETRAINED_ON]->(d:Dataset) "
    "RETURN id AS model, collect(d.id) AS dataset, collect([]) AS rows"
)
SNAPSHOT_DISTANCE_COUNTS = (
    "MATCH (d:Dataset)-[r:SIMILAR_TO {basis: 'given'}]->(:Dataset) WITH d.id AS id, count(r) AS n "
    "RETURN collect(id) AS ids, collect(n) AS n"
)
SNAPSHOT_DISTANCES = (
    "UNWIND $sources AS id MATCH (:Dataset {id: id})-[r:SIMILAR_TO {basis: 'given'}]->(o:Dataset) "
    "RETURN id AS dataset, collect(o.id) AS other, collect([r.distance]) AS rows"
)

# -- lease
# The graph's node holds it: every write() raises that node's version first, so two takers cannot both see it free.
LEASE_STATE = (
    "MATCH (g:Graph {id: 'zoo'}) RETURN g.lease_owner AS owner, g.lease_pid AS pid, g.lease_host AS host, "
    "g.lease_started AS started, coalesce(g.lease_until, 0) - timestamp() AS left_ms"
)
LEASE_TAKE = (
    "MATCH (g:Graph {id: 'zoo'}) SET g.lease_owner = $owner, g.lease_pid = $pid, g.lease_host = $host, "
    "g.lease_started = $started, g.lease_until = timestamp() + $milliseconds"
)
LEASE_KEEP = (
    "MATCH (g:Graph {id: 'zoo'}) WHERE g.lease_owner = $owner SET g.lease_until = timestamp() + $milliseconds "
    "RETURN g.lease_owner AS owner"
)
LEASE_GIVE_BACK = (
    "MATCH (g:Graph {id: 'zoo'}) WHERE g.lease_owner = $owner "
    "SET g.lease_owner = null, g.lease_pid = null, g.lease_host = null, g.lease_started = null, g.lease_until = null"
)

# -- derived
DERIVED_SCORED_COUNTS = (
    "MATCH (a:Model)-[r:SCORED]->(:Dataset) WITH a.id AS id, count(r) AS n RETURN collect(id) AS ids, collect(n) AS n"
)
DERIVED_SCORED_READ = (
    "UNWIND $sources AS id MATCH (:Model {id: id})-[r:SCORED]->(b:Dataset) "
    "RETURN id AS source, collect(b.id) AS targets, collect([r.score, r.metric, r.n, r.spread]) AS rows"
)
DERIVED_SCORED_DELETE = (
    "UNWIND $rows AS row MATCH (:Model {id: row.source})-[r:SCORED]->(b:Dataset) WHERE b.id IN row.targets DELETE r"
)
DERIVED_SCORED_CREATE = (
    "UNWIND $rows AS row MATCH (a:Model {id: row[0]}) MATCH (b:Dataset {id: row[1]}) "
    "CREATE (a)-[:SCORED {score: row[2], metric: row[3], n: row[4], spread: row[5], run: $run}]->(b)"
)
# An edge that stays is changed where it is: a reader beside the refresh never meets the pair without one.
DERIVED_SCORED_CHANGE = (
    "UNWIND $rows AS row MATCH (:Model {id: row.source})-[r:SCORED]->(b:Dataset) WHERE b.id IN row.targets "
    "WITH r, row.values[b.id] AS v SET r.score = v[0], r.metric = v[1], r.n = v[2], r.spread = v[3], r.run = $run"
)
DERIVED_PREDICTED_COUNTS = (
    "MATCH (a:Model)-[r:PREDICTED]->(:Dataset) WITH a.id AS id, count(r) AS n "
    "RETURN collect(id) AS ids, collect(n) AS n"
)
DERIVED_PREDICTED_READ = (
    "UNWIND $sources AS id MATCH (:Model {id: id})-[r:PREDICTED]->(b:Dataset) "
    "RETURN id AS source, collect(b.id) AS targets, collect([r.score, r.low, r.high, r.by]) AS rows"
)
DERIVED_PREDICTED_DELETE = (
    "UNWIND $rows AS row MATCH (:Model {id: row.source})-[r:PREDICTED]->(b:Dataset) WHERE b.id IN row.targets DELETE r"
)
DERIVED_PREDICTED_CREATE = (
    "UNWIND $rows AS row MATCH (a:Model {id: row[0]}) MATCH (b:Dataset {id: row[1]}) "
    "CREATE (a)-[:PREDICTED {score: row[2], low: row[3], high: row[4], by: row[5], run: $run}]->(b)"
)
DERIVED_PREDICTED_CHANGE = (
    "UNWIND $rows AS row MATCH (:Model {id: row.source})-[r:PREDICTED]->(b:Dataset) WHERE b.id IN row.targets "
    "WITH r, row.values[b.id] AS v SET r.score = v[0], r.low = v[1], r.high = v[2], r.by = v[3], r.run = $run"
)
DERIVED_LIKE_COUNTS = (
    "MATCH (a:Model)-[r:PERFORMS_LIKE]->(:Model) WITH a.id AS id, count(r) AS n "
    "RETURN collect(id) AS ids, collect(n) AS n"
)
DERIVED_LIKE_READ = (
    "UNWIND $sources AS id MATCH (:Model {id: id})-[r:PERFORMS_LIKE]->(b:Model) "
    "RETURN id AS source, collect(b.id) AS targets, collect([r.score, r.overlap]) AS rows"
)
DERIVED_LIKE_DELETE = (
    "UNWIND $rows AS row MATCH (:Model {id: row.source})-[r:PERFORMS_LIKE]->(b:Model) "
    "WHERE b.id IN row.targets DELETE r"
)
DERIVED_LIKE_CREATE = (
    "UNWIND $rows AS row MATCH (a:Model {id: row[0]}) MATCH (b:Model {id: row[1]}) "
    "CREATE (a)-[:PERFORMS_LIKE {score: row[2], overlap: row[3], run: $run}]->(b)"
)
DERIVED_LIKE_CHANGE = (
    "UNWIND $rows AS row MATCH (:Model {id: row.source})-[r:PERFORMS_LIKE]->(b:Model) WHERE b.id IN row.targets "
    "WITH r, row.values[b.id] AS v SET r.score = v[0], r.overlap = v[1], r.run = $run"
)
# SIMILAR_TO of one basis: the edges of another are neither read nor deleted.
DERIVED_PROFILE_COUNTS = (
    "MATCH (a:Dataset)-[r:SIMILAR_TO {basis: 'performance profile'}]->(:Dataset) WITH a.id AS id, count(r) AS n "
    "RETURN collect(id) AS ids, collect(n) AS n"
)
DERIVED_PROFILE_READ = (
    "UNWIND $sources AS id MATCH (:Dataset {id: id})-[r:SIMILAR_TO {basis: 'performance profile'}]->(b:Dataset) "
    "RETURN id AS source, collect(b.id) AS targets, collect([r.score, r.overlap]) AS rows"
)
DERIVED_PROFILE_DELETE = (
    "UNWIND $rows AS row MATCH (:Dataset {id: row.source})-[r:SIMILAR_TO {basis: 'performance profile'}]->(b:Dataset) "
    "WHERE b.id IN row.targets DELETE r"
)
DERIVED_PROFILE_CREATE = (
    "UNWIND $rows AS row MATCH (a:Dataset {id: row[0]}) MATCH (b:Dataset {id: row[1]}) "
    "CREATE (a)-[:SIMILAR_TO {score: row[2], overlap: row[3], basis: 'performance profile', run: $run}]->(b)"
)
DERIVED_PROFILE_CHANGE = (
    "UNWIND $rows AS row MATCH (:Dataset {id: row.source})-[r:SIMILAR_TO {basis: 'performance profile'}]->(b:Dataset) "
    "WHERE b.id IN row.targets WITH r, row.values[b.id] AS v SET r.score = v[0], r.overlap = v[1], r.run = $run"
)
DERIVED_EMBEDDED_COUNTS = (
    "MATCH (a:Dataset)-[r:SIMILAR_TO {basis: 'probe embedding'}]->(:Dataset) WITH a.id AS id, count(r) AS n "
    "RETURN collect(id) AS ids, collect(n) AS n"
)
DERIVED_EMBEDDED_READ = (
    "UNWIND $sources AS id MATCH (:Dataset {id: id})-[r:SIMILAR_TO {basis: 'probe embedding'}]->(b:Dataset) "
    "RETURN id AS source, collect(b.id) AS targets, collect([r.score, r.by]) AS rows"
)
DERIVED_EMBEDDED_DELETE = (
    "UNWIND $rows AS row MATCH (:Dataset {id: row.source})-[r:SIMILAR_TO {basis: 'probe embedding'}]->(b:Dataset) "
    "WHERE b.id IN row.targets DELETE r"
)
DERIVED_EMBEDDED_CREATE = (
    "UNWIND $rows AS row MATCH (a:Dataset {id: row[0]}) MATCH (b:Dataset {id: row[1]}) "
    "CREATE (a)-[:SIMILAR_TO {score: row[2], by: row[3], basis: 'probe embedding', run: $run}]->(b)"
)
DERIVED_EMBEDDED_CHANGE = (
    "UNWIND $rows AS row MATCH (:Dataset {id: row.source})-[r:SIMILAR_TO {basis: 'probe embedding'}]->(b:Dataset) "
    "WHERE b.id IN row.targets WITH r, row.values[b.id] AS v SET r.score = v[0], r.by = v[1], r.run = $run"
)
DERIVED_IN_COUNTS = (
    "MATCH (a:Model)-[r:IN]->(:Community) WITH a.id AS id, count(r) AS n RETURN collect(id) AS ids, collect(n) AS n"
)
DERIVED_IN_READ = (
    "UNWIND $sources AS id MATCH (:Model {id: id})-[:IN]->(b:Community) "
    "RETURN id AS source, collect(b.id) AS targets, collect([]) AS rows"
)
DERIVED_IN_DELETE = (
    "UNWIND $rows AS row MATCH (:Model {id: row.source})-[r:IN]->(b:Community) WHERE b.id IN row.targets DELETE r"
)
DERIVED_IN_CREATE = (
    "UNWIND $rows AS row MATCH (a:Model {id: row[0]}) MATCH (b:Community {id: row[1]}) "
    "CREATE (a)-[:IN {run: $run}]->(b)"
)
DERIVED_LED_COUNTS = (
    "MATCH (a:Community)-[r:REPRESENTED_BY]->(:Model) WITH a.id AS id, count(r) AS n "
    "RETURN collect(id) AS ids, collect(n) AS n"
)
DERIVED_LED_READ = (
    "UNWIND $sources AS id MATCH (:Community {id: id})-[:REPRESENTED_BY]->(b:Model) "
    "RETURN id AS source, collect(b.id) AS targets, collect([]) AS rows"
)
DERIVED_LED_DELETE = (
    "UNWIND $rows AS row MATCH (:Community {id: row.source})-[r:REPRESENTED_BY]->(b:Model) "
    "WHERE b.id IN row.targets DELETE r"
)
DERIVED_LED_CREATE = (
    "UNWIND $rows AS row MATCH (a:Community {id: row[0]}) MATCH (b:Model {id: row[1]}) "
    "CREATE (a)-[:REPRESENTED_BY {run: $run}]->(b)"
)
DERIVED_COMMUNITIES = "MATCH (c:Community) RETURN collect([c.id, c.size, c.label, c.quality]) AS rows"
DERIVED_COMMUNITIES_KEEP = (
    "UNWIND $rows AS row MERGE (c:Community {id: row[0]}) "
    "SET c.size = row[1], c.label = row[2], c.quality = row[3], c.run = $run"
)
DERIVED_COMMUNITIES_DELETE = "MATCH (c:Community) WHERE c.id IN $ids DETACH DELETE c"

# -- refresh
REFRESH_LAST_RUN = (
    "MATCH (r:Run {kind: $kind}) RETURN r.id AS id, r.status AS status, r.input_digest AS digest, r.counts AS counts, "
    "r.parameters AS parameters ORDER BY r.started DESC LIMIT 1"
)
REFRESH_RUNS_CUT_OFF = (
    "MATCH (r:Run {kind: $kind}) WHERE r.status = 'running' SET r.status = 'failed', r.finished = $now"
)
REFRESH_RUN_STARTED = (
    "MERGE (r:Run {id: $id}) SET r.kind = $kind, r.started = $now, r.finished = null, r.input_digest = $digest, "
    "r.code_version = $code, r.parameters = $parameters, r.counts = null, r.status = 'running'"
)
REFRESH_RUN_ENDED = "MATCH (r:Run {id: $id}) SET r.finished = $now, r.counts = $counts, r.status = $status"

# -- ingest
# Nodes are found by id, then by key (the id without its case), then by alias; the rest is created.
# Relationships carry `id` (a content hash) and `runs`: who vouches for them. Ids that exist are read per model.
INGEST_VERSION = "MATCH (g:Graph {id: 'zoo'}) RETURN g.version AS version"
INGEST_RUN = "MATCH (r:Run {id: $id}) RETURN r.status AS status"
INGEST_RUNS = "MATCH (r:Run) RETURN collect(r.id) AS ids"
INGEST_RUN_STARTED = (
    "MERGE (r:Run {id: $id}) ON CREATE SET r.started = $started SET r.kind = $kind, r.input_digest = $input_digest, "
    "r.code_version = $code_version, r.parameters = $parameters, r.status = 'running'"
)
INGEST_RUN_ENDED = "MATCH (r:Run {id: $id}) SET r.finished = $finished, r.counts = $counts, r.status = $status"
_INGEST_FIND = (
    "UNWIND $names AS name MATCH (n:{label} {{{key}: name}}) "
    "RETURN collect([name, n.id, $run IN coalesce(n.runs, [])]) AS found"
)
_INGEST_ALIAS = (
    "UNWIND $names AS name MATCH (a:Alias {{id: name}})-[:NAMES]->(n:{label}) "
    "RETURN collect([name, n.id, $run IN coalesce(n.runs, [])]) AS found"
)
INGEST_FIND_BY_ID = {label: _INGEST_FIND.format(label=label, key="id") for label in ("Model", "Dataset")}
INGEST_FIND_BY_KEY = {label: _INGEST_FIND.format(label=label, key="key") for label in ("Model", "Dataset")}
INGEST_FIND_BY_ALIAS = {label: _INGEST_ALIAS.format(label=label) for label in ("Model", "Dataset")}
INGEST_CREATE_NODES = {
    label: f"UNWIND $rows AS row CREATE (:{label} {{id: row[0], key: row[1], name: row[2], runs: $runs}})"
    for label in ("Model", "Dataset")
}
INGEST_VOUCH_NODES = {
    label: f"UNWIND $ids AS id MATCH (n:{label} {{id: id}}) SET n.runs = coalesce(n.runs, []) + $run"
    for label in ("Model", "Dataset")
}
INGEST_PROPERTIES = {
    label: f"UNWIND $ids AS id MATCH (n:{label} {{id: id}}) RETURN collect(properties(n)) AS found"
    for label in ("Model", "Dataset")
}
INGEST_SET_PROPERTIES = {
    label: f"UNWIND $rows AS row MATCH (n:{label} {{id: row[0]}}) SET n += row[1]" for label in ("Model", "Dataset")
}
INGEST_ALIASES = (
    "UNWIND $names AS name MATCH (a:Alias {id: name})-[:NAMES]->(n) "
    "RETURN collect([name, n.id, $run IN coalesce(a.runs, [])]) AS found"
)
INGEST_CREATE_ALIASES = {
    label: (
        f"UNWIND $rows AS row MATCH (n:{label} {{id: row[2]}}) "
        "CREATE (:Alias {id: row[0], name: row[1], runs: $runs})-[:NAMES]->(n)"
    )
    for label in ("Model", "Dataset")
}
INGEST_VOUCH_ALIASES = "UNWIND $ids AS id MATCH (a:Alias {id: id}) SET a.runs = coalesce(a.runs, []) + $run"
# Only relationships that an import vouches for have an id and runs: derived ones of the same kind are passed over.
_SOURCES = {
    "MEASURED": "Model", "PROXY": "Model", "DERIVED_FROM": "Model", "PRETRAINED_ON": "Model", "SIMILAR_TO": "Dataset",
}  # fmt: skip
INGEST_EDGES = {
    kind: (
        f"UNWIND $sources AS id MATCH (:{label} {{id: id}})-[r:{kind}]->() RETURN id AS source, collect(r.id) AS ids, "
        "collect(CASE WHEN $run IN coalesce(r.runs, []) THEN null ELSE r.id END) AS others"
    )
    for kind, label in _SOURCES.items()
}
_INGEST_CREATE_EDGES = (
    "UNWIND $groups AS group MATCH (m:{source} {{id: group[0]}}) UNWIND group[1] AS row "
    "MATCH (n:{label} {{id: row[0]}}) CREATE (m)-[:{kind} {{id: row[1], runs: $runs{properties}}}]->(n)"
)
INGEST_CREATE_EDGES = {
    "MEASURED": _INGEST_CREATE_EDGES.format(
        source="Model",
        label="Dataset",
        kind="MEASURED",
        properties=", metric: row[2], value: row[3], score: row[4], unit: row[5], split: row[6], n_shot: row[7], "
        "method: row[8], seed: row[9], source: row[10], harness: row[11], date: row[12], config: row[13], "
        "seconds: row[14], curve: row[15], curve_steps: row[16]",
    ),
    "PROXY": _INGEST_CREATE_EDGES.format(
        source="Model",
        label="Dataset",
        kind="PROXY",
        properties=", name: row[2], score: row[3], seconds: row[4], sample_digest: row[5], n_samples: row[6]",
    ),
    "DERIVED_FROM": _INGEST_CREATE_EDGES.format(
        source="Model", label="Model", kind="DERIVED_FROM", properties=", kind: row[2]"
    ),
    "PRETRAINED_ON": _INGEST_CREATE_EDGES.format(source="Model", label="Dataset", kind="PRETRAINED_ON", properties=""),
    "SIMILAR_TO": _INGEST_CREATE_EDGES.format(
        source="Dataset", label="Dataset", kind="SIMILAR_TO", properties=", basis: 'given', distance: row[2]"
    ),
}
INGEST_VOUCH_EDGES = {
    kind: (
        f"UNWIND $groups AS group MATCH (:{label} {{id: group[0]}})-[r:{kind}]->() "
        "WHERE r.id IN group[1] SET r.runs = coalesce(r.runs, []) + $run"
    )
    for kind, label in _SOURCES.items()
}
FORGET_NODES = {
    label: f"MATCH (n:{label}) WHERE $run IN n.runs RETURN collect(n.id) AS ids"
    for label in ("Model", "Dataset", "Alias")
}
FORGET_EDGES = {
    kind: (
        f"UNWIND $sources AS id MATCH (:{label} {{id: id}})-[r:{kind}]->() WHERE $run IN r.runs AND size(r.runs) = 1 "
        "WITH r LIMIT $limit DELETE r RETURN count(*) AS n"
    )
    for kind, label in _SOURCES.items()
}
FORGET_EDGE_RUNS = {
    kind: (
        f"UNWIND $sources AS id MATCH (:{label} {{id: id}})-[r:{kind}]->() WHERE $run IN r.runs AND size(r.runs) > 1 "
        "WITH r LIMIT $limit SET r.runs = [run IN r.runs WHERE run <> $run] RETURN count(*) AS n"
    )
    for kind, label in _SOURCES.items()
}
FORGET_NODE_RUNS = {
    label: f"UNWIND $ids AS id MATCH (n:{label} {{id: id}}) SET n.runs = [run IN n.runs WHERE run <> $run]"
    for label in ("Model", "Dataset", "Alias")
}
_FORGET_LONE = (
    "UNWIND $ids AS id MATCH (n:{label} {{id: id}}) WHERE size(n.runs) = 0 "
    "OPTIONAL MATCH (n)-[r:MEASURED|PROXY|DERIVED_FROM|PRETRAINED_ON]-() "
    "WITH n, count(r) AS relations WHERE relations = 0 DETACH DELETE n RETURN count(*) AS n"
)
FORGET_LONE_NODES = {
    "Model": _FORGET_LONE.format(label="Model"),
    "Dataset": _FORGET_LONE.format(label="Dataset"),
    "Alias": "UNWIND $ids AS id MATCH (n:Alias {id: id}) WHERE size(n.runs) = 0 DETACH DELETE n RETURN count(*) AS n",
}
FORGET_STARTED = "MATCH (r:Run {id: $id}) SET r.status = 'running'"
FORGET_RUN = "MATCH (r:Run {id: $id}) DETACH DELETE r"

# -- export
EXPORT_MODELS = (
    "MATCH (m:Model) WHERE m.id > $after WITH m ORDER BY m.id LIMIT $limit "
    "RETURN collect([m.id, m.name, m.family, m.architecture, m.modality, m.tasks, m.n_parameters, m.license, "
    "m.source, m.input_spec, m.created]) AS rows"
)
EXPORT_DATASETS = (
    "MATCH (d:Dataset) WHERE d.id > $after WITH d ORDER BY d.id LIMIT $limit "
    "RETURN collect([d.id, d.name, d.task, d.modality, d.n_classes, d.n_samples, d.features_digest, "
    "d.labels_digest, d.tags, d.embedding, d.embedding_by]) AS rows"
)
EXPORT_ALIASES = {
    label: f"MATCH (a:Alias)-[:NAMES]->(n:{label}) RETURN collect([n.id, a.name]) AS rows"
    for label in ("Model", "Dataset")
}
EXPORT_LINEAGE = (
    "UNWIND $sources AS id MATCH (:Model {id: id})-[r:DERIVED_FROM]->(b:Model) "
    "RETURN collect([id, b.id, r.kind]) AS rows"
)
EXPORT_PRETRAINED = (
    "UNWIND $sources AS id MATCH (:Model {id: id})-[:PRETRAINED_ON]->(d:Dataset) RETURN collect([id, d.id]) AS rows"
)
EXPORT_COUNTS = {
    kind: (
        f"UNWIND $sources AS id MATCH (:{label} {{id: id}})-[r:{kind}]->() WITH id, count(r) AS n "
        "RETURN collect([id, n]) AS rows"
    )
    for kind, label in (("MEASURED", "Model"), ("PROXY", "Model"), ("SIMILAR_TO", "Dataset"))
}
EXPORT_RESULTS = (
    "UNWIND $sources AS id MATCH (:Model {id: id})-[r:MEASURED]->(d:Dataset) RETURN collect([id, d.id, r.metric, "
    "r.value, r.unit, r.score, r.split, r.n_shot, r.method, r.seed, r.source, r.harness, r.date, r.config, r.seconds, "
    "r.curve, r.curve_steps]) AS rows"
)
EXPORT_PROXIES = (
    "UNWIND $sources AS id MATCH (:Model {id: id})-[p:PROXY]->(d:Dataset) "
    "RETURN collect([id, d.id, p.name, p.score, p.seconds, p.sample_digest, p.n_samples]) AS rows"
)
EXPORT_DISTANCES = (
    "UNWIND $sources AS id MATCH (:Dataset {id: id})-[r:SIMILAR_TO {basis: 'given'}]->(o:Dataset) "
    "RETURN collect([id, o.id, r.distance]) AS rows"
)

# -- curves
CURVES = (
    "MATCH (m:Model)-[r:MEASURED]->(d:Dataset) WHERE r.split = 'test' AND size(r.curve) > 0 RETURN "
    "collect([m.id, d.id, r.metric, r.score, r.curve, r.curve_steps, r.config, r.seed, r.method]) AS rows"
)

# -- prospects
COMMUNITY_MEMBERS = "MATCH (m:Model)-[:IN]->(c:Community) RETURN collect(m.id) AS models, collect(c.id) AS communities"

# -- zoo

STATUS_COUNTS = {
    "models": "MATCH (m:Model) RETURN count(m) AS n",
    "datasets": "MATCH (d:Dataset) RETURN count(d) AS n",
    "results": "MATCH (:Model)-[r:MEASURED]->(:Dataset) RETURN count(r) AS n",
    "proxies": "MATCH (:Model)-[r:PROXY]->(:Dataset) RETURN count(r) AS n",
    "scores": "MATCH (:Model)-[r:SCORED]->(:Dataset) RETURN count(r) AS n",
    "communities": "MATCH (c:Community) RETURN count(c) AS n",
}
STATUS_RUNS = (
    "MATCH (r:Run) RETURN r.id AS id, r.kind AS kind, r.status AS status, r.started AS started, "
    "r.counts AS counts ORDER BY r.started DESC LIMIT $limit"
)
DATASET_IDS = "MATCH (d:Dataset) RETURN collect(d.id) AS ids"
DATASET_EXISTS = "MATCH (d:Dataset {id: $id}) RETURN count(d) AS n"
