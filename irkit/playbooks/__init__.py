"""Playbooks: what to run when, in which order; loaded strictly, planned first, resumed where they stopped."""

from __future__ import annotations
