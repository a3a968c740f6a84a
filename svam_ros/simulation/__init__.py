"""The simulated Cobot: MuJoCo model, tasks and scripted experts."""
