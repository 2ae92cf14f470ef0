-- what: A document.
-- grain: one row per (study, doc_id)
-- columns:
--   study: Study
--   doc_id: Document: shard ordinal × 1,000,000 + row
--   shard: Shard: row range of a source
--   pile_set_name: Subset of the corpus; may be null
--   text: Text
--   n_chars: Length of the text [characters]
--   content_hash: Hash of the text
--   duplicate_of: First document of the shard with the same text; null: this is the first
--   pieces: Rules known of the text, in characters; surprisal in nats; may be null
select
    documents.study,
    documents.doc_id,
    documents.shard,
    documents.pile_set_name,
    documents.text,
    documents.n_chars,
    documents.content_hash,
    documents.duplicate_of,
    documents.pieces
from stored.documents
