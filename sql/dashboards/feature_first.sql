-- question: Which feature of a site comes first?
-- grain: one row
-- columns: feature; null where the site has none
select min(feature) as feature
from features
where study = $study and site = $site
