"""The recipes: the settings of each kind of protocol. Papers' numbers are in the protocol cards."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from medbench.cards.base import Side, Strict
from medbench.cards.kinds import Kind

Positive = Annotated[int, Field(gt=0, le=1_000_000)]
Views = Annotated[int, Field(ge=0, le=10_000)]
Rate = Annotated[float, Field(gt=0)]
Level = Annotated[int, Field(ge=0, le=255)]


class Settings(Strict):
    """What every protocol decides before a network sees an image. Source: WACV 2024, section 3."""

    kind: ClassVar[Kind]  # declared by each class that a protocol card can name

    image_size: Side | None = Field(None, description="Side of the network's input; none: the model card's.")
    library: str | None = Field(
        None, description="Which of the model card's libraries builds the encoder; none: the card's."
    )
    pooled: str | None = Field(None, description="Another pooled feature of the model card; none: the card's.")
    transform: Literal["protocol", "native"] = Field(
        "protocol", description="The protocol's own preprocessing, or the model's."
    )
    foreground: bool = Field(False, description="Crop to the largest bright region first (FLAIR).")
    resize_ratio: float = Field(256 / 224, ge=1, description="Stored side / input side; the rest is cropped away.")
    fit: Literal["squash", "shortest", "canvas", "longest"] = Field(
        "squash",
        description="Resize to a square, or the shorter side, or the longer and pad on the right and below; `canvas`"
        " (FLAIR) and `longest` (SAM) differ in rounding.",
    )
    fill: list[Level] | None = Field(None, min_length=1, description="Colour of the padding; none: black.")
    interpolation: Literal["bilinear", "bicubic", "lanczos"] = "bilinear"
    draft: bool = Field(False, description="Let the JPEG decoder scale down first (5 times faster, .2 grey levels).")
    normalise: Literal["dataset", "model"] = Field(
        "dataset", description="Mean and standard deviation: the data set's or the model's."
    )
    channel_rule: Literal["slice", "sum"] = Field(
        "slice", description="First kernel on one-channel data: its first input slice, or the sum over inputs (Q13)."
    )
    inputs: list[str] | None = Field(
        None, min_length=1, description="The inputs that are used, where samples have several; none: all."
    )
    encoders: dict[str, str] = Field(
        default_factory=dict, description="Input -> the model that encodes it, if it is not the run's."
    )
    slices: Literal["mean", "max", "centre"] = Field(
        "mean", description="How the features of a volume's slices are pooled; `centre`: only the middle slice is used."
    )
    stride: Positive = Field(1, description="Use every n-th slice of a volume, counted from the middle.")
    balance: bool = Field(True, description="Give each input's features the same root mean square on train.")
    precision: Literal["fp32", "bf16", "fp16"] | None = Field(
        None, description="Precision where --precision is auto; none: bf16 on a GPU that has it, else fp32."
    )
    split: str | None = Field(
        None,
        description="Name of the data set's split, or a split file; `RULE@N`: the rule with seed N; `{seed}`: the"
        " run's seed; none: the default split.",
    )


class Augment(Strict):
    """Training augmentation of WACV 2024: all draws are per (view, image)."""

    scale: tuple[float, float] = Field((0.8, 1.2), description="Area of the random resized crop.")
    ratio: tuple[float, float] = Field((3 / 4, 4 / 3), description="Aspect ratio of the crop.")
    vertical_flip: float = Field(0.5, ge=0, le=1)
    horizontal_flip: float = Field(0.5, ge=0, le=1)
    jitter: float = Field(0.8, ge=0, le=1, description="Probability of the colour jitter.")
    brightness: float = Field(0.2, ge=0)
    contrast: float = Field(0.2, ge=0)
    saturation: float = Field(0.1, ge=0)
    hue: float = Field(0.1, ge=0, le=0.5)


class Recipe(Settings):
    """What every protocol that trains decides. Source: WACV 2024, section 3."""

    augment: Augment = Field(default_factory=Augment)
    epochs: int = Field(100, gt=0, le=100_000)
    batch_size: Positive = Field(64, description="Images per step, over all processes and micro-batches.")
    learning_rates: list[Rate] = Field(default=[1e-5, 1e-4, 3e-4, 1e-3], min_length=1)
    weight_decay: float = Field(1e-5, ge=0, description="On weight matrices and kernels, not on biases and norms.")
    clip: float = Field(1.0, gt=0, description="Global norm of the gradient.")
    warmup_epochs: int = Field(5, ge=0, le=100_000)
    warmup_steps: int | None = Field(None, ge=0, description="Steps of the warm-up; overrides `warmup_epochs`.")
    warmup_overshoot: bool = Field(False, description="Q10: end the ramp at lr * (1 + 1/W), as the code did.")
    plateau: bool = Field(True, description="Q8: divide the rate when validation stops improving.")
    plateau_factor: float = Field(0.1, gt=0, lt=1)
    plateau_patience: int = Field(2, ge=0, description="Epochs without improvement that are tolerated.")
    plateau_threshold: float = Field(1e-4, ge=0, description="Relative improvement that counts.")
    cosine: bool = Field(False, description="Half a cosine from the end of the warm-up to `min_rate`, per step.")
    min_rate: float = Field(0.0, ge=0, description="Where the cosine ends.")
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    early_stopping: Positive | None = Field(
        None, description="Stop after this many epochs without a better validation metric."
    )
    early_from: int = Field(0, ge=0, description="First epoch, from 0, that `early_stopping` counts.")
    early_threshold: float = Field(
        0.0, ge=0, description="Smallest gain of the metric that early stopping counts as better."
    )
    select: str | None = Field(None, description="Metric by which epochs and rates are chosen; none: the data set's.")
    round_metric: int | None = Field(None, ge=0, description="Q7: decimals kept before epochs are compared.")
    val_drop: bool = Field(False, description="Q6: leave out a random rest of validation in each epoch.")
    val_half: bool = Field(False, description="Q21: validation scores in half precision.")
    test_fp32: bool = Field(False, description="Q21: test scores in single precision, whatever training's is.")

    @model_validator(mode="after")
    def _one_decay(self) -> Recipe:
        if self.cosine and self.plateau:
            raise ValueError("the rate follows either the plateau or the cosine: set one of them to false")
        return self


class LinearFrozen(Recipe):
    """A linear head on frozen features: all learning rates and seeds trained together on cached views."""

    kind: ClassVar[Kind] = Kind("linear-frozen", version=4, images=False)
    views: Views = Field(16, description="Augmented views of the training set in the bank; 0: the clean images.")


class Knn(Settings):
    """Cosine k-nearest neighbours with votes weighted exp(similarity / temperature)."""

    kind: ClassVar[Kind] = Kind("knn", version=2, seeded=False, images=False)
    k: Positive | Literal["auto"] = Field(200, description="Neighbours; `auto` chooses among `k_grid` on validation.")
    k_grid: list[Positive] = Field(default=[1, 3, 5, 10, 20, 50, 100, 200], min_length=1)
    temperature: float = Field(0.1, gt=0)
    bank_drop: bool = Field(False, description="Q6: cut the bank to a multiple of `batch_size`, as the code did.")
    batch_size: Positive = Field(64)


class NearestMean(Settings):
    """Cosine between an image and the mean of each class's training images."""

    kind: ClassVar[Kind] = Kind("nearest-mean", version=2, seeded=False, images=False)
    temperature: float = Field(0.1, gt=0, description="Cosines are divided by it before the softmax.")


