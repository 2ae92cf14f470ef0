-- question: What does a study consist of, and how well does its model predict its corpus?
-- grain: one row per study
-- columns: documents, subsets and shards of the corpus; tokens; predicted: those with a loss;
--   mean_loss in nats; top_share: predictions in which it was the model's first choice;
--   rules: known (skill, slot) in the corpus; excess: of all pieces whose surprisal is known, loss
--   less surprisal, in nats a token; n_layers, d_model and sites with a dictionary; n_features;
--   worst_fve: variance explained at the worst site; contexts; ari of the best clustering against
--   the known rules, on contexts that did not choose it; tasks with a circuit
with corpora as (
    select study, count(*) as documents, count(distinct pile_set_name) as subsets,
        count(distinct shard) as shards
    from documents
    group by study
),
texts as (
    select study, count(*) as tokens
    from tokens
    group by study
),
by_rule as (
    select study, skill, slot, count(*) as predicted, sum(loss) as loss,
        count(*) filter (where rank = 0) as top, count(surprisal) as known,
        sum(loss - surprisal) as excess
    from losses
    group by study, skill, slot
),
predictions as (
    select study, sum(predicted)::bigint as predicted, sum(loss) / sum(predicted) as mean_loss,
        sum(top) / sum(predicted) as top_share, count(skill) as rules,
        sum(excess) / nullif(sum(known), 0) as excess
    from by_rule
    group by study
),
models as (
    select study, count(*) filter (where starts_with(site, 'resid_')) as n_layers,
        max(d_model) as d_model, count(*) as sites, sum(n_features)::bigint as n_features,
        min(fve) as worst_fve
    from dictionaries
    group by study
),
chosen as (
    select study, count(*) as contexts
    from contexts
    group by study
),
grouped as (
    select study, report_ari as ari
    from queries.clusterings_compared
    where chosen
),
circuits_made as (
    select study, count(distinct task) as tasks
    from circuits
    group by study
)
select
    study,
    documents,
    subsets,
    shards,
    tokens,
    predicted,
    round(mean_loss, 9) as mean_loss,
    top_share,
    rules,
    round(excess, 9) as excess,
    n_layers,
    d_model,
    sites,
    n_features,
    worst_fve,
    contexts,
    ari,
    tasks
from corpora
full join texts using (study)
full join predictions using (study)
full join models using (study)
full join chosen using (study)
full join grouped using (study)
full join circuits_made using (study)
order by study
