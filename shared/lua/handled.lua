-- How far the cameras are: returns {tick up to which all live cameras have handled everything (-1: a camera has yet to
-- join), current tick, site time in ns at which it began}.
local tick = current_tick()
local least = handled_by_cameras(tick)
return {least or -1, tick, last_time_ns()}
