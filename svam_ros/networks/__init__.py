"""S-VAM in pure torch: no ROS, no files."""
