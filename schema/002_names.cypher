// One model or dataset under several names: `key` is the id without its case; an Alias is a further name.
CREATE CONSTRAINT alias_id IF NOT EXISTS FOR (n:Alias) REQUIRE n.id IS UNIQUE;
CREATE INDEX model_key IF NOT EXISTS FOR (n:Model) ON (n.key);
CREATE INDEX dataset_key IF NOT EXISTS FOR (n:Dataset) ON (n.key);
