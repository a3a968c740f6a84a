"""The engine room: takes any objective through its steps, restartable, on one process or many."""