class FinetuneRecipe(Recipe):
    """A network trained by gradient descent, one (seed, learning rate) at a time."""

    views: Views | None = Field(
        None, description="Number of augmented views in the bank; 0: clean images; none: new views in each epoch."
    )
    lr_search_seeds: Positive = Field(1, description="Number of seeds on which the learning rate is searched.")
    eps: float = Field(1e-8, gt=0, description="Epsilon of AdamW.")
    layer_decay: float | None = Field(
        None, gt=0, le=1, description="Rate of unit i of n: lr * decay^(n - i); what precedes the units counts as -1."
    )
    drop_path: float | None = Field(None, ge=0, lt=1, description="Stochastic depth; none: the model card's.")
    head_std: float | None = Field(
        None, gt=0, description="Standard deviation of the head's initial weights; none: torch's default."
    )
    loss: Literal["cross-entropy", "weighted", "marginal"] = Field(
        "cross-entropy",
        description="`weighted`: classes weigh n / (c n_k). `marginal`: plus an L1 penalty between predicted and"
        " true class proportions of the batch.",
    )
    marginal: float = Field(1.0, ge=0, description="Weight of that penalty.")
    micro_batch: Positive | None = Field(None, description="Images at once; the rest of a step is accumulated.")
    checkpointing: bool | None = Field(
        None, description="Recompute blocks in the backward pass; none: from 512 pixels on, on a GPU."
    )
    compile: bool = Field(False, description="torch.compile the network.")


