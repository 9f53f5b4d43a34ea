"""What the book shows beside its notebooks: rendering, pages of sweeps, and the checks of all files."""
