-- what: A feature of a dictionary.
-- grain: one row per (study, site, feature)
-- columns:
--   study: Study
--   site: Where in the model: embed, attn_i, mlp_i, resid_i
--   feature: Feature of the site's dictionary; −1: the error node
--   density: Share of tokens on which it is above 0
--   mean_activation: Mean where above 0; null when never
--   max_activation: Largest activation
--   label: What it stands for, by a person or a model
select
    study,
    site,
    feature,
    density,
    mean_activation,
    max_activation,
    label
from stored.features
