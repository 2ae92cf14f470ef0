-- what: A document.
-- grain: one row per (study, doc_id)
-- columns:
--   study: Study
--   doc_id: Document: shard ordinal × 1,000,000 + row
--   shard: Shard: row range of a source
--   pile_set_name: Subset of the corpus
--   text: Text
--   n_chars: Length of the text [characters]
--   content_hash: Hash of the text
--   duplicate_of: First document of the shard with the same text; null: this is the first
--     that were there when it was read; null: none
--   pieces: Rules known of the text, in characters; surprisal in nats
select
    study,
    doc_id,
    shard,
    pile_set_name,
    text,
    n_chars,
    content_hash,
    duplicate_of,
    pieces
from stored.documents
