"""Each alarm on a net that has the trouble and on its healthy twin, and on histories made of numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import fanin
from fanin.diagnosis import CHECKS, Finding
from fanin.diagnosis.model import Severity
from fanin.monitor import ALARMS, Alarm, Watch
from fanin.monitor.alarm import History
from fanin.monitor.seen import Seen
from fanin.monitor.trend import Trend


def quiet(text: str) -> None:
    """What `say` is in tests."""


def mlp(depth: int = 2, activation: Callable[[], nn.Module] = nn.ReLU, width: int = 32) -> nn.Sequential:
    """Of He's start, so that gradients arrive."""
    torch.manual_seed(0)
    layers = [m for _ in range(depth) for m in (nn.Linear(width, width), activation())]
    net = nn.Sequential(*layers, nn.Linear(width, 4))
    for module in net:
        if isinstance(module, nn.Linear):
            nn.init.kaiming_normal_(module.weight)
            nn.init.zeros_(module.bias)
    return net


def trained(
    net: nn.Module,
    lr: float = 0.05,
    steps: int = 30,
    *,
    every: int = 5,
    change: Callable[[int, Tensor], Tensor] = lambda step, x: x,
    clip: float = 0.0,
) -> Watch:
    """On labels that a fixed linear map of the input decides."""
    torch.manual_seed(1)
    optimizer = torch.optim.SGD(net.parameters(), lr)
    teacher = torch.randn(32, 4)
    with fanin.watch(net, every=every, optimizer=optimizer, say=quiet) as w:
        for step in range(1, steps + 1):
            x = torch.randn(64, 32)
            loss = F.cross_entropy(net(change(step, x)), (x @ teacher).argmax(1))
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            clipped = fanin.clip_(net, norm=clip) if clip else None
            optimizer.step()
            w.step(loss, clipped)
    return w.result


def codes(watch: Watch) -> list[str]:
    return [onset.finding.code for onset in watch]


def of(losses: Iterable[float], norms: Iterable[float] = ()) -> list[tuple[int, str]]:
    """(step, code) of what begins in a run that only tells numbers."""
    seen, found = Seen(), []
    given = list(norms)
    for step, loss in enumerate(losses, 1):
        seen.step = step
        norm = given[step - 1] if given else None
        seen.count(step, loss, norm, None)
        history = seen.history(step, loss, norm=norm is not None)
        found += [(step, a.code) for a in ALARMS if a.find(a, history)]
    first: dict[str, int] = {}
    for step, code in found:
        first.setdefault(code, step)
    return [(step, code) for code, step in first.items()]


def noise(count: int, seed: int = 0) -> list[float]:
    return torch.randn(count, generator=torch.Generator().manual_seed(seed)).tolist()


@pytest.mark.parametrize("depth", [2, 12])
def test_a_healthy_net_gives_no_alarm(depth: int) -> None:
    assert codes(trained(mlp(depth), lr=0.02, steps=60)) == []


def test_gradients_that_vanish_from_the_start_are_said_with_their_factor_a_layer() -> None:
    watch = trained(mlp(12, nn.Sigmoid), steps=1)
    assert codes(watch) == ["B01"]
    (onset,) = watch.onsets
    assert (onset.step, onset.finding.code, onset.finding.severity) == (1, "B01", Severity.ERROR)
    assert onset.finding.evidence["ratio_per_layer"] < 0.5
    assert "the start has it already" in onset.finding.why
    assert "fanin explain B01" in str(onset)


def test_gradients_that_explode_are_said() -> None:
    net = mlp(12)
    with torch.no_grad():
        for p in net.parameters():
            p.mul_(3)
    assert codes(trained(net, lr=1e-12, steps=1)) == ["B02"]


def test_what_comes_up_while_training_is_told_from_what_was_there() -> None:
    """Mutant: the first record is forgotten."""
    net = mlp(12, nn.Tanh)

    def spoil(step: int, x: Tensor) -> Tensor:
        if step == 7:
            with torch.no_grad():
                for p in net.parameters():
                    p.mul_(20)
        return x

    watch = trained(net, lr=1e-3, steps=10, change=spoil)
    begun = {onset.finding.code: onset for onset in watch}
    for code, why in (("U02", "the weights grew"), ("B02", "it came up in training: ×1 a layer at step 1")):
        assert begun[code].step == 10
        assert begun[code].finding.why.startswith(why)
        assert not begun[code].finding.start_helps