EXECUTION = {"micro_batch", "checkpointing", "compile", "cache_gb"}
"""Settings that change the cost of a run but not its result, so not its key; `outline.together` is the exception."""


class LinearUnfrozen(FinetuneRecipe):
    """Encoder and linear head, fine-tuned together."""

    kind: ClassVar[Kind] = Kind("linear-unfrozen", version=3, thaws=True)


class DeitFrozen(FinetuneRecipe):
    """Patch tokens of a frozen encoder into a trained DeiT."""

    kind: ClassVar[Kind] = Kind("deit-frozen", version=3, module="deit", second="classifier")
    classifier: str = Field("imagenet", description="Model card of the network on top of the tokens.")
    cache_gb: float = Field(
        64.0, ge=0, description="Limit in GiB for cached outputs of the frozen part; above it nothing is cached."
    )


class DeitUnfrozen(FinetuneRecipe):
    """Patch tokens of an encoder into a DeiT, both trained."""

    kind: ClassVar[Kind] = Kind("deit-unfrozen", version=3, module="deit", second="classifier", thaws=True)
    classifier: str = Field("imagenet", description="Model card of the network on top of the tokens.")


class Freeze(FinetuneRecipe):
    """The first units frozen, the others and a linear head trained."""

    kind: ClassVar[Kind] = Kind("freeze", version=3, sweep="frozen", first="linear-unfrozen", last="linear-frozen")
    frozen: int | list[int] | None = Field(None, description="Frozen units f; a list; none: all from 0 to n.")
    train_stem: bool = Field(
        True,
        description="f = 0 is linear-unfrozen; false: what precedes and follows the units stays frozen then (Q16).",
    )
    train_final_norm: bool = Field(
        False, description="Whether the layers after the units are trained (not in the published code)."
    )
    cache_gb: float = Field(
        64.0, ge=0, description="Limit in GiB for cached outputs of the frozen part; above it nothing is cached."
    )


class DecapitateFrozen(DeitFrozen):
    """Patch tokens of the first units of a frozen encoder into a trained DeiT."""

    kind: ClassVar[Kind] = Kind(
        "decapitate-frozen", version=3, module="deit", sweep="kept", last="deit-frozen", second="classifier"
    )

    kept: int | list[int] | None = Field(None, description="Units kept; a list; none: all from 1 to n.")


class DecapitateUnfrozen(DeitUnfrozen):
    """Patch tokens of the first units of an encoder into a DeiT, both trained."""

    kind: ClassVar[Kind] = Kind(
        "decapitate-unfrozen",
        version=3,
        module="deit",
        sweep="kept",
        last="deit-unfrozen",
        second="classifier",
        thaws=True,
    )

    kept: int | list[int] | None = Field(None, description="Units kept; a list; none: all from 1 to n.")


class LinearProbe(Settings):
    """Logistic regression on frozen features."""

    kind: ClassVar[Kind] = Kind("linear-probe", version=3, seeded=False, images=False)
    C: list[Rate] = Field(default=[0.316], min_length=1, description="Inverse strengths; chosen on validation.")
    balanced: bool = Field(True, description="Weigh classes n / (c n_k).")
    scale: bool = Field(False, description="Standardise features by training mean and deviation.")
    refit: bool = Field(
        False, description="Fit again at the chosen C on train and val together before test; val scores stay."
    )
    max_iter: Positive = 1000


