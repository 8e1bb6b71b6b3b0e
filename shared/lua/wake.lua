-- Publishes the gate after a cycle of the aggregator in virtual mode, because it may have moved. Returns the gate.
local tick = current_tick()
local gate = gate_at(tick)
publish(tick, last_time_ns(), gate)
return gate
