"""``python -m svam_ros.cli`` is ``svam``."""

from svam_ros.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
