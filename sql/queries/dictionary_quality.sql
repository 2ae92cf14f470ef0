-- question: How good is each site's dictionary?
-- grain: one row per (study, site), in forward order
-- columns: layer (−1: embed); kind; n_features; l0 (features a token); fve; loss_increase in nats;
--   loss_recovered against mean ablation; dead_fraction; alive: features that ever fire
with layered as (
    select *, layer_of(site) as layer
    from dictionaries
)
select
    study,
    site,
    layer,
    kind,
    n_features,
    l0,
    fve,
    loss_increase,
    loss_recovered,
    dead_fraction,
    round(n_features * (1 - dead_fraction))::integer as alive
from layered
order by study, site_place(site)
