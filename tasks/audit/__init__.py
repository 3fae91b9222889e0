"""What people say of random samples of a dataset, and the error rates that follow from it."""
