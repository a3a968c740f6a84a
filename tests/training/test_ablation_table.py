"""The table's numbers, from results that are known."""

import json
import math

import numpy as np
import pytest
from support.ablation_runs import made_up_report

from svam_ros.profiling.success_rate import SuccessRate
from svam_train.ablation.figures import (
    ALL_TASKS,
    AblationFigures,
    Mean,
    VariantFigures,
    task_figures,
)
from svam_train.ablation.network_variants import Parameters
from svam_train.ablation.paired_statistics import (
    mean_interval,
    scene_interval,
    sign_flip_p,
    student_quantile,
)
from svam_train.ablation.table import table_text, write_table
from svam_train.recipes.ablation import VARIANTS

FULL = {
    0: {"lift_pot": made_up_report("lift_pot", "yyyyyyyyyn")},
    1: {"lift_pot": made_up_report("lift_pot", "yyyyyyyynn")},
}
WORSE = {
    0: {"lift_pot": made_up_report("lift_pot", "yyyynnnnnn")},
    1: {"lift_pot": made_up_report("lift_pot", "yyynnnnnny")},
}


@pytest.mark.parametrize(("degrees", "known"), [(1, 12.7062), (2, 4.30265), (4, 2.77645), (30, 2.04227)])
def test_students_quantiles_are_those_of_the_printed_tables(degrees, known):
    assert student_quantile(degrees) == pytest.approx(known, rel=1e-4)


def test_the_interval_of_a_mean():
    low, high = mean_interval([1.0, 2.0, 3.0])
    assert (low + high) / 2 == pytest.approx(2.0)
    assert high - 2.0 == pytest.approx(4.30265 / math.sqrt(3), rel=1e-4)
    assert mean_interval([1.0]) is None


def test_with_one_seed_the_exact_test_is_mcnemars():
    """Of 10 pairs that differ 8 go one way: 2 (1 + 10 + 45) / 1024."""
    differences = np.array([[-1] * 8 + [1] * 2 + [0] * 20])
    assert sign_flip_p(differences) == pytest.approx(2 * (1 + 10 + 45) / 1024)
    assert sign_flip_p(np.zeros((1, 7), np.int64)) == 1.0
    assert sign_flip_p(np.array([[1, -1]])) == 1.0


def test_scenes_are_flipped_whole():
    """Three seeds that fail on the same two scenes are two observations, not six."""
    differences = np.array([[-1, -1, 0]] * 3)
    assert sign_flip_p(differences) == pytest.approx(0.5)
    assert sign_flip_p(differences[:, ::-1]) == pytest.approx(0.5)


def test_the_interval_over_scenes_is_that_of_a_normal_mean_where_there_are_many():
    random = np.random.default_rng(1)
    differences = random.integers(-1, 2, (1, 2000)).astype(np.float64)
    low, high = scene_interval(differences)
    assert (low + high) / 2 == pytest.approx(differences.mean(), abs=0.005)
    assert high - low == pytest.approx(2 * 1.96 * differences.std() / math.sqrt(2000), rel=0.05)
    assert scene_interval(np.full((3, 5), -1.0)) == (-1.0, -1.0)


def test_rates_are_pooled_and_compared_pair_by_pair():
    (figures,) = task_figures(WORSE, FULL)
    assert (figures.pooled.successes, figures.pooled.trials) == (8, 20)
    assert figures.pooled.interval == SuccessRate(8, 20).wilson_interval()
    assert [rate.successes for rate in figures.by_seed.values()] == [4, 4]
    assert figures.over_seeds.mean == pytest.approx(0.4)
    compared = figures.comparison
    assert compared.seeds == (0, 1)
    assert compared.difference == pytest.approx((8 - 17) / 20)
    assert (compared.only_reference, compared.only_variant) == (5 + 5, 0 + 1)
    assert compared.over_scenes[0] < compared.difference < compared.over_scenes[1]
    assert compared.over_seeds[0] < -0.45 < compared.over_seeds[1]
    by_scene = [[0, 0, 0, 0, -1, -1, -1, -1, -1, 0], [0, 0, 0, -1, -1, -1, -1, -1, 0, 1]]
    assert compared.p == sign_flip_p(np.array(by_scene))
    assert task_figures(FULL, None)[0].comparison is None


def test_only_seeds_that_both_have_are_compared_and_all_tasks_counts_whole_seeds():
    pour = made_up_report("pour", "yn")
    more = {0: {**WORSE[0], "pour": pour}, 1: WORSE[1], 2: {"pour": pour}}
    figures = {of.task: of for of in task_figures(more, {0: FULL[0]})}
    assert list(figures) == ["lift_pot", "pour", ALL_TASKS]
    assert figures["lift_pot"].comparison.seeds == (0,)
    assert figures["lift_pot"].comparison.over_seeds is None
    assert figures["pour"].comparison is None
    assert list(figures["pour"].by_seed) == [0, 2]
    assert list(figures[ALL_TASKS].by_seed) == [0]
    assert figures[ALL_TASKS].pooled.trials == 12


def test_the_page_and_the_numbers_beside_it(tmp_path):
    rows = tuple(
        VariantFigures(
            VARIANTS[name],
            Parameters(3_000_000, 1_000_000),
            (0, 1),
            (2000, 2000),
            {"sampled_error": Mean(0.125, (0.1, 0.15)), "sampled_error_rad": Mean(0.5, None)},
            task_figures(reports, reference),
        )
        for name, reports, reference in (("full", FULL, None), ("one_step_features", WORSE, FULL))
    )
    figures = AblationFigures(rows, {"generated": {"cosine_semantic": 0.9}}, ("training.learning_rate",))
    write_table(tmp_path, figures)
    text = (tmp_path / "table.md").read_text()
    assert text == table_text(figures)
    assert (
        "| one_step_features | features | 3.000 | 1.000 | 2000 | 0, 1 | 0.1250 [0.1000, 0.1500] | 0.5000 |"
        in text
    )
    assert (
        "| full | 17/20 = 85 % [64, 95] | 0: 9/10 = 90 % [60, 98]; 1: 8/10 = 80 % [49, 94] | 85.0 %" in text
    )
    assert "| -45.0 | [" in text
    assert "| 10 / 1 |" in text
    assert "| semantic cosine to its own targets | 0.9000 |" in text
    assert "differ in `training.learning_rate`" in text
    widths = {line.count("|") for line in text.split("## lift_pot")[1].split("##")[0].splitlines() if line}
    assert widths == {10}
    numbers = json.loads((tmp_path / "table.json").read_text())
    assert numbers["variants"][1]["tasks"][0]["comparison"]["difference"] == pytest.approx(-0.45)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["table.json", "table.md"]
