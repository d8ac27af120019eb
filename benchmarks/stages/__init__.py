"""Each stage of the work, measured alone: a module has ``measure(*, small)``, which returns rows (`measuring`)."""
