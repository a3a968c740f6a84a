"""The arms' own protocols: no ROS here, and nothing that decides about motion."""
