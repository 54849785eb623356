"""ZS-LP and CLAP: all jobs of a request at once, no validation image, the penalty."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from medbench.cards.recipes import Clap, FewShot, ZsLp
from medbench.protocols import few_shot
from medbench.protocols.adapters import clap


def together(contexts):
    """Return the jobs, each of which solves all of them, and the calls of their solution."""
    kept, calls = {}, []

    def of(place):
        def solve_once(solve):
            if not kept:
                calls.append(len(contexts))
                kept.update(enumerate(solve(contexts)))
            return kept[place]

        return solve_once

    return [dataclasses.replace(one, together=of(place)) for place, one in enumerate(contexts)], calls


@pytest.mark.parametrize("settings", [ZsLp(views=3, epochs=20), Clap(views=3, epochs=20)])
def test_jobs_solved_at_once_are_those_solved_alone(job, settings):
    alone = [job(settings, shots=shots, draw=shots, seeds=seeds) for shots, seeds in ((1, [0]), (4, [0, 1]), (2, [3]))]
    jobs, calls = together(alone)
    for one, other in zip(jobs, alone, strict=True):
        found, wanted = clap.run(one), clap.run(other)
        assert list(found) == one.seeds
        for seed in one.seeds:
            np.testing.assert_allclose(found[seed].log_odds_test, wanted[seed].log_odds_test, rtol=1e-4, atol=1e-4)
    assert calls == [3]


def test_no_validation_image_is_used_and_the_record_says_so(job):
    with_val, without = (clap.run(job(Clap(views=0, epochs=20), val=val))[0] for val in (30, 0))
    np.testing.assert_array_equal(
        clap.run(job(Clap(views=0, epochs=20), val=30))[0].log_odds_test, with_val.log_odds_test
    )
    assert with_val.selection["by"] == without.selection["by"] == "no validation data used"
    assert with_val.warnings == ("no validation data used",)
    assert without.log_odds_val.shape == (0, 3)


def test_the_penalty_holds_a_probe_near_its_texts(job):
    free, held = (clap.run(job(kind(views=0, epochs=40)))[0] for kind in (ZsLp, Clap))
    assert max(free.history["penalty"]) == 0
    assert max(held.history["penalty"]) > 0
    assert free.history["loss"][-1] < held.history["loss"][-1] < held.history["loss"][0]


def test_the_head_of_few_shot_is_zs_lp_on_clean_images(job):
    found = few_shot.run(job(FewShot(shots=4, head="zs-lp")))[0]
    wanted = clap.run(job(ZsLp(views=0)))[0]
    np.testing.assert_array_equal(found.log_odds_test, wanted.log_odds_test)
