-- what: Place of a site in forward order, to order by: embed 0, then z, attn, mid, mlp and resid of each layer
-- parameters:
--   site varchar: embed, z_i, attn_i, mid_i, mlp_i or resid_i
5 * layer_of($site) + coalesce(list_position(['z', 'attn', 'mid', 'mlp', 'resid'], split_part($site, '_', 1)), 5)
