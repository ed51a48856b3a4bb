"""Adaptation to a domain without labels: colours, normalisation statistics, self-training, hidden patches."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from graft.training.losses import WeightedSum
from graft.training.strategies.adaptation import Adapt
from graft.training.strategies.semi_supervised import PerLabelled, Threshold, UnlabelledWeight
from graft.training.strategies.shared_options import moving_as_supervised
from graft.training.strategies.target_style import Style

Share = Annotated[float, Field(ge=0, le=1)]


@moving_as_supervised
def adapt(
    loss: WeightedSum,
    *,
    ladder: Literal["none", "auto"] = "none",
    source_share: Annotated[float, Field(gt=0, lt=1)] = 0.3,
    style: Style = "lab",
    style_beta: Annotated[float, Field(ge=0, lt=0.5)] = 0.01,
    statistics: Share = 0.5,
    unlabelled_weight: UnlabelledWeight = 1.0,
    confidence_threshold: Threshold = 0.968,
    unlabelled_per_labelled: PerLabelled = 1,
    masked_weight: UnlabelledWeight = 1.0,
    masked_share: Annotated[float, Field(gt=0, lt=1)] = 0.7,
    masked_patch_px: Annotated[int, Field(ge=1)] = 32,
    source_only: bool = True,
    **movement: Any,
) -> Adapt:
    """Labels from one domain, none from another: day to night, one scanner to the next. Four steps, each an option.

    The labelled images are the source, the unlabelled ones the target. From cheap to dear:

    * `style`: each labelled image takes on the colours of an unlabelled one, and its mask stays right. `lab` matches
      mean and deviation in CIE L*a*b* (Reinhard et al. 2001, "Color Transfer between Images"), `fourier` the amplitudes
      of low frequencies (Yang & Soatto 2020, "FDA: Fourier Domain Adaptation for Semantic Segmentation").
    * `statistics`: batch normalisation goes by (1 - m) · its own statistics + m · those of the target (Schneider et al.
      2020, "Improving robustness against common corruptions by covariate shift adaptation", equation 1; with m = 1 Li
      et al. 2016, "Revisiting Batch Normalization For Practical Domain Adaptation"). It costs no training; val, if that
      is of the source, is scored with them, too.
    * self-training, `unlabelled_weight`: the teacher's likeliest classes are labels, of which each image counts as much
      as the share q of it where the teacher's probability is at least τ. Half of the classes of a labelled image are
      laid over each unlabelled one, with weight 1, before colours change (Hoyer et al. 2022, "DAFormer", equations 3 to
      5; Tranheden et al. 2021, "DACS"; Olsson et al. 2021, "ClassMix"). Of labels, q is 1 where the teacher is sure,
      else 0, as in `fix_match`. The teacher is what `fine_tune.averaging: ema` keeps, as in the paper, or without an
      average the model itself. The paper's rare-class sampling is `fine_tune.sampling: rare_class`; its distance to
      features of ImageNet is left out.
    * `masked_weight`: the same labels are learnt from unlabelled images of which patches are hidden (Hoyer et al. 2023,
      "MIC: Masked Image Consistency for Context-Enhanced Domain Adaptation", equations 4 to 7).

    `ladder: auto` climbs by itself: no step at first, for `source_share` of the epochs, then one step after another, in
    equal parts of the rest, each on top of those that were kept. An epoch is worth the mean of the val score
    and of `target_score`: the agreement of two views of unlabelled images (mean IoU), times 1 - ½ Σ_c |share of class c
    in the answers - share among the labels|. A step of which no epoch is worth more than all before is dropped, and
    training goes back to the best weights. So a step has to gain on the target at least what it loses on val. Give it a
    rate that does not fall to nothing before the last step (`schedule: constant`). The worth chooses the epoch that is
    kept without a ladder, too.

    A step with all of them costs three to four times a plain one. For images of the same kind of thing in another look.
    Where the target has other classes, or other shares of them, self-training teaches errors. Where labelled and
    unlabelled images look alike, take `fix_match` or `uni_match`. With every step off it is `supervised`, to the bit.

    Args:
        loss: Loss to be minimised.
        ladder: `none` takes all steps from the first epoch on; `auto` climbs.
        source_share: Share of the epochs before the first step of `auto`.
        style: Colours of labelled images: `none` leaves them, `lab`, `fourier`.
        style_beta: Half the width of the window of `fourier`, as a share of the shorter side, β; the paper has 0.01 to
            0.09, and larger ones take over edges too.
        statistics: Share of the target's statistics, m; 0 leaves the step out.
        unlabelled_weight: Factor of the loss of self-training; 0 leaves the step out.
        confidence_threshold: Least probability of an answer that counts as sure, τ.
        unlabelled_per_labelled: Number of unlabelled images beside each labelled one; more cost more time a step.
        masked_weight: Factor of the loss of images with hidden patches; 0 leaves the step out.
        masked_share: Probability that a patch is hidden.
        masked_patch_px: Side of a patch; the paper has 64 in images of 1024 x 1024.
        source_only: Whether fine-tune also trains the same model without any step, which evaluate scores beside it.

    Raises:
        GraftError: There are no unlabelled images, or options that make no sense together.
    """
    options = dict(locals())
    loss, movement = options.pop("loss"), options.pop("movement")
    return Adapt(loss, options, movement)
