"""Makes the model directories that svam_ros runs."""
