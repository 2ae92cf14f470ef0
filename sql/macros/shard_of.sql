-- what: Shard of a document: its partition, so that a comparison with it reads one file
-- parameters:
--   doc_id bigint: the document
printf('%05d', $doc_id // 1000000)
