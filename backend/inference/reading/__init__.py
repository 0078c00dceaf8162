"""Reading maps from pictures: how each preprocessor does it."""
