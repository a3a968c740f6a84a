"""`svam demo`: the whole path from camera pixels to moving arms, run, measured and reported."""

from __future__ import annotations

import dataclasses
import webbrowser

from rich.console import Console
from rich.markup import escape

from svam_ros import graph
from svam_ros.bringup.ros_environment import claim_domain_id
from svam_ros.bringup.run_record import remove_what_dead_runs_left
from svam_ros.cli.demo_engine import ChosenEngine, choose_engine
from svam_ros.cli.demo_options import DemoOptions
from svam_ros.cli.demo_session import DemoFailed, DemoSession
from svam_ros.cli.display import has_display
from svam_ros.cli.interrupts import EXIT_INTERRUPTED, interrupted_once
from svam_ros.cli.preflight import check_before_start
from svam_ros.cli.progress import Progress
from svam_ros.cli.report_folder import claim_report_folder
from svam_ros.profiling.run_report import EpisodeResult, RunReport, write_report_json
from svam_ros.profiling.stage_table import run_table

__all__ = ["DemoOptions", "run_demo"]

REPORT_NAME = "report.json"


def run_demo(options: DemoOptions) -> int:
    """Run the demo; returns the exit code: 0 when it ran, whatever the success rate, 130 when interrupted.

    Raises:
        ReportFolderError: the folder holds something that is not a report, or another demo writes there.
        CalibrationError: the robot profile cannot be used.
        ModelDirectoryError: the model is not there, or broken.
        CannotRunHere: the machine lacks something.
        DemoFailed: a process ended or refused; the arms were stopped.
    """
    console = Console()
    with interrupted_once():
        try:
            console.print(
                f"[bold]{options.task}[/] in simulation: looking at the machine and the model first"
            )
            model_name = check_before_start(options)
            movable = options.report == DemoOptions().report
            with claim_report_folder(options.report, movable) as folder:
                if folder != options.report:
                    console.print(
                        f"another demo is writing to {options.report}: this report goes to {folder}",
                        soft_wrap=True,
                    )
                engine = choose_engine(options, console)
                return _run(dataclasses.replace(options, report=folder), engine, model_name, console)
        except KeyboardInterrupt:
            console.print("stopped before anything started")
            return EXIT_INTERRUPTED


def _run(options: DemoOptions, engine: ChosenEngine, model_name: str, console: Console) -> int:
    remove_what_dead_runs_left()
    wanted = {} if options.domain_id < 0 else {"ROS_DOMAIN_ID": str(options.domain_id)}
    with claim_domain_id(wanted) as domain_id:
        console.print(
            f"model [bold]{model_name}[/], ROS domain {domain_id}, logs in {options.report / 'logs'}",
            soft_wrap=True,
        )
        session, failure = _run_session(options, engine, domain_id, console)
    try:
        if session.files:
            report = session.figures.report(model_name, engine.name)
            _write_report(options, report, session, console)
    except KeyboardInterrupt:
        console.print("interrupted while the report was written: it is not complete")
        return EXIT_INTERRUPTED
    if isinstance(failure, RuntimeError):
        raise DemoFailed(f"{failure}. {session.how_it_stopped()}") from failure
    if failure is not None:
        console.print(f"interrupted. {session.how_it_stopped()}")
        return EXIT_INTERRUPTED
    return 0


def _run_session(
    options: DemoOptions, engine: ChosenEngine, domain_id: int, console: Console
) -> tuple[DemoSession, BaseException | None]:
    """The run, and what ended it early; what was finished before is kept."""
    progress = Progress(console)
    session = DemoSession(options, engine, domain_id, progress.show)
    try:
        with progress, session:
            session.bring_up()
            for number in range(options.episodes):
                progress.say(_episode_line(number, session.run_episode(number, session.metadata())))
    except (KeyboardInterrupt, RuntimeError) as error:
        return session, error
    return session, None


def _episode_line(number: int, result: EpisodeResult) -> str:
    outcome = "[green]success[/]" if result.success else "[red]no success[/]"
    done = f"  {result.fraction:.0%} poured" if result.task == "pour" and result.fraction is not None else ""
    why = f"  the guard stopped: {escape(result.stopped)}" if result.stopped else ""
    return f"episode {number}  seed {result.seed}  {outcome}{done}  {result.steps} steps{why}"


def _write_report(options: DemoOptions, report: RunReport, session: DemoSession, console: Console) -> None:
    write_report_json(report, options.report / REPORT_NAME)
    _write_html(options, session, report)
    console.print(run_table(report))
    _point_to_report(options, console)


def _write_html(options: DemoOptions, session: DemoSession, report: RunReport) -> None:
    from svam_ros.profiling.frame_trace import timeline_of, write_frame_trace
    from svam_ros.profiling.html_report import write_html_report
    from svam_ros.recording.demo_episode import EpisodeTopics, demo_record_from_episode

    shown = episode_to_show(report.episodes)
    home = f"/{options.namespace.strip('/')}/" if options.namespace else "/"
    topics = EpisodeTopics(chunk=home + graph.CHUNK_TOPIC, timing=home + graph.TIMING_TOPIC)
    record = demo_record_from_episode(
        session.files[shown], session.profile, report, shown, topics, session.cobot
    )
    write_html_report(record, options.report / "report.html")
    write_frame_trace(timeline_of(record), options.report / "trace.json")


def episode_to_show(episodes: tuple[EpisodeResult, ...]) -> int:
    """Number of the episode that the page shows: the first that succeeded, or the first of all."""
    return next((number for number, episode in enumerate(episodes) if episode.success), 0)


def _point_to_report(options: DemoOptions, console: Console) -> None:
    page = (options.report / "report.html").resolve()
    console.print(f"report: {page}", soft_wrap=True)
    if options.headless:
        return
    if has_display():
        webbrowser.open(page.as_uri())
    else:
        console.print("no display here: open the report on a machine that has one", style="dim")
