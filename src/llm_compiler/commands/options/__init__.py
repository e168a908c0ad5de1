"""What each command takes: a module for each, which imports none of what the command needs."""
