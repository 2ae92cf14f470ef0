-- what: Layer of a site; −1: embed. Sites in forward order: order by layer_of(site), site
-- parameters:
--   site varchar: embed, attn_i, mlp_i or resid_i
coalesce(try_cast(split_part($site, '_', 2) as integer), -1)
