"""Learning from teachers: the losses by hand and against NumPy, the same bits after a kill, and bad input."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from graft.foundation.content import read_json, sha256_of
from graft.foundation.errors import GraftError
from graft.models.architectures import build_fresh
from graft.models.pins import no_download
from graft.models.saved_model import ModelSpec, load_model, save_model, save_state
from graft.models.teacher import Teacher, check_teachers, load_teacher
from graft.scenes import CLASSES
from graft.training.checkpoint import Checkpoint
from graft.training.state import batch_norms
from graft.training.strategies.divergences import Divergence
from graft.training.strategies.hints import align, hint_loss
from graft.training.strategies.teachers import teachers_of, unfit_divergence
from tests import tiny_training
from tests.tiny_strategy import CLASS_NAMES, KilledError, digests, num_classes, run, small_model, training_of

PLAIN = {"classification": {"name": "plain_cnn"}, "segmentation": {"name": "plain_fcn"}}
SEGMENTATION = {"task": "segmentation"}


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    return tiny_training.prepare(
        tmp_path_factory.mktemp("photographs"), "classification", num_unlabelled=3, unlabelled_views=1
    )


@pytest.fixture(scope="module")
def streets(tmp_path_factory):
    crop = SimpleNamespace(height_px=48, width_px=64)
    return tiny_training.prepare(
        tmp_path_factory.mktemp("streets"), num_samples=6, num_unlabelled=2, views=1, crop=crop
    )


def spec_of(task="segmentation", names=None, **changes):
    names = tuple(names or CLASS_NAMES[: num_classes(task)])
    facts = {"mean": (0.4,) * 3, "std": (0.3,) * 3, "resize": {"name": "none"}, "padding_multiple": 1}
    given = {"task": task, "model": PLAIN[task], "num_classes": len(names), "class_names": names, "synthetic": True}
    return ModelSpec(**given | facts | changes)


def teacher_of(task="segmentation", seed=11, names=None):
    spec = spec_of(task, names)
    model = build_fresh(task, spec.model, spec.num_classes, seed).eval().requires_grad_(False)
    return Teacher(f"teacher {seed}", model, spec)


def taught(folder, teachers, task="segmentation", student=None, **options):
    chosen = {"task": task, "epochs": 2, "batch_size": 3, "strategy": "distil", "teacher": []} | options
    return training_of(folder, student or small_model(task, PLAIN[task]), teachers=teachers, **chosen)


def normalised(task):
    """A student whose backbone ends in batch normalisation."""
    student = small_model(task, PLAIN[task])
    student.backbone.append(torch.nn.BatchNorm2d(128))
    return student.train()


def some_logits(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def softmax(logits, axis=1):
    """In float64, independent of torch."""
    powers = np.exp(np.asarray(logits, np.float64))
    return powers / powers.sum(axis, keepdims=True)


def divergence(p, q, axis=1):
    return (p * np.log(p / q)).sum(axis)


def test_kl_by_hand():
    """The teacher is sure to 3 : 1 at temperature 2 where the student wavers; times T², which is 4."""
    teacher, student = torch.tensor([[2 * np.log(3.0), 0.0]], dtype=torch.float32), torch.zeros(1, 2)
    chosen = Divergence("kl", 2.0)
    by_hand = 4 * (0.75 * np.log(0.75 / 0.5) + 0.25 * np.log(0.25 / 0.5))
    assert float(chosen(student, chosen.combine([teacher]))) == pytest.approx(by_hand, rel=1e-5)


def test_channel_wise_by_hand():
    """Of two places the teacher sees a class to 3 : 1 in the first; it is one of two classes, the other is even."""
    teacher = torch.tensor([[[[np.log(3.0), 0.0]], [[5.0, 5.0]]]], dtype=torch.float32)
    chosen = Divergence("channel_wise", 1.0)
    by_hand = (0.75 * np.log(0.75 / 0.5) + 0.25 * np.log(0.25 / 0.5)) / 2
    found = chosen(torch.zeros(1, 2, 1, 2), chosen.combine([teacher]))
    assert float(found) == pytest.approx(by_hand, rel=1e-5)


def test_decoupled_by_hand():
    """The right class at 1/2 against 1/3, and the other two at 3 : 1 against even."""
    teacher = torch.tensor([[0.5, 0.375, 0.125]]).log()
    right = 0.5 * np.log(0.5 / (1 / 3)) + 0.5 * np.log(0.5 / (2 / 3))
    others = 0.75 * np.log(0.75 / 0.5) + 0.25 * np.log(0.25 / 0.5)
    chosen = Divergence("decoupled", 1.0, right_weight=2.0, others_weight=3.0)
    found = chosen(torch.zeros(1, 3), chosen.combine([teacher]), torch.tensor([0]))
    assert float(found) == pytest.approx(2 * right + 3 * others, rel=1e-5)
    assert float(chosen(torch.zeros(1, 3), chosen.combine([teacher]))) == pytest.approx(float(found))


@pytest.mark.parametrize("temperature", [1.0, 4.0])
@pytest.mark.parametrize("kind", ["kl", "channel_wise"])
def test_two_teachers_agree_with_numpy(kind, temperature):
    student, teachers = some_logits(2, 3, 4, 5), [some_logits(2, 3, 4, 5, seed=seed) for seed in (1, 2)]

    def soft(logits):
        flat = (np.asarray(logits, np.float64) / temperature).reshape(2, 3, 20)
        return softmax(flat, 1 if kind == "kl" else 2)

    mean, axis = (soft(teachers[0]) + soft(teachers[1])) / 2, 1 if kind == "kl" else 2
    expected = temperature**2 * divergence(mean, soft(student), axis).mean()
    chosen = Divergence(kind, temperature)
    assert float(chosen(student, chosen.combine(teachers))) == pytest.approx(expected, rel=1e-4)


def test_decoupled_agrees_with_numpy_and_has_finite_gradients():
    student, teacher, targets = (
        some_logits(6, 5).requires_grad_(True),
        20 * some_logits(6, 5, seed=1),
        [0, 1, 2, 3, 4, 0],
    )
    p, q, rows = softmax(teacher / 4), softmax(student.detach() / 4), np.arange(6)
    of_right = divergence(*(np.stack([x[rows, targets], 1 - x[rows, targets]], 1) for x in (p, q)))
    rest = [np.array([np.delete(row, right) for row, right in zip(x, targets, strict=True)]) for x in (p, q)]
    of_others = divergence(*(x / x.sum(1, keepdims=True) for x in rest))
    chosen = Divergence("decoupled", 4.0, 1.0, 8.0)
    found = chosen(student, chosen.combine([teacher]), torch.tensor(targets))
    assert float(found.detach()) == pytest.approx(16 * (of_right + 8 * of_others).mean(), rel=1e-4)
    (gradient,) = torch.autograd.grad(found, student)
    assert torch.isfinite(gradient).all()


@pytest.mark.parametrize("kind", ["kl", "channel_wise"])
def test_what_lies_beyond_an_image_does_not_count(kind):
    """Of three places, or pixels, the last is beyond the image, where the answers could not differ more."""
    three = {"kl": [[np.log(3.0), np.log(3.0), -50.0], [0.0, 0.0, 50.0]], "channel_wise": [[np.log(3.0), 0.0, 50.0]]}
    teacher = torch.tensor(three[kind], dtype=torch.float32).reshape(1, -1, 1, 3)
    student = torch.zeros_like(teacher)
    student[0, 0, 0, 2] = 30.0
    inside, chosen = torch.tensor([[[True, True, False]]]), Divergence(kind, 1.0)
    by_hand = 0.75 * np.log(0.75 / 0.5) + 0.25 * np.log(0.25 / 0.5)
    found = chosen(student.requires_grad_(True), chosen.combine([teacher], inside), inside=inside)
    assert float(found.detach()) == pytest.approx(by_hand, rel=1e-5)
    (gradient,) = torch.autograd.grad(found, student)
    assert gradient[..., :2].all()
    assert not gradient[..., 2].any()
    nowhere = torch.zeros_like(inside)
    assert float(chosen(student.detach(), chosen.combine([teacher], nowhere), inside=nowhere)) == 0


def test_hint_loss_by_hand():
    """Constant maps of 3 and 1: half of the square of 2; the coarser one is resized."""
    sizes = (64, 64), (64, 64)
    assert float(hint_loss(torch.full((1, 2, 2, 2), 3.0), torch.ones(1, 2, 4, 4), *sizes)) == pytest.approx(2.0)


def rising(num_px, num_cells):
    """A map whose two channels say where the middle of each cell lies, downwards and to the right, in pixels."""
    middles = (torch.arange(num_cells) + 0.5) * num_px / num_cells
    return torch.stack(torch.meshgrid(middles, middles, indexing="ij")).unsqueeze(0)


def test_hints_compare_the_same_places_where_models_pad_a_view_differently(streets):
    """The teacher sees 12 px in cells of 2, the student 8 in cells of 4, of which the outer halves repeat a middle."""
    ours, theirs = align(rising(8, 2), rising(12, 6), (8, 8), (12, 12))
    assert theirs[0, 1, 0].tolist() == [1, 3, 5, 7]
    assert ours[0, 1, 0].tolist() == [2, 3, 5, 6]
    assert float(hint_loss(rising(8, 2), rising(12, 6), (8, 8), (12, 12))) == pytest.approx(0.25)
    assert float(hint_loss(rising(12, 6), rising(8, 2), (12, 12), (8, 8))) == 0
    teacher = teacher_of()
    teacher.model.padding_multiple = 32
    strategy = (training := taught(streets, (teacher,), feature_weight=1.0)).strategy
    assert [each.padded_size((48, 64)) for each in (strategy.student, strategy.asked[0].whole)] == [(48, 64), (64, 64)]
    assert torch.isfinite(first_losses(training)["features"])


def test_adapters_do_not_decay(streets):
    groups = taught(streets, (teacher_of(),), feature_weight=1.0).trainee.optimizer.param_groups
    assert {group["name"]: group["weight_decay"] for group in groups}["hint adapters, not decaying"] == 0


@pytest.mark.parametrize("task", ["segmentation", "classification"])
def test_without_its_weights_a_training_is_supervised_to_the_bit(photographs, streets, task):
    folder, found = {"classification": photographs, "segmentation": streets}[task], []
    for options in ({"strategy": "supervised"}, {"strategy": "distil", "teacher": [], "weight": 0.0}):
        training = training_of(folder, small_model(task, PLAIN[task]), task=task, epochs=1, **options)
        run(training)
        found.append(digests(training))
    assert found[0] == found[1]


KILLED = {
    "decoupled with unlabelled images": ("classification", {"divergence": "decoupled"}),
    "channel-wise and features, reused": (
        "segmentation",
        {"divergence": "channel_wise", "feature_weight": 0.5, "reuse_answers": True},
    ),
}


@pytest.mark.parametrize("case", KILLED)
def test_a_killed_training_ends_in_the_same_bits(photographs, streets, tmp_path, case):
    task, options = KILLED[case]
    folder = {"classification": photographs, "segmentation": streets}[task]

    def made():
        return taught(folder, (teacher_of(task), teacher_of(task, seed=12)), task, normalised(task), **options)

    undisturbed = made()
    assert batch_norms(undisturbed.trainee.model)
    run(undisturbed)
    path = tmp_path / "run.checkpoint"
    with pytest.raises(KilledError):
        run(made(), Checkpoint(path, "run", seconds_between=0), 1)
    resumed = made()
    run(resumed, Checkpoint(path, "run", seconds_between=0))
    assert digests(resumed) == digests(undisturbed)


def first_losses(training):
    images, targets = next(iter(training.views.batches(np.arange(3), 0, 3, torch.device("cpu"))))
    training.strategy.begin_batch(training.trainee, 0)
    return training.strategy.step(training.forward, images, targets)


def test_a_student_that_is_its_own_teacher_has_nothing_to_learn_from_it(streets):
    teacher = teacher_of()
    student = build_fresh("segmentation", PLAIN["segmentation"], 11, 11).eval()
    training = taught(streets, (teacher,), student=student, feature_weight=1.0)
    training.forward.whole.scale, training.forward.whole.shift = (
        training.strategy.asked[0].whole.scale,
        training.strategy.asked[0].whole.shift,
    )
    student.eval()
    losses = first_losses(training)
    assert float(losses["distillation"]) == pytest.approx(0.0, abs=1e-6)
    assert float(losses["features"]) > 0  # the adapter is not learnt yet


def test_classes_are_matched_by_name_and_what_the_teacher_lacks_is_left_out(streets):
    """A teacher with its classes in reverse, and without one, answers as one with all of them in order."""
    whole, known = teacher_of(), (0, 1, 2, 3, 4, 5, 6, 7, 8, 9)
    turned = teacher_of(names=[CLASS_NAMES[number] for number in reversed(known)])
    state = whole.model.state_dict()
    for name in whole.model.class_layers:
        for kind in ("weight", "bias"):
            state[f"{name}.{kind}"] = state[f"{name}.{kind}"][list(reversed(known))]
    turned.model.load_state_dict(state)
    answers = []
    for teacher in (whole, turned):
        training = taught(streets, (teacher,))
        images, _ = next(iter(training.views.batches(np.arange(3), 0, 3, torch.device("cpu"))))
        answers.append(training.strategy.ask(images)[0])
    expected = torch.log_softmax(answers[0][:, list(known)], dim=1)
    torch.testing.assert_close(answers[1], expected, rtol=1e-4, atol=1e-5)


def test_unlabelled_images_count_and_move_no_statistics(photographs):
    moved = []
    for weight in (1.0, 0.0):
        student, teachers = normalised("classification"), (teacher_of("classification"),)
        before = batch_norms(student)[0].running_mean.clone()
        losses = first_losses(taught(photographs, teachers, "classification", student, unlabelled_weight=weight))
        assert ("unlabelled" in losses and float(losses["unlabelled"]) > 0) == bool(weight)
        assert not torch.equal(batch_norms(student)[0].running_mean, before)
        moved.append(student.state_dict())
    assert all(torch.equal(tensor, moved[1][name]) for name, tensor in moved[0].items())


@pytest.mark.parametrize("kind", ["kl", "channel_wise"])
def test_answers_that_are_reused_are_those_to_the_same_images(streets, kind):
    """In another order than they were computed in, and with the features; the last batch is smaller."""
    training = taught(streets, (teacher_of(),), divergence=kind, feature_weight=0.5, reuse_answers=True)
    order = np.array([4, 0, 5, 2, 1])
    batches = [batch for batch, _ in training.views.batches(order, 0, 3, torch.device("cpu"))]
    assert [len(batch) for batch in batches] == [3, 2]
    for batch in batches:
        answers, features = training.strategy.ask(batch.images)
        torch.testing.assert_close(batch.answers, answers)
        torch.testing.assert_close(batch.features, features)


@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_a_teacher_is_one_file_that_is_compared_with_its_digest(tmp_path, precision):
    spec = spec_of()
    model = build_fresh("segmentation", spec.model, 11, 3)
    save_model(tmp_path, {name: t.to(getattr(torch, precision)) for name, t in model.state_dict().items()}, spec)
    (tmp_path / "spec.json").write_text("{}")  # the weights carry their own
    pinned = {"model": str(tmp_path), "sha256": sha256_of(tmp_path / "model.safetensors")}
    teacher = load_teacher(pinned, no_download)
    assert teacher.spec == load_teacher(pinned | {"model": "models:/streets/3"}, lambda _: tmp_path).spec == spec
    assert not any(parameter.requires_grad for parameter in teacher.model.parameters())
    with pytest.raises(GraftError, match="weights are used only when their digest is the pinned one"):
        load_teacher(pinned | {"sha256": "0" * 64}, no_download)
    with pytest.raises(GraftError, match=r"no model in it: neither weights\.safetensors nor model\.safetensors"):
        load_teacher(pinned | {"model": str(tmp_path / "nowhere")}, no_download)
    with pytest.raises(GraftError, match="fetched by the command"):
        load_teacher(pinned | {"model": "models:/streets/3"}, no_download)


def test_pinned_teachers_are_a_list_and_others_are_refused():
    one = {"model": "models:/streets/3", "sha256": "AB" * 32}
    assert check_teachers(one) == check_teachers([one]) == [one | {"sha256": "ab" * 32}]
    for written in (
        "models:/streets@champion",
        "models/big",
        {"model": "models/big"},
        [one | {"model": "models:/x@y"}],
    ):
        with pytest.raises(ValueError, match="is not pinned: run graft pin"):
            check_teachers(written)
    for written in (3, {"modell": "models/big"}, {"model": ""}):
        with pytest.raises(ValueError, match=r"a teacher is \{model:"):
            check_teachers(written)
    with pytest.raises(ValueError, match="an empty list teaches nothing"):
        check_teachers([])
    with pytest.raises(ValueError, match="models:/NAME/VERSION"):
        check_teachers(one | {"model": "models:/streets"})


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (spec_of("classification"), "cannot teach: it is trained for classification, the student for segmentation"),
        (spec_of(names=["a", "one"]), r"cannot teach: it lacks background, two, three.*ten, and knows a, one"),
        (spec_of(channels=("red", "green")), r"it takes 2 channels \(red, green\), and the images have 3 channels"),
        (spec_of(max_value=4095), "it takes 3 channels up to 4095"),
    ],
)
def test_a_teacher_of_other_questions_is_refused(tmp_path, spec, message):
    model = build_fresh(spec.task, spec.model, spec.num_classes, 3, len(spec.channels))
    save_model(tmp_path, model, spec)
    pinned = {"model": str(tmp_path), "sha256": sha256_of(tmp_path / "model.safetensors")}
    with pytest.raises(GraftError, match=message) as error:
        teachers_of({"teacher": [pinned]}, spec_of(), no_download)
    assert "Remedy: choose another teacher" in str(error.value)


def test_teachers_that_know_different_classes_are_refused(tmp_path):
    pins = []
    for number, names in enumerate((CLASS_NAMES, CLASS_NAMES[:9])):
        folder, spec = tmp_path / str(number), spec_of(names=names)
        folder.mkdir()
        save_model(folder, build_fresh("segmentation", spec.model, len(names), 3), spec)
        pins.append({"model": str(folder), "sha256": sha256_of(folder / "model.safetensors")})
    with pytest.raises(GraftError, match=r"know different classes: .*0 lacks none; .*1 lacks nine, ten"):
        teachers_of({"teacher": pins}, spec_of(), no_download)


def test_divergences_that_cannot_be_asked_for_are_refused():
    assert unfit_divergence("kl", "segmentation", CLASS_NAMES, CLASS_NAMES[:3]) is None
    assert "set divergence: kl or decoupled" in str(unfit_divergence("channel_wise", "classification", "ab", "ab"))
    assert "the teacher lacks b, c" in str(unfit_divergence("decoupled", "classification", "abc", "a"))


def test_a_teacher_of_one_size_refuses_other_views(streets):
    teacher = teacher_of()
    teacher.model.fixed_size_px = 224
    with pytest.raises(GraftError, match=r"from views of 64×48 px.*exactly 224×224"):
        first_losses(taught(streets, (teacher,)))


def test_a_file_that_is_no_model_of_graft_has_the_remedy_of_a_teacher(tmp_path):
    path, model = tmp_path / "model.safetensors", build_fresh("segmentation", PLAIN["segmentation"], 11, 3)
    for spec, message in (({}, "not the spec of a model"), (spec_of(names="ab").as_dict(), "not the weights")):
        save_state(path, model.state_dict(), spec)
        with pytest.raises(GraftError, match=message) as error:
            load_teacher({"model": str(tmp_path), "sha256": sha256_of(path)}, no_download)
        assert "name a model that export or fine-tune wrote in fine_tune.strategy.teacher" in str(error.value)
        assert "dvc repro" not in str(error.value)


@pytest.mark.parametrize("weights", [{"weight": 1.0}, {"weight": 0.0, "feature_weight": 0.5}])
def test_the_stage_learns_from_a_folder(streets, tmp_path, weights):
    spec = spec_of(names=CLASSES)
    save_model(tmp_path, build_fresh("segmentation", spec.model, len(CLASSES), 3), spec)
    pinned = {"model": str(tmp_path), "sha256": sha256_of(tmp_path / "model.safetensors")}
    strategy = {"name": "distil", "teacher": pinned, "divergence": "channel_wise", **weights}
    tiny_training.run(streets, tmp_path / "student", strategy=strategy, epochs=1, warmup_epochs=0)
    assert load_model(tmp_path / "student/model")[1].model["name"] == "lraspp"
    assert read_json(tmp_path / "student/curves/summary.json")["strategy"]["teacher"] == [pinned]
    seen = read_json(tmp_path / "student/model/seen.json")
    assert len(seen.get("unlabelled", ())) == (2 if weights["weight"] else 0)
