"""Evaluations, as in metrics.json, for the gate to judge."""

LIMITS = {"max_fid": 60.0, "min_inception_score": 6.0, "min_class_share": 0.02, "min_improvement": 0.02}


NOISE = (0.5, -0.2, 0.1, -0.4, 0.3, 0.0, -0.5, 0.2)  # of seed blocks, which two models share


def blocks(fid, own=0.01):
    """FID of eight blocks of a model: what all models share, and a little of its own."""
    return {"count": 8, "values": {"fid": [fid + shared + own * (-1) ** i for i, shared in enumerate(NOISE)]}}


def measured(fid, weights, **changes):
    conditions = {
        "extractor": "classifier", "extractor_sha256": "e", "reference_sha256": "r", "count": 2000, "seed": 0,
        "sampler": "dpm-solver++", "steps": 20, "guidance": 1.0, "weights_sha256": weights,
    }  # fmt: skip
    scores = {
        "fid": fid,
        "fid_floor": 9.0,
        "inception_score": 8.4,
        "inception_score_real": 9.4,
        "class_share_min": 0.08,
        "kid": 0.01,
        "kid_se": 0.0001,
        "recall": 0.7,
        "memorisation_ratio": 0.98,
        "blocks": blocks(fid) if isinstance(fid, float) else {},
    }
    conditions.update({k: v for k, v in changes.items() if k in conditions})
    scores.update({k: v for k, v in changes.items() if k not in conditions})
    return {**scores, "conditions": conditions}
