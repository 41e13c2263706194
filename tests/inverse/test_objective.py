from dataclasses import replace

import numpy as np
import pytest
from tests.inverse.cases import make_case

from cubefit.inverse.objective import Objective
from cubefit.inverse.priors import Priors


def quadratic(seed, kind):
    """Return an objective with priors, its operator and spectra, a point and random numbers."""
    case = make_case(seed, share_used=0.7, ratio=1.0)
    rng = np.random.default_rng(seed)
    priors = Priors(ratio=case.priors.ratio, smooth=np.diag([1.0, 2.0]), unit=np.arange(1.0, 4.0))
    objective = Objective(case.misfit(kind), priors)
    return objective, kind.of(case.problem), case.observed, rng.random((3, 2)), rng


@pytest.mark.parametrize("seed", range(3))
def test_the_gradient_is_the_finite_difference_of_the_value(kind, seed):
    objective, _, _, x, rng = quadratic(seed, kind)
    here, step = objective.at(x), rng.normal(size=x.shape)
    ahead, behind = (objective.at(x + h * step).value for h in (0.1, -0.1))
    tolerance = 1e-4 if kind.dtype is np.float32 else 1e-10
    # Exact for a quadratic, whatever the step.
    assert (ahead - behind) / 0.2 == pytest.approx(
        np.vdot(here.gradient, step), rel=tolerance, abs=tolerance * here.value
    )
    bend = np.vdot(step, objective.curvature(step))
    assert (ahead + behind - 2 * here.value) / 0.01 == pytest.approx(
        bend, rel=tolerance, abs=1e2 * tolerance * here.value
    )


def test_value_is_half_of_chi2_and_the_priors(kind):
    objective, operator, observed, x, _ = quadratic(1, kind)
    here = objective.at(x)
    assert here.chi2 == pytest.approx(observed.chi2(operator.matvec(x)), rel=100 * kind.rounding)
    assert here.value == pytest.approx(0.5 * here.chi2 + objective.priors.value(x), rel=1e-12)
    residual, _ = operator.misfit(x, observed.data, observed.inverse_noise)
    assert not residual[~observed.used].any()
    plain = replace(objective, priors=None).at(x)
    assert plain.value == 0.5 * plain.chi2
    np.testing.assert_allclose(
        here.gradient - plain.gradient, objective.priors.gradient(x), rtol=1e-3, atol=1e-6
    )
