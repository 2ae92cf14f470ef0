-- what: A predicted token of a document (pos ≥ 1).
-- grain: one row per (study, doc_id, pos)
-- columns:
--   study: Study
--   doc_id: Document: shard ordinal × 1,000,000 + row
--   pos: Position in the document [tokens]
--   shard: Shard: row range of a source
--   token_id: Token in the tokenizer's vocabulary
--   loss: −log p of the token given those before it [nats]
--   rank: Tokens that the model held more likely; 0: its top choice
--   entropy: Entropy of the model's prediction [nats]
--   trigram_seen: The trigram ending here occurred earlier in the document
--   bigram_seen: The bigram ending here occurred earlier in the document
--   piece: Index in the document's pieces of the one it belongs to; may be null
--   surprisal: −log p of the piece under its rule, on its first token; 0 on its others, so that
--     sum(loss) − sum(surprisal) of a piece is its excess loss; null where there is no piece or not
--     all of its tokens may have a loss [nats]
--   skill: Rule behind the token, where the corpus knows it; may be null
--   slot: Place of the token within that rule; may be null
select
    losses.study,
    losses.doc_id,
    losses.pos,
    losses.shard,
    losses.token_id,
    losses.loss,
    losses.rank,
    losses.entropy,
    losses.trigram_seen,
    losses.bigram_seen,
    losses.piece,
    losses.surprisal,
    losses.skill,
    losses.slot
from stored.losses
