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
--   first_byte: Offset of first_row in an uncompressed line file [bytes]
--   read_as: How rows of the source were told apart
--   ends_source: No rows came after these when the source was last read
select
    study,
    ordinal,
    shard,
    path,
    first_row,
    rows,
    size,
    modified_ns,
    content_hash,
    first_byte,
    read_as,
    ends_source
from stored.shards
