-- question: Along which edges do the effects of a circuit flow?
-- grain: one row per (study, circuit, edge): the 50 of largest |weight|
-- columns: place; ends of the edge; up_label and down_label; weight in the metric's unit;
--   share_above: bootstrap resamples in which it passes the threshold
with ranked as (
    select *, row_number() over (
        partition by study, circuit
        order by abs(weight) desc, up_site, up_pos, up_feature, down_site, down_pos, down_feature
    ) as place
    from circuit_edges
)
select
    ranked.study,
    circuit,
    place,
    up_site,
    up_pos,
    up_feature,
    up.label as up_label,
    down_site,
    down_pos,
    down_feature,
    down.label as down_label,
    weight,
    share_above
from ranked
left join features as up
    on up.study = ranked.study and up.site = up_site and up.feature = up_feature
left join features as down
    on down.study = ranked.study and down.site = down_site and down.feature = down_feature
where place <= 50
order by ranked.study, circuit, place
