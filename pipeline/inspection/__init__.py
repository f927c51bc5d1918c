"""Views of a config, its log and this machine, before and after a run."""
