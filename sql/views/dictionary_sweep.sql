-- what: A dictionary of a sweep over forms, widths and sparsities, and its quality.
-- grain: one row per (study, point, site)
-- columns:
--   study: Study
--   point: Partition key: form, width and sparsity of the point
--   form: How features are few: batch_topk, topk, jumprelu, matryoshka
--   expansion: Features per model dimension
--   k: Features of a token that it was trained for [features]
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
--   training_tokens: Tokens trained on [tokens]
--   seconds: Training of all the point's sites; null: found trained; may be null [s]
--   version: Data version, and folder below _dictionaries
select
    dictionary_sweep.study,
    dictionary_sweep.point,
    dictionary_sweep.form,
    dictionary_sweep.expansion,
    dictionary_sweep.k,
    dictionary_sweep.site,
    dictionary_sweep.kind,
    dictionary_sweep.d_model,
    dictionary_sweep.n_features,
    dictionary_sweep.l0,
    dictionary_sweep.fve,
    dictionary_sweep.loss_increase,
    dictionary_sweep.loss_recovered,
    dictionary_sweep.loss_recovered_zero,
    dictionary_sweep.loss_increase_mean,
    dictionary_sweep.loss_increase_zero,
    dictionary_sweep.loss,
    dictionary_sweep.dead_fraction,
    dictionary_sweep.n_tokens,
    dictionary_sweep.training_tokens,
    dictionary_sweep.seconds,
    dictionary_sweep.version
from stored.dictionary_sweep
