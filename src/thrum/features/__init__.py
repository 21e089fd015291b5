"""From waveforms to what networks are fed: frames, spectra, mel bands."""
