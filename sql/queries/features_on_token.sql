-- question: Which features fire on a token?
-- grain: one row per (study, token, site, feature), those with most of their examples on it first;
--   of one token: where token = ' banker'
-- columns: token: its text, leading space kept; on_token: of the feature's kept examples those on
--   this token; share: of all its kept examples; mean_activation and max_activation: of the examples
--   on it; of_largest: max_activation as a share of the feature's largest; label; density
with fired as (
    select study, token, site, feature, count(*) as on_token, avg(activation) as mean_activation,
        max(activation) as max_activation
    from feature_examples
    join tokens using (study, doc_id, pos)
    group by study, token, site, feature
),
kept as (
    select study, site, feature, count(*) as examples
    from feature_examples
    group by study, site, feature
)
select
    study,
    token,
    site,
    feature,
    on_token,
    on_token / examples as share,
    round(fired.mean_activation, 9) as mean_activation,
    fired.max_activation,
    fired.max_activation / nullif(features.max_activation, 0) as of_largest,
    label,
    density
from fired
join kept using (study, site, feature)
left join features using (study, site, feature)
order by study, token, on_token desc, share desc, site_place(site), feature
