-- After a cycle of the aggregator in virtual mode: the gate may have moved. Returns the gate.
local tick = current_tick()
local gate = gate_at(tick)
publish(tick, last_time_ns(), gate)
return gate
