-- what: A token on which a feature is active.
-- grain: one row per (study, site, feature, rank)
-- columns:
--   study: Study
--   site: Where in the model: embed, z_i, attn_i, mid_i, mlp_i, resid_i
--   feature: Feature of the site's dictionary; −1: the error node
--   rank: Order of the example; 0: the strongest
--   doc_id: Document: shard ordinal × 1,000,000 + row
--   pos: Position in the document [tokens]
--   activation: Activation of the feature there
--   interval: Equal interval of [0, maximum] it lies in; 0: the top. Their width is a power of
--     two, a feature has 5 to 8; may be null
--   interval_low: Smallest activation of the interval; may be null
--   interval_high: What all activations of the interval are below; may be null
--   sampled: Drawn by chance from its interval; else only for its rank. The examples of an
--     interval that are sampled stand for it; the first ranks are the strongest; may be null
--   near_offsets: Tokens of the document, from 32 before to 16 after, where the feature is above
--     0, the example itself (0) among them; elsewhere in that range it is 0; may be null [tokens
--     after pos]
--   near_activations: Activations there, in the same order; may be null
--   near_effects: What each of them adds to the losses after it in the document, to first order:
--     below 0 where it makes what follows likelier; may be null [nats]
select
    feature_examples.study,
    feature_examples.site,
    feature_examples.feature,
    feature_examples.rank,
    feature_examples.doc_id,
    feature_examples.pos,
    feature_examples.activation,
    feature_examples.interval,
    feature_examples.interval_low,
    feature_examples.interval_high,
    feature_examples.sampled,
    feature_examples.near_offsets,
    feature_examples.near_activations,
    feature_examples.near_effects
from stored.feature_examples
