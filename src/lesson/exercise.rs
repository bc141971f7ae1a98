//! Exercises: a ruleset with one mistake in it, and the question which one.
