-- what: The label of a feature that counts: the latest, unless it was taken back.
-- grain: one row per (study, site, feature)
-- columns:
--   study: Study
--   site: Where in the model: embed, z_i, attn_i, mid_i, mlp_i, resid_i
--   feature: Feature of the site's dictionary
--   label: What it stands for
--   author: Who said so
--   time: When: UTC, ISO 8601, sorted as text
--   notes: What else was remarked; may be null
--   versions: Labels that the feature has had, this one included
with latest as (
    select
        label_log.study,
        label_log.site,
        label_log.feature,
        label_log.label,
        label_log.author,
        label_log.time,
        label_log.notes,
        count(label_log.label) over (
            partition by label_log.study, label_log.site, label_log.feature
        ) as versions
    from stored.label_log
    qualify row_number() over (
        partition by label_log.study, label_log.site, label_log.feature
        order by label_log.time desc, label_log.label
    ) = 1
)
select
    latest.study,
    latest.site,
    latest.feature,
    latest.label,
    latest.author,
    latest.time,
    latest.notes,
    latest.versions::uinteger as versions
from latest
where latest.label is not null
