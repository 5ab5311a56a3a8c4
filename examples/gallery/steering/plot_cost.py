"""
What steering costs
===================

A stronger push moves a model further, and breaks more of what it would have
said. Ways to steer are compared where they cost the same.
"""

# %%
# A model, a mixture, concepts
# ----------------------------
#
# Two concepts of forty and six prompts make a quick example and no
# measurement.

import matplotlib.pyplot as plt

from mfa_sklearn import MFA, ActivationExtractor, MFASteerer, datasets
from mfa_sklearn.steering import (
    NEUTRAL_PROMPTS,
    Arm,
    SteeringDisplay,
    baseline_arms,
    concept_regions,
    evaluate_steering,
    steering_at_cost,
)

concepts = datasets.load_concepts()
extractor = ActivationExtractor(datasets.tiny_lm(), layer=1)
X = extractor.fit_transform(concepts.texts[::4], concepts.labels[::4])
mfa = MFA(n_components=60, n_factors=6, annealing=1, random_state=0).fit(X)
steerer = MFASteerer(extractor.load(), mfa)

# %%
# Arms
# ----
#
# An arm is a way to steer and the strengths to try: one step towards a
# concept's regions, to the centroid of the largest of them, and a
# difference of means, which needs no mixture.

chosen = ["river", "banking"]
regions = {
    concept: found
    for concept, found in concept_regions(mfa, X).items()
    if concept in chosen
}
largest = {
    concept: max(found, key=found.get) for concept, found in regions.items()
}
simple = baseline_arms(X, names=["difference of means"])
moves = simple["difference of means"].moves
arms = {
    "direction": Arm.regions(
        steerer, regions, [0.25, 0.5, 1, 2, 3], method="direction"
    ),
    "centroid": Arm.regions(
        steerer, largest, [0.15, 0.3, 0.45, 0.6, 0.8], method="centroid"
    ),
    "difference of means": Arm(
        {concept: moves[concept] for concept in chosen},
        [0.25, 0.5, 1, 2, 3],
    ),
}
table = evaluate_steering(
    steerer, arms, concepts.words, NEUTRAL_PROMPTS[:6], max_new_tokens=0
)

# %%
# Effect over cost
# ----------------
#
# The effect is the share of the concept's words among all concepts' words
# in what the model would say next. The cost, ``collateral``, says how far
# everything else was disturbed: grammar, function words, how likely a
# content word is at all.

SteeringDisplay.from_table(table)
plt.show()

# %%
# The same as numbers, at two prices:

prices = steering_at_cost(table, costs=[0.05, 0.2])
shown = prices[["cost", "arm", "value", "low", "high", "paid", "strength"]]
print(shown.round(2).to_string(index=False))
