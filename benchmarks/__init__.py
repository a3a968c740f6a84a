"""Measurements that compare S-VAM as we run it with S-VAM as it was published."""
