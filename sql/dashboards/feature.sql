-- question: What is known of a feature, and which ones stand beside it?
-- grain: one row, or none where there is no such feature
-- columns: as in features; previous and following: features of the site by number; place: its own
--   among them, from 1; features: how many there are
with neighbours as (
    select
        feature,
        lag(feature) over by_number as previous,
        lead(feature) over by_number as following,
        row_number() over by_number as place,
        count(*) over () as features
    from features
    where study = $study and site = $site
    window by_number as (order by feature)
)
select
    label,
    density,
    mean_activation,
    max_activation,
    dead,
    active_tokens,
    n_tokens,
    bin_width,
    histogram,
    previous,
    following,
    place,
    neighbours.features
from features
join neighbours using (feature)
where study = $study and site = $site and feature = $feature
