-- question: Which predictions is a circuit of, in a few examples?
-- grain: one row per example of the split train, $most at most: one of each case, then more of each
-- columns: clean_prefix and patch_prefix, clean_answer and patch_answer, case as in pairs; train and
--   test: examples of each split in all
with examples as (
    select
        *,
        count(*) filter (where split = 'train') over () as train,
        count(*) filter (where split = 'test') over () as test,
        row_number() over (partition by split, "case" order by example) as place
    from pairs
    where study = $study and task = $task
)
select
    split,
    example,
    "case",
    clean_prefix,
    patch_prefix,
    clean_answer,
    patch_answer,
    train,
    test
from examples
where split = 'train'
order by place, "case", example
limit $most
