-- question: What are the examples of a task?
-- grain: one row per example, $most of them from number $first on: those of discovery first
-- columns: clean_prefix and patch_prefix, clean_answer and patch_answer, case as in pairs; found:
--   examples of the split in all. $split: train or test; empty for both
select
    split,
    example,
    "case",
    clean_prefix,
    patch_prefix,
    clean_answer,
    patch_answer,
    count(*) over () as found
from pairs
where study = $study and task = $task and ($split = '' or split = $split)
order by split = 'test', split, example
limit $most offset $first
