-- question: Where in the model does a circuit sit, and how much of it do the features explain?
-- grain: one row per (study, circuit, site), in forward order
-- columns: layer (−1: embed); nodes and error_nodes; feature_effect and error_effect: Σ|effect| in
--   the metric's unit; feature_share: the features' part of their sum
with layered as (
    select *, layer_of(site) as layer
    from circuit_nodes
)
select
    study,
    circuit,
    site,
    layer,
    count(*) as nodes,
    count(*) filter (where feature < 0) as error_nodes,
    coalesce(sum(abs(effect)) filter (where feature >= 0), 0) as feature_effect,
    coalesce(sum(abs(effect)) filter (where feature < 0), 0) as error_effect,
    feature_effect / nullif(feature_effect + error_effect, 0) as feature_share
from layered
group by study, circuit, site, layer
order by study, circuit, site_place(site)
