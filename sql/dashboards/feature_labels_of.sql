-- question: Which labels has a feature had?
-- grain: one row per time, the latest first
-- columns: label: null where what was said before was taken back; author; time; notes
select label, author, time, notes
from label_history
where study = $study and site = $site and feature = $feature
order by time desc
