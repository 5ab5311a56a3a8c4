"""What a fit is made of whatever the solver: the problem, the loop, when to stop."""