def test_units_that_die_are_said_at_the_step_where_they_do() -> None:
    net = mlp(2)

    def kill(step: int, x: Tensor) -> Tensor:
        if step == 7:
            with torch.no_grad():
                net.get_parameter("2.bias")[:24] = -100.0
        return x

    watch = trained(net, lr=1e-3, steps=10, change=kill)
    assert codes(watch) == ["U03"]
    (onset,) = watch.onsets
    assert (onset.step, onset.finding.place.module) == (10, "2")
    assert onset.finding.evidence["dead_share"] >= 0.75


def test_updates_as_large_as_the_weights_name_the_rate_that_would_do() -> None:
    watch = trained(mlp(2), lr=20.0, steps=1)
    finding = next(onset.finding for onset in watch if onset.finding.code == "B03")
    rate = float(finding.remedy.split("about ")[1].split(",")[0])
    assert rate == pytest.approx(20.0 * 1e-3 / finding.evidence["update_ratio"], rel=0.5)


def test_a_rate_that_came_down_is_a_note_and_a_warmup_is_nothing() -> None:
    """Mutant: the first record is forgotten."""
    assert codes(trained(mlp(2), lr=1e-7, steps=1)) == []
    assert [o.finding.severity for o in trained(mlp(2), lr=1e-7, steps=10)] == [Severity.WARNING]
    net = mlp(2)
    optimizer = torch.optim.SGD(net.parameters(), 0.05)
    with fanin.watch(net, every=1, optimizer=optimizer, say=quiet) as w:
        for rate in (0.05, 0.05, 1e-8):
            optimizer.param_groups[0]["lr"] = rate
            loss = net(torch.ones(4, 32)).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            w.step(loss)
    assert [(o.step, o.finding.severity) for o in w.result] == [(3, Severity.NOTE)]
    assert w.result.healthy


def test_a_loss_that_goes_up_and_stays_up_is_found_and_noise_is_not() -> None:
    falling = [2 - 0.02 * i + 0.05 * z for i, z in enumerate(noise(60))]
    rising = [falling[-1] + 0.1 * i for i in range(40)]
    assert [code for _, code in of([*falling, *rising])] == ["T01"]
    ((step, _),) = of([*falling, *rising])
    assert 60 < step <= 90
    for seed in range(20):
        assert of([1 + 0.3 * z for z in noise(199, seed)]) == []
    assert of([*falling, 10.0, 10.0, 10.0, *falling[-20:]]) == []


def test_a_loss_that_does_not_fall_is_found_after_200_steps() -> None:
    """20 seeds of pure noise are all flat; one that falls by 6 % in noise of 1 % is not."""
    for seed in range(20):
        assert of([2.3 + 0.02 * z for z in noise(200, seed)]) == [(200, "T04")]
        assert of([2.3 * (1 - 0.06 * i / 200) + 0.02 * z for i, z in enumerate(noise(300, seed))]) == []


def test_a_spike_is_ten_times_the_median_of_the_norms_before() -> None:
    losses = [1.0 + 0.1 * z for z in noise(31)]
    assert of(losses, [1.0] * 30 + [9.0]) == []
    assert of(losses, [1.0] * 30 + [11.0]) == [(31, "T02")]
    assert of(losses[:5], [1.0] * 4 + [100.0]) == []  # too few to know what is usual


def test_a_threshold_below_all_norms_is_a_note() -> None:
    watch = trained(mlp(2), lr=0.05, steps=110, clip=1e-3)
    assert watch.clipping == (110, 110)
    assert "T05" in codes(watch)
    (onset,) = [o for o in watch if o.finding.code == "T05"]
    assert (onset.step, onset.finding.severity) == (100, Severity.NOTE)
    assert "T05" not in codes(trained(mlp(2), steps=110, clip=1e3))
    assert "clipped in 110 of 110 steps (100%)" in str(watch)


