-- what: A site's dictionary and its quality on held-out tokens.
-- grain: one row per (study, site)
-- columns:
--   study: Study
--   site: Where in the model: embed, z_i, attn_i, mid_i, mlp_i, resid_i
--   kind: Architecture: topk, relu, identity, …
--   d_model: Width of the site
--   n_features: Features
--   l0: Mean features above 0 a token [features]
--   fve: 1 − Σ‖x − x̂‖² / Σ‖x − mean‖²
--   loss_increase: Loss with x̂ in place of x, less the model's own [nats]
--   loss_recovered: 1 − increase / increase under mean ablation; may be null
--   loss_recovered_zero: 1 − increase / increase under zero ablation; may be null
--   loss_increase_mean: Increase of the loss under mean ablation; may be null [nats]
--   loss_increase_zero: Increase of the loss under zero ablation; may be null [nats]
--   loss: The model's own loss on these tokens; may be null [nats]
--   dead_fraction: Share of features never above 0 on n_tokens
--   n_tokens: Held-out tokens measured on; may be null [tokens]
--   source: train, identity, or the folder or hub id it was loaded from
select
    dictionaries.study,
    dictionaries.site,
    dictionaries.kind,
    dictionaries.d_model,
    dictionaries.n_features,
    dictionaries.l0,
    dictionaries.fve,
    dictionaries.loss_increase,
    dictionaries.loss_recovered,
    dictionaries.loss_recovered_zero,
    dictionaries.loss_increase_mean,
    dictionaries.loss_increase_zero,
    dictionaries.loss,
    dictionaries.dead_fraction,
    dictionaries.n_tokens,
    dictionaries.source
from stored.dictionaries
