from itertools import combinations

import numpy as np
import pytest

from wellfit.charts import tuning as plots
from wellfit.charts.study import MOST, Searched, Study, _label
from wellfit.charts.style import save

STATES = ["complete", "complete", "pruned", "failed", "complete", "complete"]
VALUES = [0.5, 0.4, 0.9, None, 0.3, 0.7]
LR = Searched("optim.lr", [0.01, 0.001, 0.1, 0.2, 0.003, 0.03], "log")
DROPOUT = Searched("model.dropout", [0.0, 0.5, 0.2, 0.1, 0.3, 0.4], "linear")
HIDDEN = Searched("model.hidden", [[8], [8, 4], [8], [], [8, 4], [8]], "choice")
NORM = Searched("model.norm", ["batch", "none", "batch", "none", "batch", "none"], "choice")


def study(keys, values=VALUES, states=STATES, higher=False):
    return Study("val/loss", higher, values, states, keys)


def line(axes, label):
    (found,) = [line for line in axes.get_lines() if line.get_label() == label]
    return found


@pytest.mark.parametrize(
    ("higher", "so_far", "best"), [(False, [0.5, 0.5, 0.5, 0.3], 4), (True, [0.5, 0.9, 0.9, 0.9], 2)]
)
def test_tuning_history_follows_the_best_completed_trial(tmp_path, higher, so_far, best):
    values = [so_far[-1], 0.5, 0.9, None, 0.3]  # the pruned one is as good as the best, but does not count
    states = ["pruned", "complete", "complete", "failed", "complete"]
    figure = plots.history(study([], values, states, higher))
    (axes,) = figure.axes
    np.testing.assert_array_equal(line(axes, "best completed so far").get_ydata(), [np.nan, *so_far])
    assert line(axes, "completed trial").get_xdata().tolist() == [1, 2, 4]
    assert line(axes, "pruned trial").get_xdata().tolist() == [0]
    ring = line(axes, "best trial")
    assert (*ring.get_xdata(), *ring.get_ydata()) == (best, values[best])
    assert axes.get_title("left") == f"Best val/loss: {values[best]} (3 completed, 1 pruned, 1 failed)"
    save(figure, tmp_path / "history.png")


def test_a_study_without_a_result_can_be_drawn(tmp_path):
    figure = plots.history(study([], [None, 0.4], ["failed", "pruned"]))
    assert figure.axes[0].get_title("left") == "No trial has a result yet (0 completed, 1 pruned, 1 failed)"
    assert "best trial" not in [line.get_label() for line in figure.axes[0].get_lines()]
    save(figure, tmp_path / "history.png")


@pytest.mark.parametrize("keys", [[LR], [LR, DROPOUT, HIDDEN], [LR, DROPOUT, HIDDEN, NORM, LR]])
def test_tuning_slices_have_a_panel_for_each_key(tmp_path, keys):
    figure = plots.slices(study(keys), keys)
    panels = [axes for axes in figure.axes if axes.get_visible()]
    assert [axes.get_xlabel() for axes in panels] == [key.key for key in keys]
    for key, axes in zip(keys, panels, strict=True):
        assert axes.get_xscale() == ("log" if key.scale == "log" else "linear")
        won = line(axes, "best trial").get_xdata()[0]
        if key.scale == "choice":
            assert round(won) == key.labels.index(_label(key.values[4]))
        else:
            assert list(line(axes, "completed trial").get_xdata()) == [key.values[n] for n in (0, 1, 4, 5)]
            assert won == key.values[4]
    save(figure, tmp_path / "slices.png")
    legend = figure.legends[0].get_window_extent()
    assert 0 <= legend.x0 <= legend.x1 <= figure.bbox.x1


def test_legends_name_no_state_that_does_not_occur(tmp_path):
    figure = plots.slices(study([LR], states=["complete"] * 3 + ["failed"] + ["complete"] * 2), [LR])
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["completed trial", "best trial"]
    figure = plots.slices(study([LR], [None] * 6, ["failed"] * 6), [LR])
    assert not figure.legends[0].get_texts()
    save(figure, tmp_path / "failed.png")


def test_choices_are_labelled_and_lie_apart():
    assert HIDDEN.labels == ["[8]", "[8, 4]", "[]"]
    assert HIDDEN.positions().tolist() == [0, 1, 0, 2, 1, 0]
    (axes,) = plots.slices(study([HIDDEN]), [HIDDEN]).axes
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["[8]", "[8, 4]", "[]"]
    apart = plots._apart(HIDDEN)
    assert len(set(apart)) == 6
    assert np.array_equal(np.round(apart), HIDDEN.positions())


def test_a_value_without_a_place_on_its_axis_is_left_out(tmp_path):
    zero = Searched("optim.weight_decay", [0.0, 0.1, 0.01, 0.1, 0.2, None], "log")
    np.testing.assert_array_equal(zero.positions(), [np.nan, 0.1, 0.01, 0.1, 0.2, np.nan])
    for figure in drawn([zero, LR]):
        save(figure, tmp_path / "zero.png")


