-- question: Which tasks does a study have, and of how many examples?
-- grain: one row per task
-- columns: train: examples that circuits are found on; test: those that they are judged by; pairs:
--   examples of either with a patched prompt; circuits: names of the task's
with found as (
    select task, list(circuit order by circuit) as circuits
    from circuits
    where study = $study
    group by task
)
select
    task,
    count(*) filter (where split = 'train') as train,
    count(*) filter (where split = 'test') as test,
    count(patch_prefix) as pairs,
    coalesce(any_value(circuits), []) as circuits
from pairs
left join found using (task)
where study = $study
group by task
order by task
