-- question: Which features are there: of a site, with a word in their label or raising a token?
-- grain: one row per (site, feature), in the order asked for: $most of them from number $first on
-- columns: label; density, mean_activation, max_activation and histogram as in features; raised:
--   the tokens that it raises most; found: features that are asked for, shown or not. $site: empty
--   for all. $kind: all, alive, dead or labelled. $search: part of a label, a token among those
--   raised, a number, or site/number; empty for all. $order: feature, label, density, mean or max
with raising as (
    select distinct site, feature
    from feature_logits
    where study = $study
        and sign = 1
        and trim($search) <> ''
        and lower(trim(token)) = lower(trim($search))
),
asked as (
    select
        site,
        feature,
        label,
        density,
        mean_activation,
        max_activation,
        row_number() over (order by layer_of(site), site, feature) as place
    from features
    left join (select site, feature, true as raises from raising) as r using (site, feature)
    where study = $study
        and ($site = '' or site = $site)
        and case $kind
            when 'alive' then max_activation > 0
            when 'dead' then max_activation = 0
            when 'labelled' then label is not null
            else true
        end
        and (
            trim($search) = ''
            or raises
            or contains(lower(label), lower(trim($search)))
            or feature::varchar = trim($search)
            or concat(site, '/', feature) = lower(trim($search))
        )
),
keyed as (
    select
        *,
        count(*) over () as found,
        if($order = 'label', lower(label), null) as word,
        case $order
            when 'density' then density
            when 'mean' then mean_activation
            when 'max' then max_activation
            when 'feature' then place
        end as size
    from asked
),
shown as (
    select
        *,
        row_number() over (
            order by
                if($descending, null, word) nulls last,
                if($descending, word, null) desc nulls last,
                if($descending, -size, size) nulls last,
                place
        ) as number
    from keyed
    qualify number > $first and number <= $first + $most
),
tokens_raised as (
    select site, feature, list(token order by rank) as raised
    from feature_logits
    semi join shown using (site, feature)
    where study = $study and sign = 1 and rank < 5
    group by site, feature
),
bins as (
    select site, feature, bin_width, histogram
    from features
    semi join shown using (site, feature)
    where study = $study
)
select
    site,
    feature,
    label,
    density,
    mean_activation,
    max_activation,
    bin_width,
    histogram,
    raised,
    found
from shown
left join tokens_raised using (site, feature)
left join bins using (site, feature)
order by number
