"""How the command ends."""

OK, STOPPED, WRONG_USAGE = 0, 1, 2
WAITING = 75
"""As EX_TEMPFAIL of sysexits.h: nothing is wrong, and the same command does the rest later."""
