"""rclpy adapters: the only package that imports rclpy."""
