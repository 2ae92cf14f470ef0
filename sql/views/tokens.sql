-- what: A token of a document.
-- grain: one row per (study, doc_id, pos)
-- columns:
--   study: Study
--   doc_id: Document: shard ordinal × 1,000,000 + row
--   pos: Position in the document [tokens]
--   shard: Shard: row range of a source
--   token_id: Token in the tokenizer's vocabulary
--   token: Text of the token within a text: leading space kept
--   piece: Index in the document's pieces of the one it belongs to; may be null
select
    tokens.study,
    tokens.doc_id,
    tokens.pos,
    tokens.shard,
    tokens.token_id,
    tokens.token,
    tokens.piece
from stored.tokens
