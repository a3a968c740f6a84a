"""S-VAM on ROS 2: what runs on the robot."""
