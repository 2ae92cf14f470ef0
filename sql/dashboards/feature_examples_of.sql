-- question: On which tokens is a feature active, from the strongest to the weakest?
-- grain: one row per rank
-- columns: doc_id and pos of the token; activation; interval, interval_low, interval_high, sampled,
--   near_offsets, near_activations and near_effects as in feature_examples
select
    rank,
    doc_id,
    pos,
    activation,
    interval,
    interval_low,
    interval_high,
    sampled,
    near_offsets,
    near_activations,
    near_effects
from feature_examples
where study = $study and site = $site and feature = $feature
order by rank
