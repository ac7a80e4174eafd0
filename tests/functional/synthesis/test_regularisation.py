import pytest

from lightning_viz.functional.synthesis.regularisation import NAMED, Regularisation, find_regularisation

WRONG = [float("nan"), float("inf"), -0.1]


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize(
    "name", ["progress", "l2", "rivals", "decay", "blur", "small_norm", "small_contribution", "jitter", "scale"]
)
def test_a_wrong_share_is_refused_by_name(name, wrong):
    with pytest.raises(ValueError, match=rf"Regularisation\({name}={wrong}\): must be finite, from 0 to"):
        Regularisation(step_size=1, **{name: wrong})


@pytest.mark.parametrize(
    ("name", "most"), [("decay", 1), ("small_norm", 100), ("small_contribution", 100), ("jitter", 1), ("scale", 0.9)]
)
def test_a_share_has_a_most_and_its_border_is_allowed(name, most):
    assert getattr(Regularisation(step_size=1, **{name: most}), name) == most
    with pytest.raises(ValueError, match=f"{name}=.*from 0 to {most}"):
        Regularisation(step_size=1, **{name: most + 0.01})


@pytest.mark.parametrize("wrong", [0, -3, 2.5, float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["steps", "blur_every"])
def test_a_wrong_count_is_refused_by_name(name, wrong):
    with pytest.raises(ValueError, match=rf"Regularisation\({name}={wrong}\): must be a whole number of at least 1"):
        Regularisation(**{name: wrong})


@pytest.mark.parametrize("wrong", [0, *WRONG])
def test_a_wrong_step_size_is_refused(wrong):
    with pytest.raises(ValueError, match=f"step_size={wrong}.*more than 0"):
        Regularisation(step_size=wrong)


def test_an_unknown_parametrisation_is_refused_with_the_choices():
    with pytest.raises(ValueError, match="parametrisation='waves'.*'pixels', 'fourier', 'phase'"):
        Regularisation("waves")


@pytest.mark.parametrize("parametrisation", ["fourier", "phase"])
def test_what_works_on_pixels_needs_pixels(parametrisation):
    for name in ("progress", "decay", "blur", "small_norm", "small_contribution"):
        with pytest.raises(ValueError, match=rf'{name}=.*only with parametrisation="pixels"'):
            Regularisation(parametrisation, step_size=0.1, **{name: 0.5})
    with pytest.raises(ValueError, match="give a step_size"):
        Regularisation(parametrisation)


@pytest.mark.parametrize("name", ["decay", "blur", "small_norm", "small_contribution", "jitter", "scale"])
def test_no_term_is_silently_left_out_by_a_search_for_the_step(name):
    with pytest.raises(ValueError, match=rf"Regularisation\({name}=.*give a step_size"):
        Regularisation(**{name: 0.5})
    assert not Regularisation(progress=2, **{name: 0.5}).is_searched


def test_the_named_ones_are_those_of_the_papers():
    rows = [NAMED[f"yosinski-{number}"] for number in (1, 2, 3, 4)]
    table = [(row.decay, row.blur, row.blur_every, row.small_norm, row.small_contribution) for row in rows]
    assert table == [(0, 0.5, 4, 50, 0), (0.3, 0, 1, 20, 0), (1e-4, 1.0, 4, 0, 0), (0, 0.5, 4, 0, 90)]
    assert [row.steps for row in rows] == [500, 750, 1000, 1000]
    assert [row.progress for row in rows] == [2, 0, 0, 2]
    l2 = NAMED["l2"]
    assert l2.is_searched
    assert (l2.l2, l2.rivals) == (0.03, 0)


def test_an_unknown_name_is_refused_with_the_choices():
    with pytest.raises(ValueError, match=r"who\(regularisation='l1'\): choices are 'l2', 'yosinski-1', .*'maco'"):
        find_regularisation("l1", "who")
    own = Regularisation(l2=0.5)
    assert find_regularisation(own, "who") is own
