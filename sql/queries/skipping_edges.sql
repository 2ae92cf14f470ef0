-- question: Which edges of a circuit skip layers?
-- grain: one row per (study, circuit, edge) of a total-effect graph that leads past a layer's
--   residual stream: the 50 of largest |weight|; edges into y, which tell a node's effect on the
--   metric, are left out
-- columns: place; up and down: the ends of the edge, with up_label and down_label; skipped:
--   residual streams between them, which an effect passes on the way; weight in the metric's unit;
--   skipping: such edges of the circuit, of n_edges in all
with spans as (
    select
        *,
        layer_of(down_site) - 1 - layer_of(up_site)
            + if(up_site like 'attn%' or up_site like 'mlp%', 1, 0) as skipped
    from circuit_edges
    where down_site <> 'y'
),
ranked as (
    select
        *,
        count(*) over (partition by study, circuit) as skipping,
        row_number() over (
            partition by study, circuit
            order by abs(weight) desc, up_site, up_pos, up_feature, down_site, down_pos,
                down_feature
        ) as place
    from spans
    where skipped > 0
)
select
    ranked.study,
    circuit,
    place,
    node_name(up_site, up_pos, up_feature) as up,
    up_features.label as up_label,
    node_name(down_site, down_pos, down_feature) as down,
    down_features.label as down_label,
    skipped,
    weight,
    skipping,
    n_edges
from ranked
join circuits using (study, task, circuit)
left join features as up_features
    on up_features.study = ranked.study
        and up_features.site = up_site
        and up_features.feature = up_feature
left join features as down_features
    on down_features.study = ranked.study
        and down_features.site = down_site
        and down_features.feature = down_feature
where place <= 50
order by ranked.study, circuit, place
