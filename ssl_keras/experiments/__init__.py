"""One file per verb: a config in, a run folder out."""
