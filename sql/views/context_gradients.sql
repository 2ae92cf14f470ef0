-- what: A context's gradient of its loss over the parameters, projected.
-- grain: one row per (study, context_id)
-- columns:
--   study: Study
--   context_id: Context
--   shard: Shard: row range of a source
--   vector: Its inner product with another context's vector of the study estimates that of their
--     gradients over all parameters but norms, embeddings and unembedding
--   norm: Norm of the gradient, estimated [nats]
select
    context_gradients.study,
    context_gradients.context_id,
    context_gradients.shard,
    context_gradients.vector,
    context_gradients.norm
from stored.context_gradients
