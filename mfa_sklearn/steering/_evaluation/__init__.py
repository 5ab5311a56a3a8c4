"""The instrument: ways to steer measured at their cost, beside what everyone else does."""

from .arms import Arm
from .baselines import baseline_arms
from .curves import SteeringDisplay
from .evaluate import evaluate_steering
from .prompts import NEUTRAL_PROMPTS, balanced_halves
from .summary import steering_at_cost, summarize_steering

__all__ = [
    "NEUTRAL_PROMPTS",
    "Arm",
    "SteeringDisplay",
    "balanced_halves",
    "baseline_arms",
    "evaluate_steering",
    "steering_at_cost",
    "summarize_steering",
]
