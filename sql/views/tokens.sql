-- what: A token of a document.
-- grain: one row per (study, doc_id, pos)
-- columns:
--   study: Study
--   doc_id: Document: shard ordinal × 1,000,000 + row
--   pos: Position in the document [tokens]
--   shard: Shard: row range of a source
--   token_id: Token in the tokenizer's vocabulary
--   token: Text of the token within a text: leading space kept
--   piece: Index in the document's pieces of the one it belongs to
select
    study,
    doc_id,
    pos,
    shard,
    token_id,
    token,
    piece
from stored.tokens
