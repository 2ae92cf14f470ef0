-- question: Which tokens stand at the positions of a task's prompts?
-- grain: one row per position of the train split's first prompt, in order
-- columns: token: of the first prompt; n_tokens: different ones there in all prompts; others: the
--   commonest of these, five at most
with prompts as (
    select example, clean_ids
    from pairs
    where study = $study and task = $task and split = 'train'
),
placed as (
    select
        example,
        unnest(clean_ids) as token_id,
        generate_subscripts(clean_ids, 1) - 1 as pos
    from prompts
),
counted as (
    select
        pos,
        token_id,
        count(*) as examples,
        min(example) = (select min(example) from prompts) as first
    from placed
    group by pos, token_id
),
texts as (
    select token_id, any_value(token) as token
    from tokens
    where study = $study and token_id in (select token_id from counted)
    group by token_id
)
select
    pos,
    max(token) filter (where first) as token,
    count(*) as n_tokens,
    coalesce(
        (list(token order by examples desc, token) filter (where not first and token is not null))
            [:5],
        []
    ) as others
from counted
left join texts using (token_id)
group by pos
having bool_or(first)
order by pos
