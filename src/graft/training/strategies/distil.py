"""Distillation: a small model learns from the labels and from the answers of finished, larger ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from graft.data.views.view import BatchSource
from graft.inference.torch_runner import normalisation
from graft.models.architectures import Model, WithAuxiliary
from graft.models.teacher import Teacher, Teachers
from graft.training.context import TrainingContext
from graft.training.forward import Forward
from graft.training.losses import WeightedSum
from graft.training.mixing.mixed_targets import MixedTargets
from graft.training.state import Trainee
from graft.training.strategies.distilled import Temperature, Weight
from graft.training.strategies.divergences import TEMPERATURES, Divergence, Kind
from graft.training.strategies.hints import Hints, keep_last
from graft.training.strategies.local_pooling import ForwardWithFeatures
from graft.training.strategies.parent import channels, logits_of
from graft.training.strategies.plop import compiled_features
from graft.training.strategies.reused_answers import Answered, AnsweredViews
from graft.training.strategies.semi_supervised import PerLabelled, UnlabelledWeight, resting_statistics
from graft.training.strategies.shared_options import completed, moving_as_supervised
from graft.training.strategies.supervised import Supervised
from graft.training.strategies.teachers import refuse_other_size, shared_classes, unfit_divergence
from graft.training.strategies.unlabelled_batches import UnlabelledBatches


class Taught(Supervised):
    """Adds to the loss of the labels the divergence of the answers from those of the context's teachers.

    Args:
        loss: Loss of the labels.
        divergence: Divergence of the answers.
        weight: Factor of the divergence; 0 leaves it out, on unlabelled images too.
        feature_weight: Factor of the loss of the features; 0 leaves it out.
        unlabelled_weight: Factor, beside `weight`, of the divergence on unlabelled images.
        per_labelled: Number of unlabelled images beside each labelled one.
        reuse_answers: Whether the answers to labelled images are computed once for each view.
        movement: Options of `supervised` on movement.
    """

    context: TrainingContext
    hints: Hints | None = None
    batches: UnlabelledBatches | None = None

    def __init__(
        self,
        loss: WeightedSum,
        divergence: Divergence,
        weight: float,
        feature_weight: float,
        unlabelled_weight: float,
        per_labelled: int,
        reuse_answers: bool,
        movement: dict[str, Any],
    ) -> None:
        super().__init__(loss, completed(movement))
        self.divergence, self.weight, self.feature_weight = divergence, weight, feature_weight
        self.unlabelled_weight, self.per_labelled = unlabelled_weight, per_labelled
        self.reuse_answers = reuse_answers
        self.is_taught = weight > 0 or feature_weight > 0
        self.looks_at_unlabelled = weight > 0 and unlabelled_weight > 0

    def begin(self, model: Model, context: TrainingContext) -> None:
        """Meets the teachers; refuses a divergence that they cannot be asked for."""
        if not self.is_taught:
            return
        self.context = context
        known = shared_classes(context.teachers[0].spec, context.class_names)
        self.known = [context.class_names.index(name) for name in known]
        if problem := unfit_divergence(self.divergence.kind, context.task, context.class_names, known):
            raise problem
        if self.feature_weight:
            device, networks = next(model.parameters()).device, [each.model for each in context.teachers]
            for network in networks:
                network.to(device)
            self.hints = Hints(model, networks, len(context.channels), context.seed)

    def parameter_groups(self, model: Model) -> list[dict[str, Any]]:
        """The groups of `supervised`, and the adapters of the features."""
        return super().parameter_groups(model) + (self.hints.parameter_groups() if self.hints is not None else [])

    def prepare(self, model: Model, views: BatchSource, forward: Forward) -> tuple[BatchSource, Callable[[Any], Any]]:
        """Gives every teacher a forward pass with its own normalisation, and the unlabelled images an order."""
        if not self.is_taught:
            return super().prepare(model, views, forward)
        device = forward.scale.device
        self.student = forward.of(model)
        keep = keep_nothing if self.hints is None else keep_last
        self.asked = [ForwardWithFeatures(self._pass_of(each, forward), keep) for each in self.context.teachers]
        if self.context.unlabelled is not None and self.looks_at_unlabelled:
            batch_size = self.per_labelled * self.context.batch_size
            self.batches = UnlabelledBatches(self.context.unlabelled, self.context.seed, batch_size, device)
        views = AnsweredViews(views, self.ask) if self.reuse_answers else views
        if self.hints is None:
            return super().prepare(model, views, forward)
        if forward.is_compiled:
            raise compiled_features("distil with feature_weight")
        return views, ForwardWithFeatures(forward, keep)

    def begin_batch(self, trainee: Trainee, batch: int) -> None:
        """Takes note of the number of the batch, by which unlabelled images are chosen."""
        self.batch = batch

    def step(self, forward: Callable[[Any], Any], images: Any, targets: Tensor | MixedTargets) -> dict[str, Tensor]:
        """`loss`, and as parts of it `distillation`, `features` and `unlabelled`; without weights nobody is asked."""
        known, images = (images, images.images) if isinstance(images, Answered) else (None, images)
        output, features = (forward(images), []) if self.hints is None else forward(images)
        loss = self.loss(output, targets)
        if not self.is_taught:
            return self.in_all(loss)
        answers, of_teachers = self.ask(images) if known is None else (known.answers, known.features)
        parts = {}
        if self.weight:
            right = targets if isinstance(targets, Tensor) else None
            parts["distillation"] = self.weight * self.divergence(self._of_known(output), answers, right)
        if self.hints is not None:
            parts["features"] = self.feature_weight * self._of_features(features[0], of_teachers, images.shape[-2:])
        if self.batches is not None:
            parts["unlabelled"] = self.weight * self.unlabelled_weight * self._on_unlabelled(images.shape[-2:])
        return self.in_all(loss, **parts)

    @torch.no_grad()
    def ask(self, images: Tensor, inside: Tensor | None = None) -> tuple[Tensor, list[Tensor]]:
        """The teachers' common answer, as the divergence compares it, and the features of each that are kept."""
        logits, features = [], []
        for teacher, forward in zip(self.context.teachers, self.asked, strict=True):
            refuse_other_size(teacher, images.shape[-2:])
            output, kept = forward(images)
            logits.append(channels(logits_of(output), self._ids_of(teacher)))
            features += kept
        return self.divergence.combine(logits, inside), features

    def state(self) -> dict[str, Any]:
        """The values of the adapters; the optimizer has their moments."""
        return {} if self.hints is None else {"hints": self.hints.state_dict()}

    def restore(self, state: dict[str, Any]) -> None:
        """Restores a `state`."""
        if self.hints is not None:
            self.hints.load_state_dict(state["hints"])

    def _of_known(self, output: Tensor | WithAuxiliary) -> Tensor:
        return channels(logits_of(output), self.known)

    def _ids_of(self, teacher: Teacher) -> list[int]:
        """The teacher's ids of the classes that are compared, in the student's order."""
        return [teacher.spec.class_names.index(self.context.class_names[number]) for number in self.known]

    def _pass_of(self, teacher: Teacher, forward: Forward) -> Forward:
        device = forward.scale.device
        teacher.model.to(device, memory_format=forward.layout)  # type: ignore[call-overload]  # torch takes both
        scale, shift = (each.to(device) for each in normalisation(teacher.spec.mean, teacher.spec.std))
        return forward.of(teacher.model, normalisation=(scale, shift))

    def _of_features(self, features: Tensor, of_teachers: list[Tensor], size: torch.Size) -> Tensor:
        """The loss of the features of views of this size, which each model pads as it has to."""
        assert self.hints is not None
        passes = (self.student, *(each.whole for each in self.asked))
        seen, *by_teachers = (one.padded_size(size) for one in passes)
        return self.hints(features, of_teachers, seen, by_teachers)

    def _on_unlabelled(self, size: tuple[int, int]) -> Tensor:
        """The divergence on a batch of unlabelled images, which move no running statistics."""
        assert self.batches is not None
        weak = self.batches.take(self.batch, size)
        with resting_statistics(self.student.model):
            output = self.student(weak.images)
        answers, _ = self.ask(weak.images, weak.inside)
        return self.divergence(self._of_known(output), answers, inside=weak.inside)


