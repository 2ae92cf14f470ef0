-- question: Which shards does a study have?
-- grain: one row per shard
-- columns: ordinal; shard
select ordinal, shard
from shards
where study = $study
order by ordinal
