-- Prelude: ids of streams.
-- Whether one id is below another. Compares digits, because a double does not hold every id.
local function is_below(id, other)
  for _, pattern in ipairs({'^(%d+)', '%-(%d+)$'}) do
    local one, two = string.match(id, pattern) or '0', string.match(other, pattern) or '0'
    if #one ~= #two then return #one < #two end
    if one ~= two then return one < two end
  end
  return false
end

