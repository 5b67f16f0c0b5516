"""How the command ends."""

OK, STOPPED, WRONG_USAGE = 0, 1, 2
