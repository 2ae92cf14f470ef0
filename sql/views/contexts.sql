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
--   skill: Rule behind the token, where the corpus knows it; may be null
--   slot: Place of the token within that rule; may be null
select
    contexts.study,
    contexts.context_id,
    contexts.doc_id,
    contexts.pos,
    contexts.answer_id,
    contexts.answer,
    contexts.loss,
    contexts.context_loss,
    contexts.skill,
    contexts.slot
from stored.contexts
