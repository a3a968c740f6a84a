"""Which scenes are whose: those of demonstrations, relabelled episodes and evaluations never meet."""

from __future__ import annotations

RELABELLING_SEEDS_FROM = 500_000
"""Demonstrations have the seeds from 0 to this one, relabelled episodes those from here to stills'."""

STILL_SEEDS_FROM = 700_000
"""Stills have the seeds from here on."""

EVALUATION_SEEDS_FROM = 1_000_000
"""Evaluations have this seed and all above: nothing is learnt from their scenes."""
