"""Sections of training and scoring."""

import dataclasses

from mask_rcnn_tf.config.limits import SIDE
from mask_rcnn_tf.fields import Section, field, section


@dataclasses.dataclass
class TrainConfig(Section):
    """Optimizer, schedule and what is written while training."""

    batch_size: int = field(16, above=0)  # images a step over all replicas
    # parts that each replica computes its images in, one after the other: the memory of one part, losses and gradients
    # of all; batch norms that train see a part
    accumulation_steps: int = field(1, above=0)
    steps: int = field(90_000, above=0)  # updates of the weights, a batch each
    epochs: float = field(0.0, at_least=0)  # turns through the training images, in place of steps; 0: steps counts
    optimizer: str = field("torch_sgd", one_of=("torch_sgd", "adam"))  # SGD with momentum, as PyTorch has it
    learning_rate: float = field(0.02, above=0)  # for base_batch_size images; scaled linearly with batch_size
    base_batch_size: int = field(16, above=0)  # images a step that learning_rate is for
    momentum: float = field(0.9, at_least=0, below=1)  # of torch_sgd
    adam_beta_2: float = field(0.999, at_least=0, below=1)  # of adam: how slowly its scale of a gradient changes
    weight_decay: float = field(1e-4, at_least=0)  # none on norm parameters
    clip_norm: float = field(0.0, at_least=0)  # of all gradients together; 0: off
    # of a moving average of the weights, which is scored and saved in their place; 0: off. 0.999 is usual
    ema_momentum: float = field(0.0, at_least=0, below=1)
    warmup_steps: int = field(1000, at_least=0)  # in which the learning rate grows to its value
    warmup_factor: float = field(1e-3, at_least=0, at_most=1)  # of the learning rate at the first step
    warmup_rule: str = field("product", one_of=("product", "ramp"))  # see `training.schedule.WarmupSchedule`
    schedule: str = field("step", one_of=("step", "cosine"))  # "cosine" ends at 0
    decay_steps: tuple[int, ...] = field((60_000, 80_000), above=0)  # of "step"
    decay_factor: float = field(0.1, above=0)  # of the learning rate at each of decay_steps
    checkpoint_every: int = field(1000, above=0)  # steps
    evaluate_every: int = field(5000, above=0)  # steps
    # early stopping: evaluations in a row without a better AP, after which the run ends; 0: it goes on to its last step
    patience: int = field(0, at_least=0)
    summary_every: int = field(20, above=0)  # steps between TensorBoard points
    seed: int = field(0, at_least=0)  # of shuffling and augmentation
    init_from: str = ""  # .keras file whose weights the run starts from; "": random weights


@dataclasses.dataclass
class AugmentationConfig(Section):
    """Test-time augmentation: an image is predicted at every short side, and mirrored, and what is found is merged."""

    short_sides: tuple[int, ...] = field((), above=0, at_most=SIDE)  # pixels; (): no augmentation
    max_side: int = field(0, at_least=0, at_most=SIDE)  # of the long side; 0: as the model's, in proportion
    flip: bool = True  # left and right, besides


@dataclasses.dataclass
class EvalConfig(Section):
    """Scoring."""

    batch_size: int = field(1, above=0)  # images that are predicted together while training
    # detections an image that count, for AR1, AR10, AR100; the last is for AP
    max_dets: tuple[int, ...] = field((1, 10, 100), some=True, above=0)
    # the program that scores; "faster_coco_eval" gives the same figures sooner, where the extra `scoring` is installed
    judge: str = field("pycocotools", one_of=("pycocotools", "faster_coco_eval"))
    augmentation: AugmentationConfig = section(AugmentationConfig)
