-- what: An example of a task: a clean and a patched prompt, or a context of a cluster.
-- grain: one row per (study, task, split, example)
-- columns:
--   study: Study
--   task: Task
--   split: train: discovery; test: evaluation
--   example: Number of the example, unique in its task
--   clean_prefix: Clean prompt
--   patch_prefix: Patched prompt; null for tasks without pairs
--   clean_answer: Text of the clean answer token
--   patch_answer: Text of the patched answer token
--   case: Case of the template or file
--   clean_ids: Tokens of the clean prompt
--   patch_ids: Tokens of the patched prompt
--   clean_answer_id: Clean answer token
--   patch_answer_id: Patched answer token
--   context_id: Context that the example is, in a task made of a cluster
select
    study,
    task,
    split,
    example,
    clean_prefix,
    patch_prefix,
    clean_answer,
    patch_answer,
    "case",
    clean_ids,
    patch_ids,
    clean_answer_id,
    patch_answer_id,
    context_id
from stored.pairs