def test_the_first_layer_that_is_not_finite_is_named_and_nothing_behind_it() -> None:
    net = mlp(3)

    def spoil(step: int, x: Tensor) -> Tensor:
        if step == 5:
            with torch.no_grad():
                net.get_parameter("2.weight")[0, 0] = torch.inf
        return x

    watch = trained(net, steps=20, change=spoil)
    assert codes(watch) == ["N01"]
    (onset,) = watch.onsets
    assert (onset.step, onset.finding.code, onset.finding.place.module) == (5, "N01", "2")


def test_between_watched_steps_the_loss_alone_is_enough() -> None:
    net = mlp(2)
    watch = trained(net, steps=9, change=lambda step, x: x * math.nan if step == 7 else x)
    assert [(o.step, o.finding.code) for o in watch] == [(7, "N01")]
    assert "0.weight" in watch.onsets[0].finding.affected


def test_a_step_without_gradients_says_what_to_call() -> None:
    net = mlp(1)
    with fanin.watch(net, say=quiet) as w:
        w.step(1.0)
    assert codes(w.result) == ["T03"]
    (onset,) = w.result.onsets
    assert "before optimizer.zero_grad()" in onset.finding.remedy


@pytest.mark.parametrize(("lr", "behind", "found"), [(0.1, True, []), (0.1, False, ["T06"]), (0.0, True, [])])
def test_a_first_step_that_changes_nothing_is_noted_unless_it_is_meant_so(
    lr: float, behind: bool, found: list[str]
) -> None:
    net = mlp(1)
    optimizer = torch.optim.SGD(net.parameters(), lr)
    with fanin.watch(net, every=2, optimizer=optimizer, say=quiet) as w:
        for _ in range(2):
            loss = net(torch.ones(4, 32)).square().mean()
            optimizer.zero_grad()
            loss.backward()
            for call in (optimizer.step, w.step)[:: 1 if behind else -1]:
                call()
    assert [code for code in codes(w.result) if code != "B03"] == found


def test_a_watch_that_was_never_told_of_a_step_says_so() -> None:
    with fanin.watch(mlp(1), say=quiet) as w:
        pass
    assert "w.step was never called" in str(w)


def test_an_alarm_of_ones_own_is_an_argument() -> None:
    def find(alarm: Alarm, history: History) -> Finding | None:
        record = history.record
        if record is None or not any(layer.value.second_moment > 0 for layer in record.signals.layers):
            return None
        return alarm.finding(Severity.NOTE, "a layer gives something else than 0", "it may")

    mine = Alarm("X01", "not zero", "An output is not 0.", "", find, "nothing")
    net = mlp(1)
    with fanin.watch(net, alarms=(*ALARMS, mine), say=quiet) as w:
        w.step(net(torch.ones(2, 32)).sum())
    assert "X01" in codes(w.result)
    assert str(w.result.onsets[-1]).startswith("step 1: X01 not zero (note)\n    what    a layer gives")


def test_every_alarm_has_a_page_and_shares_names_with_the_check_of_its_code() -> None:
    assert len({alarm.code for alarm in ALARMS}) == len(ALARMS)
    for alarm in ALARMS:
        for heading in ("## What it does", "## Why it is bad", "## Remedy", "## Source"):
            assert heading in alarm.page, alarm.code
        if alarm.code in CHECKS:
            assert CHECKS[alarm.code].name == alarm.name


def test_an_empty_history_gives_no_alarm() -> None:
    history = History(1, Trend())
    assert [alarm.code for alarm in ALARMS if alarm.find(alarm, history)] == []


def test_codes_are_explained_before_and_while_training() -> None:
    from fanin.monitor.explained import explained

    both: Any = explained("vanishing gradients")
    assert both["code"] == "B01"
    assert both["page"] != both["watch"]
    with pytest.raises(fanin.FaninError, match="Did you mean 'gradient spike'"):
        explained("gradient spikes")


def test_the_documentation_lists_every_alarm() -> None:
    page = (Path(__file__).parents[2] / "docs" / "watch.md").read_text(encoding="utf-8")
    rows = page.split("<!-- alarms -->\n")[1].split("<!-- end of alarms -->")[0].splitlines()
    assert sorted(rows) == sorted(f"| {alarm.code} | {alarm.name} | {alarm.summary} |" for alarm in ALARMS)
