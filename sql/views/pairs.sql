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
--   patch_answer: Text of the patched answer token; may be null
--   case: Case of the template or file; may be null
--   clean_ids: Tokens of the clean prompt
--   patch_ids: Tokens of the patched prompt; may be null
--   clean_answer_id: Clean answer token
--   patch_answer_id: Patched answer token; may be null
--   context_id: Context that the example is, in a task made of a cluster; may be null
select
    pairs.study,
    pairs.task,
    pairs.split,
    pairs.example,
    pairs.clean_prefix,
    pairs.patch_prefix,
    pairs.clean_answer,
    pairs.patch_answer,
    pairs."case",
    pairs.clean_ids,
    pairs.patch_ids,
    pairs.clean_answer_id,
    pairs.patch_answer_id,
    pairs.context_id
from stored.pairs
