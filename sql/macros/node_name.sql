-- what: A node of a circuit as text: resid_0/17; resid_0/17@3 at position 3; resid_0/error; y
-- parameters:
--   site varchar: embed, z_i, attn_i, mid_i, mlp_i, resid_i, or y: the metric
--   pos bigint: position; null when summed over positions
--   feature bigint: feature of the site's dictionary; −1: the error node
case
    when $site = 'y' then 'y'
    else $site || '/' || if($feature < 0, 'error', $feature::varchar) || coalesce('@' || $pos, '')
end
