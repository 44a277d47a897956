"""Tests of capture; a package so that its modules can share one planted world."""
