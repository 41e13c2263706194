"""From spectra as observed or published to spectra as fitted: arrays only."""
