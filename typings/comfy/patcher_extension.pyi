class WrappersMP:
    SAMPLER_SAMPLE: str
    CALC_COND_BATCH: str
    APPLY_MODEL: str
    DIFFUSION_MODEL: str
    OUTER_SAMPLE: str
