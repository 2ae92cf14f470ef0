-- what: A feature of a dictionary.
-- grain: one row per (study, site, feature)
-- columns:
--   study: Study
--   site: Where in the model: embed, z_i, attn_i, mid_i, mlp_i, resid_i
--   feature: Feature of the site's dictionary; −1: the error node
--   density: Share of tokens on which it is above 0
--   mean_activation: Mean where above 0; null when never
--   max_activation: Largest activation
--   label: What it stands for: the one in labels, else one stored beside; may be null
--   dead: Never above 0 on n_tokens; may be null
--   active_tokens: Tokens on which it is above 0; may be null [tokens]
--   n_tokens: Tokens looked at: all but BOS; may be null [tokens]
--   bin_width: Width of the histogram's bins, a power of two; may be null
--   histogram: Tokens by activation: bin i (from 0) is [i, i + 1) × bin_width, and the last bin
--     holds the largest; empty when never active; may be null [tokens]
select
    features.study,
    features.site,
    features.feature,
    features.density,
    features.mean_activation,
    features.max_activation,
    coalesce(labels.label, features.label) as label,
    features.dead,
    features.active_tokens,
    features.n_tokens,
    features.bin_width,
    features.histogram
from stored.features as features
left join labels
    on labels.study = features.study
        and labels.site = features.site
        and labels.feature = features.feature
