"""How often a policy does its tasks in closed loop, beside baselines."""
