"""One self-contained HTML page about a run: no network, no fonts from elsewhere, light and dark."""

from svam_ros.profiling.html_report.page import render_html_report, write_html_report

__all__ = ["render_html_report", "write_html_report"]
