-- what: Contexts in which a feature is active, most active first
-- parameters:
--   study varchar: the study
--   site varchar: embed, z_i, attn_i, mid_i, mlp_i or resid_i
--   feature bigint: feature of the site's dictionary
-- grain: one row per (context_id)
-- columns: doc_id, pos, answer and loss (nats) of the context; activation and effect, summed over
--   its positions: those stored as sums, else the sum of the positions kept. The context's text:
--   decode_context(study, doc_id, pos, 20)
with sums as (
    select
        found.context_id,
        coalesce(
            sum(found.activation) filter (where found.pos is null), sum(found.activation)
        ) as activation,
        coalesce(sum(found.effect) filter (where found.pos is null), sum(found.effect)) as effect
    from context_features as found
    where found.study = $study and found.site = $site and found.feature = $feature
    group by found.context_id
)
select
    places.study,
    places.context_id,
    places.doc_id,
    places.pos,
    places.answer,
    places.loss,
    sums.activation,
    sums.effect
from sums
join contexts as places using (context_id)
where places.study = $study
order by sums.activation desc, places.context_id
