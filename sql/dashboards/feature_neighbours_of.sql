-- question: Which features of the site point where a feature points, or fire when it fires?
-- grain: one row per (kind, rank)
-- columns: other: the neighbour, with its label and density; value: cosine of the decoder rows, or
--   Jaccard index of the tokens; common_tokens of the sample
select
    kind,
    rank,
    other,
    value,
    common_tokens,
    features.label,
    features.density
from feature_neighbours as near
left join features
    on features.study = near.study
        and features.site = near.site
        and features.feature = near.other
where near.study = $study and near.site = $site and near.feature = $feature
order by kind, rank
