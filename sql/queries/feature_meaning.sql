-- question: What do the strongest features of a circuit fire on, and what do they raise?
-- grain: one row per (study, circuit, site, feature): the 20 of largest |effect|; of one circuit:
--   where circuit = 'rc.ig.none'
-- columns: place; effect: summed over positions, in the metric's unit; share of the circuit's
--   Σ|effect|, error nodes included; fires_on: the commonest tokens of its kept examples, five at
--   most; first_share: share of these examples that are on the first; example: text of the strongest
--   one, which ends with the token; raises and lowers: tokens whose logits a unit of it moves most,
--   five at most; label; density
with summed as (
    select study, circuit, site, feature, sum(effect) as effect
    from circuit_nodes
    group by study, circuit, site, feature
),
ranked as (
    select *, abs(effect) / sum(abs(effect)) over (partition by study, circuit) as share,
        row_number() over (
            partition by study, circuit
            order by feature < 0, abs(effect) desc, site_place(site), feature
        ) as place
    from summed
),
nodes as (
    select *
    from ranked
    where place <= 20 and feature >= 0
),
met as (
    select distinct study, site, feature
    from nodes
),
examples as (
    select study, site, feature, rank, doc_id, pos, token
    from feature_examples
    semi join met using (study, site, feature)
    join tokens using (study, doc_id, pos)
),
counted as (
    select study, site, feature, token, count(*) as examples
    from examples
    group by study, site, feature, token
),
fired as (
    select study, site, feature,
        list(token order by examples desc, token)[:5] as fires_on,
        max(examples) / sum(examples) as first_share
    from counted
    group by study, site, feature
),
strongest as (
    select study, site, feature, string_agg(near.token, '' order by near.pos) as example
    from examples
    join tokens as near using (study, doc_id)
    where rank = 0 and near.pos + 8 >= examples.pos and near.pos <= examples.pos
    group by study, site, feature
),
moved as (
    select study, site, feature,
        (list(token order by rank) filter (where sign > 0))[:5] as raises,
        (list(token order by rank) filter (where sign < 0))[:5] as lowers
    from feature_logits
    semi join met using (study, site, feature)
    group by study, site, feature
)
select
    study,
    circuit,
    place,
    site,
    feature,
    effect,
    share,
    fires_on,
    first_share,
    example,
    raises,
    lowers,
    label,
    density
from nodes
left join fired using (study, site, feature)
left join strongest using (study, site, feature)
left join moved using (study, site, feature)
left join features using (study, site, feature)
order by study, circuit, place
