-- what: Layer of a site; −1: embed
-- parameters:
--   site varchar: embed, z_i, attn_i, mid_i, mlp_i or resid_i
coalesce(try_cast(split_part($site, '_', 2) as integer), -1)
