"""The law of motion: chunk timeline, motion limiter, guard; numpy and ruckig only."""
