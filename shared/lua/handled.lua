-- How far the cameras are: returns {tick up to which all live cameras have handled everything (-1: a camera has yet to
-- join), newest published tick, site time in ns at which it began}.
local least = handled_by_cameras(current_tick())
local _, time_ns, tick = newest_tick()
return {least or -1, tick, time_ns}
