-- what: A predicted token with the tokens before it.
-- grain: one row per (study, context_id)
-- columns:
--   study: Study
--   context_id: Context: doc_id × 65,536 + pos
--   doc_id: Document: shard ordinal × 1,000,000 + row
--   pos: Position of the answer token in the document [tokens]
--   answer_id: Answer token
--   answer: Text of the answer token
--   loss: Loss of the answer given the whole document before it [nats]
--   context_loss: Loss of the answer given only the context [nats]
--   skill: Rule behind the token, where the corpus knows it
--   slot: Place of the token within that rule
select
    study,
    context_id,
    doc_id,
    pos,
    answer_id,
    answer,
    loss,
    context_loss,
    skill,
    slot
from stored.contexts
