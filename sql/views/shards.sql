-- what: A shard: a row range of one source (append-only manifest).
-- grain: one row per (study, ordinal)
-- columns:
--   study: Study
--   ordinal: Number of the shard, in the order of registration
--   shard: Partition key: the ordinal, zero-padded to five digits
--   path: Source file or hub data set
--   first_row: First row of the source in this shard [rows]
--   rows: Rows of the source in this shard, malformed ones included [rows]
--   size: Size of the source when last read; null for a stream [bytes]
--   modified_ns: Modification time of the source; null for a stream [ns]
--   content_hash: Hash of the shard's rows
--   first_byte: Offset of first_row in an uncompressed line file; may be null [bytes]
--   read_as: How rows of the source were told apart
--   ends_source: No rows came after these when the source was last read
select
    shards.study,
    shards.ordinal,
    shards.shard,
    shards.path,
    shards.first_row,
    shards.rows,
    shards.size,
    shards.modified_ns,
    shards.content_hash,
    shards.first_byte,
    shards.read_as,
    shards.ends_source
from stored.shards
