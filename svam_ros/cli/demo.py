"""`svam demo`: the whole path from camera pixels to moving arms, run, measured and reported."""

from __future__ import annotations

import dataclasses
import signal
import webbrowser
from types import FrameType

from rich.console import Console
from rich.live import Live

from svam_ros.bringup.ros_environment import claim_domain_id
from svam_ros.cli.demo_options import DemoOptions
from svam_ros.cli.demo_session import DemoFailed, DemoSession
from svam_ros.cli.display import has_display
from svam_ros.cli.report_folder import claim_report_folder
from svam_ros.cobot import load_robot_profile
from svam_ros.profiling.run_report import RunReport, write_report_json
from svam_ros.profiling.stage_table import live_line, run_table

__all__ = ["DemoOptions", "run_demo"]

REPORT_NAME = "report.json"
EXIT_INTERRUPTED = 130


def run_demo(options: DemoOptions) -> int:
    """Run the demo; returns the exit code: 0 when it ran, whatever the success rate, 130 after Ctrl-C.

    Raises:
        ReportFolderError: the folder holds something that is not a report, or another demo writes there.
        CalibrationError: the robot profile cannot be used.
        DemoFailed: a process ended or refused; the arms were stopped.
    """
    console = Console()
    _interrupt_on_signals()
    load_robot_profile(options.profile)  # a wrong one is refused before anything is started or replaced
    _check_model(options)
    movable = options.report == DemoOptions().report
    with claim_report_folder(options.report, movable) as folder:
        if folder != options.report:
            console.print(f"another demo is writing to {options.report}: this report goes to {folder}")
        return _run(dataclasses.replace(options, report=folder), console)


def _run(options: DemoOptions, console: Console) -> int:
    wanted = {} if options.domain_id < 0 else {"ROS_DOMAIN_ID": str(options.domain_id)}
    with claim_domain_id(wanted) as domain_id:
        console.print(
            f"[bold]{options.task}[/] with model [bold]{options.model}[/], ROS domain {domain_id}, "
            f"logs in {options.report / 'logs'}",
            soft_wrap=True,
        )
        session, failure = _run_session(options, domain_id, console)
    if session.files:
        _write_report(options, session, console)
    if isinstance(failure, RuntimeError):
        raise DemoFailed(f"{failure}. {session.how_it_stopped()}") from failure
    if failure is not None:
        console.print(f"interrupted. {session.how_it_stopped()}")
        return EXIT_INTERRUPTED
    return 0


def _run_session(
    options: DemoOptions, domain_id: int, console: Console
) -> tuple[DemoSession, BaseException | None]:
    """The run, and what ended it early; what was finished before is kept."""
    with Live(console=console, refresh_per_second=8, transient=True) as live:
        session = DemoSession(options, domain_id, lambda status: live.update(live_line(status)))
        try:
            with session:
                session.bring_up()
                for number in range(options.episodes):
                    result = session.run_episode(number, session.metadata())
                    outcome = "[green]success[/]" if result.success else "[red]no success[/]"
                    live.console.print(
                        f"episode {number}  seed {result.seed}  {outcome}  {result.steps} steps"
                    )
        except (KeyboardInterrupt, RuntimeError) as error:
            return session, error
    return session, None


def _write_report(options: DemoOptions, session: DemoSession, console: Console) -> None:
    report = session.figures.report(options.model, options.engine)
    write_report_json(report, options.report / REPORT_NAME)
    _write_html(options, session, report)
    console.print(run_table(report))
    _point_to_report(options, console)


def _write_html(options: DemoOptions, session: DemoSession, report: RunReport) -> None:
    from svam_ros.profiling.html_report import write_html_report
    from svam_ros.recording.demo_episode import demo_record_from_episode

    record = demo_record_from_episode(session.files[0], session.profile, report)
    write_html_report(record, options.report / "report.html")


def _point_to_report(options: DemoOptions, console: Console) -> None:
    page = (options.report / "report.html").resolve()
    console.print(f"report: {page}", soft_wrap=True)
    if options.headless:
        return
    if has_display():
        webbrowser.open(page.as_uri())
    else:
        console.print("no display here: open the report on a machine that has one", style="dim")


def _check_model(options: DemoOptions) -> None:
    """Refuse a broken model directory before anything is started."""
    if options.engine == "scripted":
        return
    from svam_ros.artifacts.model_directory import open_model, resolve_model

    open_model(resolve_model(options.model))


def _interrupt_on_signals() -> None:
    """End as with Ctrl-C when asked to end, and when the terminal is closed."""
    signal.signal(signal.SIGTERM, _interrupt)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup: the user wants it to go on
        signal.signal(signal.SIGHUP, _interrupt)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
