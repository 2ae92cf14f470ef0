-- what: The label of a feature that counts: the latest, unless it was taken back.
-- grain: one row per (study, site, feature)
-- columns:
--   study: Study
--   site: Where in the model: embed, attn_i, mlp_i, resid_i
--   feature: Feature of the site's dictionary
--   label: What it stands for
--   author: Who said so
--   time: When: UTC, ISO 8601, sorted as text
--   notes: What else was remarked; may be null
--   versions: Labels that the feature has had, this one included
with latest as (
    select study, site, feature, label, author, time, notes,
        count(label) over (partition by study, site, feature) as versions
    from stored.label_log
    qualify row_number() over (partition by study, site, feature order by time desc, label) = 1
)
select
    study,
    site,
    feature,
    label,
    author,
    time,
    notes,
    versions::uinteger as versions
from latest
where label is not null
