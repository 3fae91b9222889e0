"""Samples of known truth that go through the real stages of a build, and what came back of them."""