def test_importance_is_ranked(tmp_path):
    figure = plots.importance({"optim.lr": 0.7, "model.norm": 0.2, "model.dropout": 0.1}, "val/loss", 9)
    (axes,) = figure.axes
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["model.dropout", "model.norm", "optim.lr"]
    assert [bar.get_width() for bar in axes.patches] == [0.1, 0.2, 0.7]
    assert {text.get_text() for text in axes.texts} == {"10%", "20%", "70%"}
    save(figure, tmp_path / "importance.png")
    (words,) = plots.importance({}, "val/loss", 3).texts
    assert words.get_text().startswith("3 completed trials are too few")


@pytest.mark.parametrize(("higher", "best"), [(False, 4), (True, 5)])
def test_parallel_coordinates_lead_each_trial_to_its_result(tmp_path, higher, best):
    figure = plots.parallel(study([LR, HIDDEN, DROPOUT], higher=higher))
    axes = figure.axes[0]
    labels = [tick.get_text() for tick in axes.get_xticklabels()]
    assert labels == ["lr", "hidden", "dropout", "val/loss"]
    assert len(axes.patches) == 5  # the failed trial has no result to lead to
    top = axes.patches[-1].get_path().vertices  # drawn last: the best
    lr = np.log(LR.values[best] / 0.001) / np.log(0.2 / 0.001)
    assert top[0].tolist() == pytest.approx([0, lr])
    assert top[-1].tolist() == pytest.approx([3, (VALUES[best] - 0.3) / 0.6])
    assert axes.patches[0].get_edgecolor()[:3] == pytest.approx((0x8A / 255,) * 3)  # the pruned one is below all
    save(figure, tmp_path / "parallel.png")


@pytest.mark.parametrize(
    ("keys", "pairs"), [([LR, HIDDEN], 1), ([LR, HIDDEN, DROPOUT], 3), ([LR, HIDDEN, NORM] * 2, 15)]
)
def test_ranks_show_pairs_of_keys(tmp_path, keys, pairs):
    figure = plots.ranks(study(keys), list(combinations(keys, 2)))
    panels = [axes for axes in figure.axes if axes.get_visible() and axes.collections and axes.lines]
    assert len(panels) == pairs
    assert panels[0].get_xlabel() == "optim.lr"
    assert panels[0].get_ylabel() == keys[1].key
    opacity = panels[0].collections[0].get_facecolors()[:, 3]
    assert opacity.tolist() == pytest.approx([0.1, 0.4, 0.7, 1])  # the best on top
    assert panels[0].collections[0].get_offsets()[-1][0] == LR.values[4]
    save(figure, tmp_path / "rank.png")


def test_equal_trials_share_a_rank_and_equal_values_a_height(tmp_path):
    same = Searched("model.dropout", [0.2, 0.2], "linear")
    figure = plots.parallel(study([same], [0.5, 0.5], ["complete", "complete"]))
    ends = {tuple(vertex) for patch in figure.axes[0].patches for vertex in patch.get_path().vertices[[0, -1]]}
    assert ends == {(0, 0.5), (1, 0.5)}
    save(figure, tmp_path / "same.png")


def drawn(keys):
    return [plots.slices(study(keys), keys), plots.parallel(study(keys)), plots.ranks(study(keys), [tuple(keys)])]


def test_the_same_study_gives_the_same_bytes(tmp_path):
    for one, two in zip(drawn([LR, HIDDEN]), drawn([LR, HIDDEN]), strict=True):
        save(one, tmp_path / "one")
        save(two, tmp_path / "two")
        assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_a_share_is_told_in_percent():
    figure = plots.history(Study("val/accuracy", True, [0.5, 0.7], ["complete"] * 2, []))
    figure.draw_without_rendering()
    assert "60 %" in [tick.get_text() for tick in figure.axes[0].get_yticklabels()]


def test_of_thousands_of_trials_some_are_drawn():
    random = np.random.default_rng(0)
    values, n = random.lognormal(size=5000).tolist(), 5000
    states = random.choice(["complete", "pruned", "failed"], n, p=[0.6, 0.3, 0.1]).tolist()
    keys = [Searched(name, random.uniform(size=n).tolist(), "linear") for name in ("model.dropout", "optim.l1")]
    found = study(keys, values, states)
    assert len(found.shown) == MOST
    assert (np.diff(found.shown) > 0).all()
    assert {0, n - 1, found.winner} <= set(found.shown.tolist())
    so_far = found.best_so_far
    assert set((1 + np.flatnonzero(np.diff(so_far[10:]) < 0) + 10).tolist()) <= set(found.shown.tolist())
    (axes,) = plots.history(found).axes
    assert line(axes, "best completed so far").get_ydata()[-1] == so_far[-1]
    drawn = [line(axes, f"{state} trial").get_xdata() for state in ("completed", "pruned")]
    assert sum(map(len, drawn)) < MOST
    assert axes.get_title("left").endswith(f"failed)\n{MOST} of them are drawn")
    assert len(plots.parallel(found).axes[0].patches) <= MOST
    points = plots.ranks(found, [(keys[0], keys[1])]).axes[0].collections[0].get_offsets()
    assert len(points) == len(drawn[0])