class LpFt(LinearUnfrozen):
    """Logistic regression copied into the head, then fine-tuning."""

    kind: ClassVar[Kind] = Kind("lp-ft", version=3, thaws=True)
    C: list[Rate] = Field(default=[0.316], min_length=1, description="Inverse strengths; chosen on validation.")
    balanced: bool = Field(True, description="Weigh classes n / (c n_k) in the regression.")
    scale: bool = Field(False, description="Standardise features in the regression; folded into the head.")
    max_iter: Positive = 1000


class Timing(Settings):
    """Time of one instance and throughput, warmed up and synchronised."""

    kind: ClassVar[Kind] = Kind("timing", seeded=False, sweep="classifier", second="second", timed=True)
    classifier: Literal["linear", "deit"] | list[Literal["linear", "deit"]] | None = Field(
        None,
        description="Classifier on top of the encoder: `linear`, `deit` or a model card, which is stacked then; a list;"
        " none: both.",
    )
    stack: str = Field("imagenet", description="Model card of the stacked network.")
    batches: list[Positive] = Field(default=[1, 8, 32, 64, 128, 256], min_length=1)
    warmup: int = Field(5, ge=0, le=1_000_000, description="Warm-up passes, not measured.")
    repeats: Positive = Field(30, description="Measured passes.")
    seconds: float = Field(20.0, gt=0, description="A batch size is skipped if its passes would take longer.")

    @model_validator(mode="before")
    @classmethod
    def _card(cls, values: Any) -> Any:
        """Take a model card's name as the classifier, as the protocols that train a stacked network do."""
        asked = values.get("classifier") if isinstance(values, dict) else None
        listed = asked if isinstance(asked, list) else [asked]
        named = [one for one in listed if isinstance(one, str) and one not in ("linear", "deit")]
        if len(set(named)) != 1:
            return values
        kinds = ["deit" if one == named[0] else one for one in listed]
        return {**values, "stack": named[0], "classifier": kinds if isinstance(asked, list) else kinds[0]}

    @property
    def second(self) -> str | None:
        """The stacked network's card, where there is one."""
        return None if self.classifier == "linear" else self.stack


class DinoPretrain(Settings):
    """DINO self-supervision on a data set's training images (Caron et al. 2021)."""

    kind: ClassVar[Kind] = Kind("dino-pretrain", version=2, seeded=False, keeps=True, thaws=True)
    epochs: Positive = 100
    batch_size: Positive = Field(64, description="Images per step, over all processes and micro-batches.")
    global_size: Positive | None = Field(None, description="Side of the two global crops; none: the image size.")
    local_size: Positive = Field(96, description="Side of the local crops.")
    local_crops: int = Field(6, ge=0, le=1_000)
    global_scale: tuple[float, float] = Field((0.4, 1.0), description="Area of a global crop as a share of the image.")
    local_scale: tuple[float, float] = Field((0.05, 0.4), description="Area of a local crop as a share of the image.")
    crop_interpolation: Literal["bilinear", "bicubic"] = Field("bicubic", description="Of the crops; DINO's: bicubic.")
    horizontal_flip: float = Field(0.5, ge=0, le=1)
    jitter: float = Field(0.8, ge=0, le=1, description="Probability of the colour jitter.")
    brightness: float = Field(0.4, ge=0)
    contrast: float = Field(0.4, ge=0)
    saturation: float = Field(0.2, ge=0)
    hue: float = Field(0.1, ge=0, le=0.5)
    grey: float = Field(0.2, ge=0, le=1, description="Probability of a grey crop.")
    blur: tuple[float, float, float] = Field(
        (1.0, 0.1, 0.5), description="Probability of blur of global crop 1, global crop 2 and local crops."
    )
    solarize: float = Field(0.2, ge=0, le=1, description="Probability of solarisation of the second global crop.")
    hidden: Positive = Field(2048, description="Width of the head.")
    bottleneck: Positive = Field(256, description="Width before its last layer.")
    outputs: Positive = Field(4096, description="Outputs of its last layer.")
    layers: Positive = Field(3, description="Layers of the head before its last.")
    student_temperature: float = Field(0.1, gt=0)
    teacher_temperature: tuple[float, float] = Field((0.04, 0.07), description="Start and end of its warm-up.")
    teacher_warmup: int = Field(30, ge=0, description="Epochs of that warm-up.")
    centre_momentum: float = Field(0.9, ge=0, le=1, description="1: no centring.")
    momentum: float = Field(0.99, ge=0, le=1, description="Momentum of the teacher; rises to 1 along a cosine.")
    learning_rate: Rate = 1e-4
    min_rate: float = Field(1e-6, ge=0, description="Where the cosine of the rate ends.")
    warmup_epochs: int = Field(10, ge=0)
    warmup_steps: int | None = Field(None, ge=0, description="Steps of the warm-up; overrides `warmup_epochs`.")
    weight_decay: tuple[float, float] = Field((0.04, 0.4), description="Start and end of its cosine.")
    freeze_last: int = Field(1, ge=0, description="Epochs with the head's last layer frozen.")
    clip: float = Field(1.0, gt=0, description="Global norm of the gradient.")
    drop_path: float | None = Field(
        0.1, ge=0, lt=1, description="Stochastic depth of a student that is a transformer; none: the model card's."
    )
    micro_batch: Positive | None = Field(None, description="Images at once; the rest of a step is accumulated.")
    checkpointing: bool | None = Field(
        None, description="Recompute blocks in the backward pass; none: from 512 pixels on, on a GPU."
    )
    k: Positive = Field(20, description="Neighbours of the k-NN that gives the record's metrics.")
    temperature: float = Field(0.07, gt=0, description="Temperature of that k-NN's votes.")


