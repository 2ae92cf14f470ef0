-- question: What are the projected gradients of some contexts?
-- grain: one row per context of $contexts that has one
-- columns: context_id; vector: of norm context_gradients.norm on average
select context_id, vector
from context_gradients
where study = $study and list_contains($contexts, context_id)
