"""Kaczmarz on the demo with templates of equal light and of equal mass.

``python -m benchmarks.template_scaling`` prints chi2 per voxel after 20 epochs of each.
"""

from __future__ import annotations

from cubefit.config import SolverCfg
from cubefit.demo import make_mock
from cubefit.inverse.matrix_free import MatrixFreeOperator
from cubefit.inverse.misfit import Misfit
from cubefit.inverse.observed import Observed
from cubefit.inverse.seeds import jacobi_seed
from cubefit.inverse.shares import one_share
from cubefit.kaczmarz_solver import solve_global_kaczmarz
from cubefit.spectra.shifted_templates import shifted_templates

if __name__ == "__main__":
    mock = make_mock("small")
    arrays = mock.arrays
    equal_mass = arrays["templates"].reshape(arrays["templates"].shape[0], -1).T
    observed = Observed.of(arrays["datacube"], noise=arrays["noise"])
    grids = (arrays["tem_pix"], arrays["obs_pix"], arrays["vel_pix"])
    for name, scale in (("light", 1.0 / mock.light[:, None]), ("mass", 1.0)):
        operator = MatrixFreeOperator(
            arrays["losvd"], shifted_templates(equal_mass * scale, *grids)
        )
        start = jacobi_seed(Misfit(one_share(operator, observed)))
        _, stats = solve_global_kaczmarz(
            operator, observed, start, SolverCfg(epochs=20), verbose=False
        )
        print(f"templates of equal {name}: chi2 per voxel {stats['chi2_per_voxel']:.2f}")