class CkaRecipe(Settings):
    """Linear CKA between the layers of a network before and after fine-tuning."""

    kind: ClassVar[Kind] = Kind(
        "cka", seeded=False, second="second", tunes=("linear-unfrozen", "deit-frozen", "deit-unfrozen")
    )

    tuned: Literal["linear-unfrozen", "deit-frozen", "deit-unfrozen"] = Field(
        "linear-unfrozen", description="Protocol that fine-tuned the network; `deit-*`: the stacked network's layers."
    )
    estimator: Literal["batch", "hsic"] = Field(
        "hsic",
        description="`batch`: mean of the debiased ratios of all batches; `hsic`: HSIC summed over batches first.",
    )
    layers: Literal["blocks", "all"] = Field("blocks", description="`all`: embedding, attention and MLP outputs.")
    form: Literal["flat", "cls", "pooled"] = Field("flat", description="Which part of a layer's output is compared.")
    images: Positive | None = Field(2000, description="Test images, the first of a named shuffle; none: all.")
    batch: int = Field(64, ge=4, description="Images of one Gram matrix.")
    classifier: str = Field("imagenet", description="`deit-*`: model card of the stacked network.")

    @property
    def second(self) -> str | None:
        """The stacked network's card, where there is one."""
        return None if self.tuned == "linear-unfrozen" else self.classifier


class CkaModels(Settings):
    """Pooled features of a fine-tuned network on test images, to be compared among models."""

    kind: ClassVar[Kind] = Kind(
        "cka-models", module="cka", function="run_models", seeded=False, tunes=("linear-unfrozen",)
    )

    tuned: Literal["linear-unfrozen"] = "linear-unfrozen"
    images: Positive | None = Field(2000, description="Test images, the first of a named shuffle; none: all.")
    batch: Positive = 64


def _declared(base: type[Settings]) -> dict[str, type[Settings]]:
    """Return kind -> settings of all classes below `base` that declare a kind."""
    found = {base.kind.name: base} if "kind" in vars(base) else {}
    for below in base.__subclasses__():
        found |= _declared(below)
    return found


SETTINGS: dict[str, type[Settings]] = dict(sorted(_declared(Settings).items()))
"""The settings that each kind of protocol takes."""

KINDS: dict[str, Kind] = {name: settings.kind for name, settings in SETTINGS.items()}
"""All kinds of protocols, by name."""
