-- question: How good is each site's dictionary, in every study?
-- grain: one row per (study, site), in forward order
-- columns: layer (−1: embed); the columns of dictionaries
select
    study,
    site,
    coalesce(try_cast(split_part(site, '_', 2) as integer), -1) as layer,
    kind,
    d_model,
    n_features,
    l0,
    fve,
    loss_increase,
    loss_recovered,
    loss_recovered_zero,
    dead_fraction,
    n_tokens,
    source
from dictionaries
order by study, layer, site
