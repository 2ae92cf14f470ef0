-- what: A label that was given to a feature, or taken back; label_log.py says where it is kept.
-- grain: one row per (study, site, feature, time)
-- columns:
--   study: Study
--   site: Where in the model: embed, z_i, attn_i, mid_i, mlp_i, resid_i
--   feature: Feature of the site's dictionary
--   label: What it stands for; null: what was said before is taken back
--   author: Who said so
--   time: When: UTC, ISO 8601, sorted as text
--   notes: What else was remarked; may be null
select
    label_log.study,
    label_log.site,
    label_log.feature,
    label_log.label,
    label_log.author,
    label_log.time,
    label_log.notes
from stored.label_log
