"""Off-policy evaluation: what another policy would have earned, from the log of the one that ran.

A `Log` is what happened, a `Target` what the estimators need of another policy at the same rows. An estimator
turns both into `Terms`, a signed sum of ratios of means; values, intervals, differences of two policies and
the gate are computed from terms alone. So a further estimator is one file that returns terms.

    log, target     what goes in, checked
    importance      replay, IPS, clipped IPS, self-normalised IPS
    doubly_robust   direct method, DR, self-normalised DR, switch-DR, DR with optimistic shrinkage
    several         balanced and weighted IPS over several logging policies
    slates          standard, independent and reward-interaction IPS, cascade-DR, position-based
    crossfit        reward predictions made out of fold
    bootstrap       Poisson and multinomial, by cluster
    intervals       Student's t, empirical Bernstein
    sequence        a confidence sequence: valid however often one looks
    diagnostics     weights, support, drift
    calibration     are propensities those it was drawn with, for rare widgets and on every night
    evaluate        values by several estimators, with intervals over the same resamples
    evidence        a candidate and the live policy by day, of actions or (slate_evidence) of slates
    judged          servings with a target along them; summarise and summary sum them over subjects
    gate            may it go live: yes, no, or cannot tell; trust and power say why not, and what would tell
"""
