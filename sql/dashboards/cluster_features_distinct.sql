-- question: Which features tell a cluster from the others?
-- grain: one row per (site, feature), by place
-- columns: as distinct_features; label
select place, site, feature, share, share_else, mean_effect, mean_effect_else, difference, label
from (
    from distinct_features
    where study = $study and clustering = $clustering and cluster = $cluster
)
left join (from features where study = $study) using (site, feature)
order by place
