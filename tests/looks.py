"""A strength of every option of how an image looks."""

STRENGTHS = {
    "brightness": 0.4,
    "contrast": 0.3,
    "saturation": 0.5,
    "hue": 0.1,
    "gamma": 1.0,
    "grey": 0.25,
    "blur": 2.0,
    "noise": 20.0,
    "jpeg_quality": 30,
}


def with_strengths(config, **strengths):
    for name, value in strengths.items():
        setattr(config.data, name, value)
    return config
