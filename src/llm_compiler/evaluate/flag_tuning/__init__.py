"""Flag tuning: what pass lists save over -Oz."""
