"""The whole road as one table of stages over a run folder that can be stopped and resumed."""
