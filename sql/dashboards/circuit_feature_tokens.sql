-- question: Which tokens does a feature raise and lower most?
-- grain: one row per (sign, rank), raised first; $most of each at most
-- columns: token; logit: direct effect of a unit activation
select sign, rank, token, logit
from feature_logits
where study = $study and site = $site and feature = $feature and rank < $most
order by sign desc, rank