def keep_nothing(maps: Sequence[Tensor]) -> list[Tensor]:
    """Nothing of the features."""
    return []


@moving_as_supervised
def distil(
    loss: WeightedSum,
    *,
    teacher: Teachers,
    weight: Weight = 1.0,
    divergence: Kind = "kl",
    temperature: Temperature | None = None,
    right_weight: Weight = 1.0,
    others_weight: Weight = 8.0,
    feature_weight: Weight = 0.0,
    unlabelled_weight: UnlabelledWeight = 1.0,
    unlabelled_per_labelled: PerLabelled = 1,
    reuse_answers: bool = False,
    **movement: Any,
) -> Taught:
    """Distillation: a small model learns from the labels and from the answers of finished, larger ones.

    For a model that has to be smaller or faster than the one that serves today: the teacher says of every pixel how
    likely each class is, which is more than its label says. The loss is L + weight · D, with D by `divergence`

    * `kl`: T² · 1/N Σ_i Σ_c p_ic log(p_ic / q_ic), where p and q are the softmax of the teacher's logits and of the
      student's, both divided by the temperature T (Hinton et al. 2015, "Distilling the Knowledge in a Neural Network",
      section 2);
    * `channel_wise`, for masks: the same of the softmax over the places of each class, T² · 1/(B K) Σ_c Σ_i φ_ic
      log(φ_ic / ψ_ic), which says where a class is rather than what a pixel is (Shu et al. 2021, "Channel-wise
      Knowledge Distillation for Dense Prediction", section 3.2; the paper has T = 4, and weight 3 for logits);
    * `decoupled`, for labels: T² · (α KL(b) + β KL(r)), b whether the image is of the right class and r which of the
      others it is, if not (Zhao et al. 2022, "Decoupled Knowledge Distillation", equation 7). Where labels are mixed or
      missing, the class that the teacher thinks likeliest counts as the right one.

    Several teachers answer with the mean of their probabilities. Classes are matched by name: those that the teacher
    lacks are left out of D, and `decoupled` needs all. The teacher sees the student's views, mixed as they are (Beyer
    et al. 2022, "A good teacher is patient and consistent"), in its own normalisation; where it was trained at another
    `preprocess.resize`, it sees things in another size. With `augment.unlabelled: unlabelled` it also answers to images
    that nobody labelled. It does not help where the teacher is hardly better than the student, and costs its forward
    pass in every step. With `weight: 0` and `feature_weight: 0` it is `supervised`, to the bit.

    Args:
        loss: Loss to be minimised.
        teacher: `models:/NAME/VERSION`, a folder that export or fine-tune wrote, or a list of them; `graft pin` writes
            the sha256 of each beside it, and turns an alias into its version.
        weight: Factor of the divergence.
        divergence: Way in which the answers are compared.
        temperature: Temperature of both softmaxes; larger ones make unlikely classes count. `null` is 1 for `kl`, as in
            Liu et al. 2019 for masks, and 4 for the others, as in their papers; for labels `kl` often has 2 to 4.
        right_weight: α of `decoupled`; the paper has 1.
        others_weight: β of `decoupled`; the paper's code has 8 for CIFAR-100 and 0.5 for ImageNet.
        feature_weight: Factor of the mean of ½ (r - t)², with t the last features of the teacher's backbone and r those
            of the student's behind a learned 1×1 convolution (Romero et al. 2015, "FitNets", equation 3).
        unlabelled_weight: Factor, beside `weight`, of the divergence on unlabelled images, where there are any.
        unlabelled_per_labelled: Number of unlabelled images beside each labelled one.
        reuse_answers: Whether the answers to labelled images are computed once for each view and kept in a temporary
            file of 4 bytes for each class and pixel. It pays when there are more epochs than views.

    Raises:
        GraftError: A teacher is of another task, takes other channels or shares fewer than two classes, or options make
            no sense together.
    """
    softness = TEMPERATURES[divergence] if temperature is None else temperature
    compared = Divergence(divergence, softness, right_weight, others_weight)
    unlabelled = (unlabelled_weight, unlabelled_per_labelled)
    return Taught(loss, compared, weight, feature_weight, *unlabelled, reuse_answers, movement)
