-- question: Which features are there: of a site, by label, by a token that they raise or are on at?
-- grain: one row per (site, feature), in the order asked for: $most of them from number $first on
-- columns: label; density, mean_activation, max_activation and histogram as in features; raised:
--   the tokens that it raises most; circuits: how many it is a node of; raises: it raises the token
--   searched for; fires: its examples on that token, null without any; found: features that are
--   asked for, shown or not. $site: empty for all. $kind: all, alive, dead or labelled. $search:
--   part of a label, a token that it raises or is on at, a number, or site/number; empty for all.
--   $order: feature, label, density, mean, max, circuits (equals by max), or fires (equals by
--   circuits)
with raising as (
    select distinct site, feature
    from feature_logits
    where study = $study
        and sign = 1
        and trim($search) <> ''
        and lower(trim(token)) = lower(trim($search))
),
standing as (
    select doc_id, pos
    from tokens
    where study = $study
        and trim($search) <> ''
        and lower(trim(token)) = lower(trim($search))
),
firing as (
    select site, feature, count(*) as fires
    from feature_examples
    join standing using (doc_id, pos)
    where study = $study
    group by site, feature
),
taking_part as (
    select site, feature, count(distinct circuit) as circuits
    from circuit_nodes
    where study = $study and feature >= 0
    group by site, feature
),
asked as (
    select
        site,
        feature,
        label,
        density,
        mean_activation,
        max_activation,
        coalesce(raises, false) as raises,
        fires,
        coalesce(circuits, 0) as circuits,
        row_number() over (order by site_place(site), feature) as place
    from features
    left join (select site, feature, true as raises from raising) as r using (site, feature)
    left join firing using (site, feature)
    left join taking_part using (site, feature)
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
            or fires > 0
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
            when 'circuits' then circuits
            when 'fires' then coalesce(fires, 0)
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
                if($order in ('circuits', 'fires'), -circuits, null) nulls last,
                if($order in ('circuits', 'fires'), -max_activation, null) nulls last,
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
    circuits,
    raises,
    fires,
    found
from shown
left join tokens_raised using (site, feature)
left join bins using (site, feature)
order by number
