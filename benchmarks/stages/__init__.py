"""Each stage of the work, measured alone: a module has ``measure(*, small)``, which returns `measuring.Measure` rows."""
